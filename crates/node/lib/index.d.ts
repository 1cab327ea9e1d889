// The types of express-session, with what is more here.
//
// A session's data is declared for either module: `declare module 'express-session'`, as applications have
// it, or `declare module 'express-session-rs'`.

import express = require('express')
import original = require('express-session')

export = session

/** Makes the middleware that gives each request its session. */
declare function session(options?: session.SessionOptions): express.RequestHandler

declare namespace session {
  /** Declare your session's data here, or in `express-session`'s interface of this name. */
  export import SessionData = original.SessionData

  interface SessionOptions extends original.SessionOptions {
    /** The old name of `name`, which counts if both are given. */
    key?: string | undefined

    /** Where to do better than express-session, by name. Default: nowhere. */
    departures?: readonly Departure[] | undefined
  }

  /** What may be turned on. The README says what each does. */
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

declare module 'express-session' {
  // Without a callback there is a promise.
  interface Session {
    save(): Promise<void>
    reload(): Promise<void>
    regenerate(): Promise<void>
    destroy(): Promise<void>
  }
}
