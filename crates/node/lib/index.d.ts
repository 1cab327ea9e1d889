// The types of express-session, and of the additions of this package.
//
// An application declares its session data for either module: `declare module 'express-session-rs'`, or
// `declare module 'express-session'`, as existing applications do. Both reach the types of `@types/express-session`, so
// that `req.session` has the same type whether the application, a store or another package declares it. An application uses
// one of the names in all of its files, since TypeScript may lose members otherwise. For the second,
// pnpm and Yarn's Plug'n'Play need `@types/express-session` among the application's own `devDependencies`.
//
// Where this package is installed as `express-session`, that name is this very file. The types are therefore imported
// by a path that only `@types/express-session` has: this package exports no `index.jsx`, and TypeScript goes on to
// look there, where `.jsx` stands for `.d.ts`.

import express = require('express')
import original = require('express-session/index.jsx')

export = session

/** Returns a middleware that attaches the session to each request. */
declare function session(options?: session.SessionOptions): session.SessionMiddleware

declare namespace session {
  /** Declare your session data here, or in the interface of the same name in `express-session`. */
  export import SessionData = original.SessionData

  interface SessionOptions extends original.SessionOptions {
    /** The former name of the option `name`. If both are set, `name` counts. */
    key?: string | undefined

    /** The names of the departures from express-session to turn on. Default: none. */
    departures?: readonly Departure[] | undefined

    /**
     * Whether nothing is lost between overlapping requests, and a logout is final. It needs a store of
     * `express-session-rs/stores`, and turns on `mergeChanges`, `destroyIsFinal`, `uniqueIds`,
     * `saveBeforeResponse` and `reportStoreErrors`. The session has the methods of `IntegritySession`. Default: false.
     */
    integrity?: boolean | undefined

    /**
     * How many milliseconds of a session's time pass before a request that only reads touches it in the store again; at
     * most half of the session's time. Default: every request touches it, as in express-session.
     */
    touchAfter?: number | undefined

    /**
     * Whether each record has the library's own notes: when the session began and was last seen, and which user has logged
     * in. It needs `integrity`. `idleTimeout` and `absoluteTimeout` turn it on. Default: false, and records are as
     * express-session writes them.
     */
    metadata?: boolean | undefined

    /** The name of the record's member with the notes, the same in every application. Default: `__sessionMetadata`. */
    metadataMember?: string | undefined

    /**
     * How many milliseconds after its last visit a session ends, with any `maxAge` of the cookie; with `touchAfter`, this
     * time later. It needs `integrity`. Default: never.
     */
    idleTimeout?: number | undefined

    /**
     * How many milliseconds after its beginning or its login a session ends, however often it is used. It needs
     * `integrity`. Default: never.
     */
    absoluteTimeout?: number | undefined

    /**
     * The age of an id, in milliseconds, at which a request renews it by itself: the session goes on under a new one. It
     * needs `integrity`, and turns `metadata` on. Default: never.
     */
    renewAfter?: number | undefined

    /**
     * How many milliseconds the old id still leads to the session after a renewal. It needs `integrity`, turns `metadata`
     * on, and allows `renewId`. Default: 30,000 with `renewAfter`.
     */
    renewalGrace?: number | undefined

    /** How many sessions a user may have by `login`. It needs `integrity`, and turns `metadata` on. Default: any number. */
    maxSessions?: MaxSessions | undefined

    /**
     * Whether each user has an epoch, which the end of the user's sessions raises, so that no session from before goes on: not
     * one whose login was under way, nor one that another program stores again. One more call of the store for each request
     * of a user, and for each login. It needs `integrity`, and turns `metadata` on. Default: false.
     */
    userEpoch?: boolean | undefined

    /**
     * Notes the address of the client in the session's metadata, of the first visit and of the last: that of the network
     * (`shortened`: 24 bits of IPv4, 48 of IPv6) or all of it. It is `req.ip`, which in Express depends on `trust proxy`, or else
     * the peer of the socket. It needs `integrity`, and turns `metadata` on. Default: not noted.
     */
    clientAddress?: 'shortened' | 'full' | undefined

    /**
     * Notes the header `User-Agent` in the same way, with the first number of each version (`shortened`) or all of them, and at
     * most 256 bytes. It needs `integrity`, and turns `metadata` on. Default: not noted.
     */
    userAgent?: 'shortened' | 'full' | undefined

    /**
     * Whether the response to a `logout` makes the browser delete the site's cookies and storage, by the header
     * `Clear-Site-Data`. It needs `integrity`. Default: false.
     */
    clearSiteData?: boolean | undefined

    /**
     * Whether classic mistakes are explained by `process.emitWarning`, once each, with a code and the line to change:
     * a secure cookie over plain HTTP, a weak secret, a cookie that browsers drop, and others. The README has the list.
     * Responses and standard output stay as they are. Default: true, except where `NODE_ENV` is `production` or `test`.
     */
    warnings?: boolean | undefined
  }

