// The types of the ES module entry point. Session data that an application declares for it reach `SessionData` of
// express-session, as with the CommonJS entry point.

export { default } from './index.js'
export { Cookie, MemoryStore, Session, Store } from './index.js'
export type {
  CookieOptions, Departure, IntegritySession, LoginOptions, SessionData, SessionLock, SessionMetadata, SessionOf,
  SessionOptions, WarningCode
} from './index.js'
