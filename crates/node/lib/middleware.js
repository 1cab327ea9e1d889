'use strict'

// The middleware: checks the options, and attaches the session before the handler runs.

const debug = require('debug')('express-session')
const deprecate = require('depd')('express-session')
const parseUrl = require('parseurl')

const Cookie = require('./cookie')
const { define } = require('./define')
const { adoptCreated } = require('./foreign-session')
const MemoryStore = require('./memory')
const native = require('./native')
const { isHttps } = require('./https')
const { RequestSession } = require('./request-session')
const { PATIENCE } = require('./response-end')
const { Secrets, keysOf } = require('./secrets')
const { newSession } = require('./session-class')
const { isLocalStore, isNativeStore, obstacle } = require('./stores/native-stores')
const { withTypeErrors } = require('./set-cookie')
const { warningsFor } = require('./warnings')

module.exports = session

const MOST_SESSIONS = 2 ** 32 - 1

const isProduction = process.env.NODE_ENV === 'production'

const WARNING =
  'Warning: connect.session() MemoryStore is not\n' +
  'designed for a production environment, as it will leak\n' +
  'memory, and will not scale past a single process.'

function session(options) {
  const opts = options || {}
  const cookieOptions = opts.cookie || {}
  const genid = opts.genid || native.newId
  const name = opts.name || opts.key || 'connect.sid'
  const store = opts.store || new MemoryStore()
  const { proxy } = opts
  let { resave, saveUninitialized, secret } = opts

  if (typeof genid !== 'function') throw new TypeError('genid option must be a function')
  if (resave === undefined) {
    deprecate('undefined resave option; provide resave option')
    resave = true
  }
  if (saveUninitialized === undefined) {
    deprecate('undefined saveUninitialized option; provide saveUninitialized option')
    saveUninitialized = true
  }
  if (opts.unset && opts.unset !== 'destroy' && opts.unset !== 'keep') {
    throw new TypeError('unset option must be "destroy" or "keep"')
  }
  const { touchAfter } = opts
  if (touchAfter !== undefined && !(typeof touchAfter === 'number' && touchAfter >= 0)) {
    throw new TypeError('touchAfter option must be a number of milliseconds, 0 or more')
  }
  const { idleTimeout, absoluteTimeout, metadataMember, renewAfter, renewalGrace } = opts
  for (const [name, limit] of Object.entries({ idleTimeout, absoluteTimeout, renewAfter, renewalGrace })) {
    if (limit !== undefined && !(Number.isFinite(limit) && limit >= 1)) {
      throw new TypeError(`${name} option must be a number of milliseconds, 1 or more`)
    }
  }
  const { clientAddress, userAgent } = opts
  for (const [name, detail] of Object.entries({ clientAddress, userAgent })) {
    if (detail !== undefined && detail !== 'shortened' && detail !== 'full') {
      throw new TypeError(`${name} option must be "shortened" or "full"`)
    }
  }
  if (metadataMember !== undefined && typeof metadataMember !== 'string') {
    throw new TypeError('metadataMember option must be a string')
  }
  if (Array.isArray(secret) && secret.length === 0) {
    throw new TypeError('secret option array must contain one or more strings')
  }
  if (secret && !Array.isArray(secret)) secret = [secret]
  if (!secret) deprecate('req.secret; provide secret option')
  const isNative = isNativeStore(store)
  const why = obstacle(store)
  const decisions = {
    resave: Boolean(resave),
    rolling: Boolean(opts.rolling),
    saveUninitialized: Boolean(saveUninitialized),
    unsetDestroys: opts.unset === 'destroy',
    departures: departureNames(opts.departures),
    integrity: Boolean(opts.integrity),
    touchAfter,
    metadata: Boolean(opts.metadata),
    metadataMember,
    idleTimeout,
    absoluteTimeout,
    clientAddress,
    userAgent,
    clearSiteData: Boolean(opts.clearSiteData),
    renewAfter,
    renewalGrace,
    ...sessionLimit(opts.maxSessions),
    userEpoch: Boolean(opts.userEpoch),
    // A better reason than that of the engine follows.
    isNative: (isNative && store.canMerge) || why !== undefined
  }
  const rules = withTypeErrors(() => native.rules(decisions))
  if (rules.hasSessions && why) throw new TypeError(`${opts.integrity ? 'integrity' : 'departures'} option: ${why}`)
  if (isProduction && store instanceof MemoryStore) console.warn(WARNING)

  const isFunction = typeof cookieOptions === 'function'
  const settings = (req) => (isFunction ? cookieOptions(req) : cookieOptions)

  store.generate = function (req) {
    req.sessionID = genid(req)
    req.session = newSession(req)
    const given = settings(req)
    const cookie = (req.session.cookie = new Cookie(given))
    const secure = isHttps(req, proxy)
    const { secure: isAuto, sameSite } = rules.cookieFunctionAuto ? given : cookieOptions
    if (isAuto === 'auto') cookie.secure = secure
    if (sameSite === 'auto') cookie.sameSite = secure ? 'none' : 'lax'
  }

  adoptCreated(store)

  const path = isFunction ? undefined : cookieOptions.path || '/'
  const warnings = warningsFor(opts.warnings, name, path)
  if (warnings && secret) warnings.checkSecrets(keysOf(secret).keys)

  const isLocal = isLocalStore(store)
  const config = {
    proxy,
    rules,
    store,
    genid,
    warnings,
    resave: decisions.resave,
    rolling: decisions.rolling,
    canTouch: typeof store.touch === 'function',
    touchAfter,
    // The memory stores answer in the next turn, and another store of the addon within a moment. Of others nothing is
    // known.
    patienceFor: (method) => {
      if (isNative) return isLocal ? PATIENCE.turn : PATIENCE.moment
      return store[method] === MemoryStore.prototype[method] ? PATIENCE.turn : undefined
    },
    // If the addon has the sessions.
    policy: rules.hasSessions ? store.describe(new native.SessionPolicy(decisions)) : undefined,
    // If records have the library's own member.
    metadataMember: rules.metadataMember ?? undefined,
    clearSiteData: decisions.clearSiteData,
    notesClient: clientAddress !== undefined || userAgent !== undefined,
    secretsOf: (req) => secret || [req?.secret]
  }
  const secrets = new Secrets(name, rules.candidates, warnings)
  // Loaded if it is used, so that requiring the package takes less time.
  const tracking = rules.hasSessions ? require('./tracked-session') : undefined
  const Tracked = tracking?.TrackedSession ?? RequestSession
  tracking?.trackCreated(config)

  let isReady = true
  store.on('disconnect', () => {
    isReady = false
  })
  store.on('connect', () => {
    isReady = true
  })

  // Loaded if it is used, so that requiring the package takes less time.
  for (const method of ['sessionsOf', 'endSessionOf', 'endSessionsOf']) {
    define(session, method, async (...args) => {
      return require('./user-sessions').forAdministrators(config, secret)[method](...args)
    })
  }
  return session

  function session(req, res, next) {
    if (req.session) {
      if (warnings) warnings.attachAgain(req)
      next()
      return
    }
    if (!isReady) {
      debug('store is disconnected')
      next()
      return
    }
    if (!isCovered(req, settings(req).path || '/', rules.pathMatch)) {
      debug('pathname mismatch')
      next()
      return
    }
    if (!secret && !req.secret) {
      next(new Error('secret option required for sessions'))
      return
    }
    secrets.use(secret || [req.secret])

    req.sessionStore = store
    const id = (req.sessionID = presentedId(req, name, secrets))
    const requestSession = new Tracked(config, secrets, id, req, res, next)
    if (warnings) warnings.attach(req, res, id)
    requestSession.attach()

    if (!id) {
      debug('no SID sent, generating session')
      requestSession.create()
      next()
      return
    }
    debug('fetching %s', id)
    requestSession.load((error, record) => {
      if (error && error.code !== 'ENOENT') {
        debug('error %j', error)
        requestSession.loadFailed()
        next(error)
        return
      }
      try {
        if (error || !record) {
          debug('no session found')
          requestSession.create()
        } else {
          debug('session found')
          requestSession.restore(record)
        }
      } catch (thrown) {
        requestSession.loadFailed()
        next(thrown)
        return
      }
      next()
    })
  }
}

