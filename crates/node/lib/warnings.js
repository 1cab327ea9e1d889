'use strict'

// The classic mistakes, explained once each through `process.emitWarning`.
//
// 1. Each is reported once for each middleware, and at most ten times in a process, for an application that makes a
//    middleware for each request.
// 2. A text has the mistake, its effect, and the line to change. It has no id, no value of a cookie, no secret and no
//    address.
// 3. Only certain mistakes are reported: a cookie that was not sent, a middleware that did nothing.

const { brokenRule, weaknessOf } = require('./native')
const { nativeAttributes } = require('./set-cookie')

module.exports = { warningsFor }

const TYPE = 'ExpressSessionWarning'
const MOST_IN_PROCESS = 10

// The number of new sessions without a returning cookie, and the number of clients that are counted.
const LOST_COOKIES = 20
const MOST_CLIENTS = 64

// The values of NODE_ENV with which warnings are off by default. Tests have short secrets, and clients without cookies.
const QUIET = ['production', 'test']

const toldInProcess = new Map()

// The middleware that has attached the session of each request.
const attachedBy = new WeakMap()

// Returns the warnings of a middleware with this cookie, or undefined if they are off. A function of the application
// may have the path.
function warningsFor(option, name, path) {
  if (option !== undefined && typeof option !== 'boolean') throw new TypeError('warnings option must be a boolean')
  return (option ?? !QUIET.includes(process.env.NODE_ENV)) ? new Warnings(name, path) : undefined
}

class Warnings {
  // The codes that have been told.
  #told = new Set()
  // For each client without a returning cookie, the number of its new sessions.
  #clients = new Map()
  #checkedCookie

  constructor(name, path) {
    this.name = name
    this.path = path
  }

  // Checks the bytes of the secrets.
  checkSecrets(keys) {
    if (this.#isTold('WEAK_SECRET')) return
    const weakness = keys.map((key) => weaknessOf(key)).find((reason) => reason)
    if (!weakness) return
    this.#tell(
      'WEAK_SECRET',
      `a secret is ${weakness}: an attacker who guesses it can sign any session id. Set ` +
        'session({ secret: process.env.SESSION_SECRET }), with at least 32 random characters from ' +
        `node -p "crypto.randomBytes(32).toString('hex')"`
    )
  }

