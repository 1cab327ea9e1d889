'use strict'

// The preset for an audit: the options of `SessionLayer::hardened` in Rust, as far as Node has them.

const session = require('./middleware')
const { weaknessOf } = require('./native')
const { keysOf } = require('./secrets')

module.exports = hardened

const MINUTE = 60_000

// Each can be set again. `cookie` is merged, and departures are added.
const OPTIONS = {
  name: '__Host-sid',
  resave: false,
  saveUninitialized: false,
  integrity: true,
  idleTimeout: 30 * MINUTE,
  absoluteTimeout: 12 * 60 * MINUTE,
  renewAfter: 15 * MINUTE,
  clearSiteData: true
}
const COOKIE = { path: '/', secure: true, httpOnly: true, sameSite: 'lax' }
const DEPARTURES = ['clearCookie', 'duplicateCookies']

function hardened(options = {}) {
  const { cookie, departures = [], secret } = options
  const secrets = Array.isArray(secret) ? secret : [secret]
  if (!secrets.every((one) => one)) throw new TypeError('secret option is required')
  const weakness = keysOf(secrets).keys.map(weaknessOf).find((reason) => reason)
  if (weakness) throw new TypeError(`secret option: a secret is ${weakness}`)
  if (!Array.isArray(departures)) throw new TypeError('departures option must be an array of names')
  return session({
    ...OPTIONS,
    ...options,
    cookie: typeof cookie === 'function' ? cookie : { ...COOKIE, ...cookie },
    departures: [...DEPARTURES, ...departures]
  })
}
