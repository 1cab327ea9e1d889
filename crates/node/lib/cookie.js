'use strict'

// A session's cookie, as in express-session: its attributes and its expiry.

const deprecate = require('depd')('express-session')

const { serialize } = require('./set-cookie')

module.exports = Cookie

function Cookie(options) {
  this.path = '/'
  this.maxAge = null
  this.httpOnly = true
  if (options) {
    if (typeof options !== 'object') throw new TypeError('argument options must be a object')
    // In the order given: if both `expires` and `maxAge` are, the last one counts.
    for (const name in options) if (name !== 'data') this[name] = options[name]
  }
  if (this.originalMaxAge === undefined || this.originalMaxAge === null) {
    this.originalMaxAge = this.maxAge
  }
}

// Enumerable, so that a cookie made from another cookie copies everything, its methods included.
Cookie.prototype = {
  get expires() {
    return this._expires
  },

  set expires(date) {
    this._expires = date
    this.originalMaxAge = this.maxAge
  },

  // The milliseconds until the cookie expires.
  get maxAge() {
    const { expires } = this
    return expires instanceof Date ? expires.valueOf() - Date.now() : expires
  },

  set maxAge(ms) {
    const isDate = ms instanceof Date
    if (ms && typeof ms !== 'number' && !isDate) {
      throw new TypeError('maxAge must be a number or Date')
    }
    if (isDate) deprecate('maxAge as Date; pass number of milliseconds instead')
    if (typeof ms !== 'number') {
      this.expires = ms
      return
    }
    // Reads the clock once: if it ticked between two reads, every touch would shorten the session.
    const now = Date.now()
    this._expires = new Date(now + ms)
    this.originalMaxAge = this._expires.valueOf() - now
  },

  // The stored attributes, in the order of the record.
  get data() {
    return {
      originalMaxAge: this.originalMaxAge,
      partitioned: this.partitioned,
      priority: this.priority,
      expires: this._expires,
      secure: this.secure,
      httpOnly: this.httpOnly,
      domain: this.domain,
      path: this.path,
      sameSite: this.sameSite
    }
  },

  serialize(name, value) {
    return serialize(name, value, this.data)
  },

  toJSON() {
    return this.data
  }
}
