'use strict'

// The life of a session, for a handler with `integrity`: the login and the logout, the user, and the library's own notes.
// The addon decides who the user is, how fresh a login is, and which limits the session has.

const { isUser } = require('./native')
const { errorWithCode } = require('./stores/failure')
const { isMember } = require('./session-class')
const { epochOf, limitedLogin } = require('./user-sessions')

module.exports = {
  logIn,
  loggedIn,
  metadataOf,
  notLoggedIn,
  regenerateKeeping,
  renewId,
  requireFresh,
  requireLevel,
  stepUp
}

// The member of npm's passport.
const PASSPORT = 'passport'

const OPTIONS = {
  keep: names,
  idleTimeout: millis,
  absoluteTimeout: millis,
  remember: millis,
  level,
  passport: flag
}

// Logs a user in: a new session under a new id, in which the user and the time are noted.
async function logIn(session, tracked, user, given = {}) {
  const text = JSON.stringify(user)
  if (text === undefined || !isUser(text)) {
    throw errorWithCode('ERR_INVALID_ARG_VALUE', 'login: the user must be JSON, not null, and of at most 1,024 bytes')
  }
  const { keep = [], idleTimeout, absoluteTimeout, remember, level, passport } = checked(given)
  // The user that passport has noted before would decide.
  const kept = keep.filter((name) => name !== PASSPORT)
  const notes = { idle: idleTimeout ?? remember, absolute: absoluteTimeout ?? remember, level }
  await begin(session, tracked, 'login', { text, kept, notes, maxAge: remember, passport })
}

// Raises the level of the user's login: a login of the same user, whose session keeps its members and limits.
async function stepUp(session, tracked, given) {
  level(given, (expected) => {
    throw new TypeError(`stepUp: the level must be ${expected}`)
  })
  const { record } = tracked
  const login = record.ended ? undefined : record.ownLogin(passportOf(session))
  if (!login) throw notLoggedIn()
  // Where the user's sessions have ended meanwhile, this one has, too.
  const { user, idle, absolute, epoch } = login
  const kept = Object.keys(session).filter((name) => name !== 'cookie')
  const maxAge = session.cookie.originalMaxAge ?? undefined
  await begin(session, tracked, 'stepUp', { text: user, kept, notes: { idle, absolute, level: given, epoch }, maxAge })
}

// Begins the session of a login.
async function begin(session, tracked, method, { text, kept, notes, maxAge, passport }) {
  const { config } = tracked
  if (config.metadataMember === undefined) {
    const options = 'the option metadata, idleTimeout or absoluteTimeout of the middleware'
    throw errorWithCode('ERR_SESSION_NO_METADATA', `${method}: it needs ${options}`)
  }
  checkHeaders(tracked, method)
  const logIn = async (epoch) => {
    const fresh = await regenerateKeeping(session, tracked, kept)
    tracked.record.logIn(fresh, text, { epoch, ...notes })
    if (maxAge !== undefined) fresh.cookie.maxAge = maxAge
    if (passport) fresh[PASSPORT] = { user: JSON.parse(text) }
    return fresh
  }
  const { hasEpochs, limitsSessions } = config.rules
  if (!hasEpochs && !limitsSessions) return void (await logIn(0))
  const users = tracked.usersOf(session, text)
  if (!limitsSessions) return void (await logIn(notes.epoch ?? (await epochOf(config, users))))
  const isAdmitted = await limitedLogin(config, users, {
    logIn,
    save: (fresh) => fresh.save(),
    forget: (fresh) => forget(fresh, tracked, kept)
  })
  if (isAdmitted) return
  throw httpError(403, 'ERR_SESSION_TOO_MANY_SESSIONS', 'the user has as many sessions as allowed')
}

// Goes on without the user: a login that has failed must not be stored at the end of the request.
async function forget(fresh, tracked, kept) {
  try {
    await regenerateKeeping(fresh, tracked, kept)
  } catch {
    // A session that is over stores nothing more. A record that stays is of no use, and is listed until it expires.
    await fresh.destroy().catch(() => {})
  }
}

