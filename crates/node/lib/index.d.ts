// The types of express-session, and of the additions of this package.
//
// An application declares its session data for either module: `declare module 'express-session'`, as existing
// applications do, or `declare module 'express-session-rs'`. Both reach the types of `@types/express-session`, so that
// `req.session` has the same type whether the application, a store or another package declares it.
//
// Where this package is installed as `express-session`, that name is this very file. The types are therefore imported
// by a path that only `@types/express-session` has: this package exports no `index.jsx`, and TypeScript goes on to
// look there, where `.jsx` stands for `.d.ts`.

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

  /**
   * A session with data that is not declared for every request, such as that of one part of an application:
   *
   * ```ts
   * const session: SessionOf<{ cart: string[] }> = req.session
   * ```
   */
  type SessionOf<T extends object> = original.Session & Partial<original.SessionData> & Partial<T>

  export import Cookie = original.Cookie
  export import CookieOptions = original.CookieOptions
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