  interface MaxSessions {
    /** How many, at least one. */
    count: number
    /**
     * The outcome of a login beyond it: an error with the `status` 403 and the code `ERR_SESSION_TOO_MANY_SESSIONS`, or the
     * end of the sessions with the earliest visits. Default: `refuse`.
     */
    atLimit?: 'refuse' | 'endLeastRecentlyUsed' | undefined
  }

  /** The middleware, which with `integrity` also has the sessions of any user, for administrators. */
  interface SessionMiddleware extends express.RequestHandler {
    /** Returns the sessions of a user, the one with the latest visit first. */
    sessionsOf(user: User): Promise<UserSession[]>
    /** Ends one session of a user, by its public id. Returns `false` where the user has no such session. */
    endSessionOf(user: User, publicId: string): Promise<boolean>
    /** Ends all sessions of a user, and returns how many there were. First disable the user. */
    endSessionsOf(user: User): Promise<number>
  }

  /** The user of a login: JSON of at most 1,024 bytes. */
  type User = string | number | boolean | object

  /** One of a user's sessions. */
  interface UserSession {
    /** A name of the session that is no secret, for links and forms. */
    publicId: string
    /** When it began. Undefined if this library has not written it yet. */
    created: Date | undefined
    /** Its last visit that was noted. */
    seen: Date | undefined
    /** When the user logged in. Undefined for a login by passport. */
    authenticated: Date | undefined
    /** Where its first visit came from, with `clientAddress` or `userAgent`. */
    firstClient?: SessionClient
    /** Where its last visit that was noted came from. */
    lastClient?: SessionClient
    /** Whether it is the session that asked. */
    isCurrent: boolean
  }

  /**
   * Returns the middleware with the options that an audit asks for: a `__Host-` cookie that is Secure, HttpOnly and
   * SameSite=Lax, `integrity`, an idle timeout of 30 minutes and an absolute one of 12 hours, a new id every 15 minutes, and
   * strong secrets, or else a `TypeError`. It needs a store of `express-session-rs/stores`. Each option can be set; `cookie`
   * is merged, and `departures` are added.
   */
  function hardened(options: SessionOptions): SessionMiddleware

  /** The code of a warning, whose type is `ExpressSessionWarning`. The README describes each. */
  type WarningCode =
    | 'EXPRESS_SESSION_SECURE_OVER_HTTP'
    | 'EXPRESS_SESSION_UNTRUSTED_PROXY'
    | 'EXPRESS_SESSION_WEAK_SECRET'
    | 'EXPRESS_SESSION_DROPPED_COOKIE'
    | 'EXPRESS_SESSION_LATE_MIDDLEWARE'
    | 'EXPRESS_SESSION_LATE_SESSION'
    | 'EXPRESS_SESSION_SECOND_MIDDLEWARE'
    | 'EXPRESS_SESSION_LOST_COOKIE'

  /**
   * The methods that a session has with the option `integrity`. Declare it once:
   *
   * ```ts
   * import type { IntegritySession } from 'express-session-rs'
   *
   * declare module 'express-session-rs' {
   *   interface Session extends IntegritySession {}
   * }
   * ```
   */
  interface IntegritySession {
    /**
     * Sets a member to the result of `change` for its value, and returns that. If another request of the visitor has changed
     * the member in the meantime, `change` is applied again, to the value that is stored then: a counter or a list loses
     * nothing. It should do nothing else than compute, and is not asynchronous. `undefined` removes the member.
     */
    update<K extends Exclude<keyof SessionData, 'cookie'>>(
      key: K,
      change: (value: SessionData[K] | undefined) => SessionData[K] | undefined
    ): SessionData[K] | undefined

    /** Does the same and saves. The value is the one that was stored, so that numbers are unique and limits hold. */
    updateNow<K extends Exclude<keyof SessionData, 'cookie'>>(
      key: K,
      change: (value: SessionData[K] | undefined) => SessionData[K] | undefined
    ): Promise<SessionData[K] | undefined>

    /** Removes a member, saves, and returns its value to one request only: for a token that may be used once. */
    takeOnce<K extends Exclude<keyof SessionData, 'cookie'>>(key: K): Promise<SessionData[K] | undefined>

    /**
     * Waits for the session's lock, and then has the session as it is stored. The times are in milliseconds: `wait`
     * (default: 10,000), after which the error has the code `ERR_SESSION_LOCKED`, and the `lease` (30,000), after which
     * nothing more is written under the lock. Memcached has no locks: `ERR_STORE_UNSUPPORTED`.
     */
    lock(options?: { wait?: number | undefined; lease?: number | undefined }): Promise<SessionLock>

    /** Why the session is over: this request has destroyed it, or another one has ended it. */
    readonly ended: 'destroyed' | 'elsewhere' | undefined

    /**
     * Why the session of the request's cookie had ended, so that this one is new: a timeout, `revoked` by another session or
     * an administrator, or the `limit` of a later login. Undefined for any other session, also where the store has removed
     * the record in time.
     */
    readonly endedBy: 'idle' | 'absolute' | 'revoked' | 'limit' | undefined