// Goes on under another id, to which the one before leads for a while.
async function renewId(session, { tracked, record }) {
  const { config } = tracked
  if (!config.rules.renews) {
    const options = 'the option renewAfter or renewalGrace of the middleware'
    throw errorWithCode('ERR_SESSION_NO_RENEWAL', `renewId: it needs ${options}`)
  }
  checkHeaders(tracked, 'renewId')
  if (tracked.isOutside) {
    const message = 'renewId: outside of a request, no browser would get the new cookie'
    throw errorWithCode('ERR_SESSION_COOKIE_NOT_SENT', message)
  }
  const identity = tracked.identityOf(session)
  const id = identity.draw()
  if (!record.beginRenewal(session, id, identity)) return
  tracked.renewal = { id }
  await session.save()
}

function checkHeaders({ res }, method) {
  if (!res.headersSent) return
  const message = `${method}: the headers have been sent, and the browser would not get the new cookie`
  throw errorWithCode('ERR_SESSION_COOKIE_NOT_SENT', message)
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

// Returns the user of a session as JSON, or undefined.
function loggedIn(session, record) {
  if (record.ended) return undefined
  return record.user(passportOf(session)) ?? undefined
}

function passportOf(session) {
  return Object.hasOwn(session, PASSPORT) ? JSON.stringify(session[PASSPORT]) : undefined
}

// Throws unless a user has logged in no longer ago than so many milliseconds.
function requireFresh(session, record, maxAge) {
  millis(maxAge, (expected) => {
    throw new TypeError(`requireFresh: the time must be ${expected}`)
  })
  const isFresh = record.ended ? undefined : record.isFresh(passportOf(session), maxAge)
  if (typeof isFresh !== 'boolean') throw notLoggedIn()
  if (!isFresh) throw httpError(403, 'ERR_SESSION_LOGIN_TOO_OLD', 'the login was too long ago for this step')
}

// Throws unless the user's login has this level, or a higher one.
function requireLevel(session, record, given) {
  level(given, (expected) => {
    throw new TypeError(`requireLevel: the level must be ${expected}`)
  })
  const hasLevel = record.ended ? undefined : record.hasLevel(passportOf(session), given)
  if (typeof hasLevel !== 'boolean') throw notLoggedIn()
  if (!hasLevel) throw httpError(403, 'ERR_SESSION_LEVEL_TOO_LOW', "the login's level is too low for this step")
}

function notLoggedIn() {
  return httpError(401, 'ERR_SESSION_NOT_LOGGED_IN', 'no user has logged in')
}

// Returns the library's own notes about a session, or undefined as long as none are stored.
function metadataOf(record) {
  const notes = record.ended ? undefined : record.notes
  if (!notes) return undefined
  const { created, seen, authenticated, user, idle, absolute, level, firstClient, lastClient } = notes
  const metadata = { created: new Date(created), seen: new Date(seen) }
  if (typeof firstClient === 'string') {
    Object.assign(metadata, { firstClient: JSON.parse(firstClient), lastClient: JSON.parse(lastClient) })
  }
  if (typeof authenticated !== 'number') return metadata
  Object.assign(metadata, { authenticated: new Date(authenticated), user: JSON.parse(user) })
  if (typeof idle === 'number') metadata.idleTimeout = idle
  if (typeof absolute === 'number') metadata.absoluteTimeout = absolute
  if (typeof level === 'number') metadata.level = level
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

function level(value, refuse) {
  if (!Number.isInteger(value) || value < 0 || value > 255) refuse('a whole number from 0 to 255')
}

function flag(value, refuse) {
  if (typeof value !== 'boolean') refuse('true or false')
}

// An error as of http-errors, which Express answers with this status.
function httpError(status, code, message) {
  return Object.assign(errorWithCode(code, message), { status, statusCode: status, expose: true })
}