  // Notes the middleware that attaches a request's session, and the id in the request's cookie.
  attach(req, res, id) {
    if (!this.#isTold('SECOND_MIDDLEWARE')) attachedBy.set(req, this)
    if (id && this.#clients.size > 0) this.#clients.delete(clientOf(req))
    if (!res.headersSent || this.#isTold('LATE_MIDDLEWARE')) return
    this.#tell(
      'LATE_MIDDLEWARE',
      "the middleware ran after the response's headers had been sent, so that a new session gets no cookie. Put " +
        'app.use(session(…)) before the routes and middlewares that respond, and call no next() after a response'
    )
  }

  // Notes a request that has a session already. The same middleware in two places does no harm.
  attachAgain(req) {
    if (this.#isTold('SECOND_MIDDLEWARE')) return
    const first = attachedBy.get(req)
    if (first === this) return
    // One warning for the two.
    first?.#told.add('SECOND_MIDDLEWARE')
    this.#tell(
      'SECOND_MIDDLEWARE',
      `the session middleware ${this.#place()} did nothing, because ` +
        (first ? `${first.#place()} ran before it` : 'req.session was set before it ran') +
        '. A request has one req.session. Remove one of the two, or mount each on paths of its own: ' +
        "app.use('/admin', session(…))"
    )
  }

  #place() {
    const path = this.path === undefined ? 'by a function' : JSON.stringify(this.path)
    return `${JSON.stringify(this.name)} (cookie.path ${path})`
  }

  // Notes a cookie that was not sent because of plain HTTP.
  withhold(req, secure, proxy) {
    if (this.#isTold('SECURE_OVER_HTTP') && this.#isTold('UNTRUSTED_PROXY')) return
    const forwarded = `${req.headers['x-forwarded-proto'] ?? ''}`.split(',', 1)[0].trim().toLowerCase()
    if (proxy !== true && forwarded === 'https') return this.#untrustedProxy(proxy)
    if (this.#isTold('SECURE_OVER_HTTP')) return
    this.#tell(
      'SECURE_OVER_HTTP',
      'the session cookie was not sent, because it is secure and the request came over plain HTTP. Without it, each ' +
        'request begins a new session. ' +
        (secure === 'auto'
          ? "With a cookie function, secure: 'auto' needs session({ departures: ['cookieFunctionAuto'] })"
          : "For plain HTTP in development set session({ cookie: { secure: 'auto' } })") +
        '. Behind a proxy with HTTPS, let it send X-Forwarded-Proto: https' +
        (proxy === true ? '' : ", and set app.set('trust proxy', 1) in Express, or session({ proxy: true })")
    )
  }

  #untrustedProxy(proxy) {
    if (this.#isTold('UNTRUSTED_PROXY')) return
    const express = proxy === false ? '' : "app.set('trust proxy', 1) in Express, or "
    this.#tell(
      'UNTRUSTED_PROXY',
      'the session cookie was not sent, because it is secure, and X-Forwarded-Proto: https of the request does not ' +
        `count: the proxy is not trusted. If the proxy is your own, set ${express}session({ proxy: true })`
    )
  }

  // Notes a cookie that is sent. Its attributes are checked when they are others than those of the last one.
  sendCookie(req, data, isNew) {
    if (!this.#isTold('DROPPED_COOKIE')) this.#checkCookie(data)
    if (isNew && !this.#isTold('LOST_COOKIE')) this.#countNewSession(req)
  }

  #checkCookie(data) {
    const { secure, httpOnly, path, domain, sameSite, partitioned } = data ?? {}
    const attributes = { secure, httpOnly, path, domain, sameSite, partitioned }
    const last = this.#checkedCookie
    this.#checkedCookie = attributes
    if (last && Object.keys(attributes).every((name) => attributes[name] === last[name])) return
    const broken = brokenRule(this.name, ...nativeAttributes(attributes))
    if (broken) this.#tell('DROPPED_COOKIE', `${broken.rule}. ${changeFor(broken.attribute, attributes)}`)
  }

  #countNewSession(req) {
    // A cookie that is refused has come back.
    if (`${req.headers.cookie ?? ''}`.includes(`${this.name}=`)) return
    const client = clientOf(req)
    const count = (this.#clients.get(client) ?? 0) + 1
    this.#clients.delete(client)
    this.#clients.set(client, count)
    if (this.#clients.size > MOST_CLIENTS) this.#clients.delete(this.#clients.keys().next().value)
    if (count < LOST_COOKIES) return
    this.#clients.clear()
    this.#tell(
      'LOST_COOKIE',
      `${LOST_COOKIES} new sessions in a row went to one address and user agent, and the cookie never came back. The ` +
        "usual reasons: fetch from another origin without { credentials: 'include' }, or its answer without " +
        'Access-Control-Allow-Credentials: true; a page on another site (sameSite), or requests outside of ' +
        'cookie.domain or cookie.path; a secure cookie, and a page over plain HTTP; a client that keeps no cookies'
    )
  }

  // Whether late sessions are still to be found. If the middleware was late itself, that is the cause.
  get looksForLateSessions() {
    return !this.#isTold('LATE_SESSION') && !this.#isTold('LATE_MIDDLEWARE')
  }

  // Notes a new session whose cookie cannot be sent any more.
  findLateSession() {
    this.#tell(
      'LATE_SESSION',
      'a new session was created or first changed after the headers had been sent: its cookie was not sent. ' +
        'Change req.session before res.write(…), res.flushHeaders() and res.send(…)'
    )
  }

  #isTold(code) {
    return this.#told.has(code)
  }

  #tell(code, text) {
    this.#told.add(code)
    const count = (toldInProcess.get(code) ?? 0) + 1
    toldInProcess.set(code, count)
    if (count > MOST_IN_PROCESS) return
    process.emitWarning(text, { type: TYPE, code: `EXPRESS_SESSION_${code}` })
  }
}

// Returns the line to change, so that browsers accept the cookie.
function changeFor(attribute, { sameSite }) {
  if (attribute === 'httpOnly') return 'Set session({ cookie: { httpOnly: true } })'
  if (attribute === 'domain') return 'Leave cookie.domain out'
  if (attribute === 'path') return "Set session({ cookie: { path: '/' } })"
  const https = 'Set session({ cookie: { secure: true } }), and serve HTTPS'
  return `${sameSite}`.toLowerCase() === 'none' ? `${https}; or, for pages of one site, sameSite: 'lax'` : https
}

// Returns what tells clients from each other.
function clientOf(req) {
  return `${req.ip ?? req.socket?.remoteAddress} ${`${req.headers['user-agent']}`.slice(0, 200)}`
}