    /** The library's own notes, with the option `metadata` or a timeout. Undefined as long as none are stored. */
    readonly metadata: SessionMetadata | undefined

    /**
     * Logs a user in: destroys the record, and goes on with a new session under a new id, `req.session`, in which the user
     * and the time are noted. `user` is JSON of at most 1,024 bytes. It needs the option `metadata` or a timeout. The error
     * after the headers has the code `ERR_SESSION_COOKIE_NOT_SENT`, and the session is as it was.
     */
    login(user: User, options?: LoginOptions): Promise<void>

    /** Destroys the session, and clears the site's data if `clearSiteData` is set. */
    logout(): Promise<void>

    /** The user that `login` or passport has logged in. Where the session has a member `passport`, that decides. */
    loggedInUser<U = unknown>(): U | undefined

    /**
     * Throws unless a user has logged in by `login` less than so many milliseconds ago: an error with the `status` 401 without
     * a user (`ERR_SESSION_NOT_LOGGED_IN`), and 403 with an older login (`ERR_SESSION_LOGIN_TOO_OLD`). Passport notes no time.
     */
    requireFresh(maxAge: number): void

    /**
     * Throws unless the user's login has this level or a higher one: an error with the `status` 401 without a user
     * (`ERR_SESSION_NOT_LOGGED_IN`), and 403 below it (`ERR_SESSION_LEVEL_TOO_LOW`). A login without a level, and passport's,
     * has 0.
     */
    requireLevel(level: number): void

    /**
     * Raises the level of the user's login, after a second factor: the session goes on with its members and limits under a
     * new id, `req.session`, and the login is fresh.
     */
    stepUp(level: number): Promise<void>

    /**
     * Renews the id of the session, which is stored under it with all that was changed. Needs `renewAfter` or
     * `renewalGrace`, or else the error has the code `ERR_SESSION_NO_RENEWAL`.
     */
    renewId(): Promise<void>

    /** Returns the sessions of the user that has logged in, the one with the latest visit first. */
    userSessions(): Promise<UserSession[]>

    /** Ends one of them, by its public id. Returns `false` where the user has no such session. This one is logged out. */
    endUserSession(publicId: string): Promise<boolean>

    /** Ends the user's other sessions, and returns how many: after a change of the password. */
    endOtherSessions(): Promise<number>

    /** Ends all of them, this one by a logout, and returns how many: "log out everywhere". */
    endAllSessions(): Promise<number>

    /** Does the same as `regenerate`, and keeps these members. */
    regenerateKeeping(names: readonly string[]): Promise<void>
  }

  /** The library's own notes about a session. */
  interface SessionMetadata {
    /** When the session began, or, if express-session began it, when it was first written with the notes. */
    created: Date
    /** Its last visit that was noted. */
    seen: Date
    /** When the user logged in. */
    authenticated?: Date
    /** The user of the login. */
    user?: unknown
    /** The timeouts of the login, in milliseconds, if it has its own. */
    idleTimeout?: number
    absoluteTimeout?: number
    /** The level of the login, if it has one. */
    level?: number
    /** Where the first visit came from, with `clientAddress` or `userAgent`. */
    firstClient?: SessionClient
    /** Where the last visit that was noted came from. */
    lastClient?: SessionClient
  }

  /** The client of a visit, each as far as the options let it be noted. */
  interface SessionClient {
    address?: string
    /** The client's own word. */
    userAgent?: string
  }

  /** The options of a login. Times are in milliseconds. */
  interface LoginOptions {
    /** The members of the old session that stay. Default: none. */
    keep?: readonly string[] | undefined
    /** The timeouts of this session, in place of the middleware's. */
    idleTimeout?: number | undefined
    absoluteTimeout?: number | undefined
    /** Both timeouts, and the cookie's `maxAge`: "remember me". */
    remember?: number | undefined
    /** The level of assurance, a whole number from 0 to 255, for `requireLevel`. Default: none, which counts as 0. */
    level?: number | undefined
    /** Whether the user is stored as passport does it too. Default: false. */
    passport?: boolean | undefined
  }

  /** A lock of a session. It ends with `unlock`, with the response, or with its lease. */
  interface SessionLock {
    /** A number for other systems, which is higher than that of every earlier holder of the session's lock. */
    readonly fencingToken: number
    /** The rest of the lease in milliseconds, by the clock of this machine. */
    readonly remaining: number
    /** Starts the lease again. The error of a lock that is lost has the code `ERR_SESSION_LOCK_LOST`. */
    renew(): Promise<void>
    /** Saves what was changed, and gives the lock back. */
    unlock(): Promise<void>
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
    | 'throttledTouch'
    // With a store of `express-session-rs/stores`.
    | 'mergeChanges'
    | 'destroyIsFinal'
    | 'uniqueIds'

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
