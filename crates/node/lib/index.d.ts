// The types of express-session, and of the additions of this package.
//
// An application declares its session data for either module: `declare module 'express-session'`, as existing
// applications do, or `declare module 'express-session-rs'`.

import express = require('express')
import original = require('express-session/index.jsx')

export = session

/** Returns a middleware that attaches the session to each request. */
declare function session(options?: session.SessionOptions): express.RequestHandler

declare namespace session {
  /** Declare your session data here, or in the interface of the same name in `express-session`. */
  export import SessionData = original.SessionData

  interface SessionOptions extends original.SessionOptions {
    /** The former name of the option `name`. If both are set, `name` counts. */
    key?: string | undefined

    /** The names of the departures from express-session to turn on. Default: none. */
    departures?: readonly Departure[] | undefined
  }

  /** The name of a departure. The README describes each. */
  type Departure =
    | 'pathMatch'
    | 'duplicateCookies'
    | 'cookieFunctionAuto'
    | 'cookieChangesSaved'
    | 'skipUnreachableSessions'
    | 'saveSendsCookie'
    | 'singleWrite'
    | 'singleDestroy'
    | 'clearCookie'
    | 'saveBeforeResponse'
    | 'reportStoreErrors'

  type CookieOptions = original.CookieOptions

  export import Cookie = original.Cookie
  export import MemoryStore = original.MemoryStore
  export import Session = original.Session
  export import Store = original.Store
}

declare module 'express-session/index.jsx' {
  // Without a callback, each returns a promise.
  interface Session {
    save(): Promise<void>
    reload(): Promise<void>
    regenerate(): Promise<void>
    destroy(): Promise<void>
  }
}
