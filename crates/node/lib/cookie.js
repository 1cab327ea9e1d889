'use strict'

// A session's cookie, as in express-session: its attributes, and the time that the session lives.

const deprecate = require('depd')('express-session')

const { print } = require('./set-cookie')

module.exports = Cookie

function Cookie(options) {
  this.path = '/'
  this.maxAge = null
  this.httpOnly = true
  if (options) {
    if (typeof options !== 'object') throw new TypeError('argument options must be a object')
    // In the order that they are given: of `expires` and `maxAge` the last one counts.
    for (const name in options) if (name !== 'data') this[name] = options[name]
  }
  if (this.originalMaxAge === undefined || this.originalMaxAge === null) {
    this.originalMaxAge = this.maxAge
  }
}

// Enumerable, so that a cookie made of another cookie gets what it has, its methods included.
Cookie.prototype = {
  get expires() {
    return this._expires
  },

  set expires(date) {
    this._expires = date
    this.originalMaxAge = this.maxAge
  },

  // The milliseconds that are left.
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
    // By one look at the clock: by two, a session's time would become shorter with every touch.
    const now = Date.now()
    this._expires = new Date(now + ms)
    this.originalMaxAge = this._expires.valueOf() - now
  },

  // What is stored, in this order.
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
    return print(name, value, this.data)
  },

  toJSON() {
    return this.data
  }
}