// Returns the id that the request's cookie names, or undefined. As in express-session, the cookies that cookie-parser
// has parsed are read if the header has none.
function presentedId(req, name, secrets) {
  const header = req.headers.cookie
  let id = header ? secrets.readHeader(header) : undefined
  if (id === false) debug('cookie signature invalid')
  if (id === null) debug('cookie unsigned')
  if (!id) id = undefined

  if (!id && req.signedCookies) {
    id = req.signedCookies[name]
    if (id) deprecate('cookie should be available in req.headers.cookie')
  }

  if (!id && req.cookies) {
    const raw = req.cookies[name]
    if (!raw) return id
    if (raw.substr(0, 2) !== 's:') {
      debug('cookie unsigned')
      return id
    }
    id = secrets.readSigned(raw.slice(2))
    if (id) deprecate('cookie should be available in req.headers.cookie')
    if (id === false) {
      debug('cookie signature invalid')
      id = undefined
    }
  }
  return id
}

// Checks whether the cookie's path covers that of a request. The whole site does, which nearly every cookie is for.
function isCovered(req, cookiePath, asBrowsers) {
  if (cookiePath === '/') {
    const { originalUrl } = req
    if (typeof originalUrl === 'string' && originalUrl[0] === '/') return true
  }
  return covers(cookiePath, parseUrl.original(req).pathname || '/', asBrowsers)
}

// Checks whether the cookie's path covers a path: by prefix, or as browsers match it (RFC 6265 §5.1.4).
function covers(cookiePath, path, asBrowsers) {
  if (path.indexOf(cookiePath) !== 0) return false
  if (!asBrowsers || path.length === cookiePath.length || cookiePath.endsWith('/')) return true
  return path[cookiePath.length] === '/'
}

// Reads how many sessions a user may have.
function sessionLimit(maxSessions) {
  if (maxSessions === undefined) return {}
  const { count, atLimit = 'refuse' } = Object(maxSessions)
  if (!Number.isInteger(count) || count < 1 || count > MOST_SESSIONS) {
    throw new TypeError(`maxSessions option must be an object with a count from 1 to ${MOST_SESSIONS}`)
  }
  if (atLimit !== 'refuse' && atLimit !== 'endLeastRecentlyUsed') {
    throw new TypeError('maxSessions option: atLimit must be "refuse" or "endLeastRecentlyUsed"')
  }
  return { maxSessions: count, endsLeastRecentlyUsed: atLimit === 'endLeastRecentlyUsed' }
}

function departureNames(departures) {
  if (departures === undefined) return []
  if (Array.isArray(departures) && departures.every((name) => typeof name === 'string')) {
    return departures
  }
  throw new TypeError('departures option must be an array of names')
}
