'use strict'

// The life of a session, for a handler with `integrity`: the login and the logout, the user, and the library's own notes.
// The addon decides who the user is, and which limits the session has.

const { isUser } = require('./native')
const { errorWithCode } = require('./stores/failure')
const { isMember } = require('./session-class')

module.exports = { logIn, loggedIn, metadataOf, regenerateKeeping, requireFresh }

// The member of npm's passport.
const PASSPORT = 'passport'

const OPTIONS = {
  keep: names,
  idleTimeout: millis,
  absoluteTimeout: millis,
  remember: millis,
  passport: flag
}

// Logs a user in: a new session under a new id, in which the user and the time are noted.
async function logIn(session, tracked, user, given = {}) {
  const text = JSON.stringify(user)
  if (text === undefined || !isUser(text)) {
    throw errorWithCode('ERR_INVALID_ARG_VALUE', 'login: the user must be JSON, not null, and of at most 1,024 bytes')
  }
  const { keep = [], idleTimeout, absoluteTimeout, remember, passport } = checked(given)
  if (tracked.config.metadataMember === undefined) {
    const options = 'the option metadata, idleTimeout or absoluteTimeout of the middleware'
    throw errorWithCode('ERR_SESSION_NO_METADATA', `login: it needs ${options}`)
  }
  if (tracked.res.headersSent) {
    const message = 'login: the headers have been sent, and the browser would not get the new cookie'
    throw errorWithCode('ERR_SESSION_COOKIE_NOT_SENT', message)
  }
  // The user that passport has noted before would decide.
  const kept = keep.filter((name) => name !== PASSPORT)
  const fresh = await regenerateKeeping(session, tracked, kept)
  const limits = { idle: idleTimeout ?? remember, absolute: absoluteTimeout ?? remember }
  tracked.record.logIn(fresh, text, limits)
  if (remember !== undefined) fresh.cookie.maxAge = remember
  if (passport) fresh[PASSPORT] = { user: JSON.parse(text) }
}

// Goes on with a new session under a new id, which has these members of the old one, and returns it.
async function regenerateKeeping(session, tracked, keep) {
  names(keep, (expected) => {
    throw new TypeError(`regenerateKeeping: the names must be ${expected}`)
  })
  await session.regenerate()
  const fresh = tracked.req.session
  for (const name of keep) if (isMember(name) && Object.hasOwn(session, name)) fresh[name] = session[name]
  return fresh
}

// Returns the user of a session as JSON, and when the login was, if that is known; or undefined.
function loggedIn(session, record) {
  if (record.ended) return undefined
  const passport = Object.hasOwn(session, PASSPORT) ? JSON.stringify(session[PASSPORT]) : undefined
  return record.user(passport) ?? undefined
}

// Throws unless a user has logged in no longer ago than so many milliseconds.
function requireFresh(session, record, maxAge) {
  millis(maxAge, (expected) => {
    throw new TypeError(`requireFresh: the time must be ${expected}`)
  })
  const user = loggedIn(session, record)
  if (!user) throw httpError(401, 'ERR_SESSION_NOT_LOGGED_IN', 'no user has logged in')
  const { authenticated } = user
  // Passport notes no time.
  const isFresh = typeof authenticated === 'number' && Date.now() - authenticated < maxAge
  if (!isFresh) throw httpError(403, 'ERR_SESSION_LOGIN_TOO_OLD', 'the login was too long ago for this step')
}

// Returns the library's own notes about a session, or undefined as long as none are stored.
function metadataOf(record) {
  const notes = record.ended ? undefined : record.notes
  if (!notes) return undefined
  const { created, seen, authenticated, user, idle, absolute } = notes
  const metadata = { created: new Date(created), seen: new Date(seen) }
  if (typeof authenticated !== 'number') return metadata
  Object.assign(metadata, { authenticated: new Date(authenticated), user: JSON.parse(user) })
  if (typeof idle === 'number') metadata.idleTimeout = idle
  if (typeof absolute === 'number') metadata.absoluteTimeout = absolute
  return metadata
}

function checked(given) {
  if (typeof given !== 'object' || given === null) throw new TypeError('login: the options must be an object')
  const options = {}
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue
    if (!Object.hasOwn(OPTIONS, name)) throw new TypeError(`login: there is no option ${name}`)
    OPTIONS[name](value, (expected) => {
      throw new TypeError(`login: the option ${name} must be ${expected}`)
    })
    options[name] = value
  }
  return options
}

function names(value, refuse) {
  if (!Array.isArray(value) || !value.every((name) => typeof name === 'string')) refuse('an array of names')
}

function millis(value, refuse) {
  if (!Number.isFinite(value) || value < 1) refuse('a number of milliseconds, 1 or more')
}

function flag(value, refuse) {
  if (typeof value !== 'boolean') refuse('true or false')
}

// An error as of http-errors, which Express answers with this status.
function httpError(status, code, message) {
  return Object.assign(errorWithCode(code, message), { status, statusCode: status, expose: true })
}
