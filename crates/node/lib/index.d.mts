// The types of the ES module entry point. Session data that an application declares for it reach `SessionData` of
// express-session, as with the CommonJS entry point.

export { default } from './index.js'
export { Cookie, MemoryStore, Session, Store } from './index.js'
export type {
  CookieOptions, Departure, IntegritySession, LoginOptions, MaxSessions, SessionClient, SessionData, SessionLock, SessionMetadata,
  SessionMiddleware, SessionOf, SessionOptions, User, UserSession, WarningCode
} from './index.js'
