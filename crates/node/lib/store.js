'use strict'

// The base of every store, as in express-session. A function, not a class: published stores call it without `new`.

const { EventEmitter } = require('node:events')
const { inherits } = require('node:util')

const Cookie = require('./cookie')
const { newSession } = require('./session-class')

module.exports = Store

function Store() {
  EventEmitter.call(this)
}

inherits(Store, EventEmitter)

// Destroys the request's session and creates another, even if the old one could not be destroyed.
Store.prototype.regenerate = function regenerate(req, fn) {
  this.destroy(req.sessionID, (error) => {
    this.generate(req)
    fn(error)
  })
}

// Calls back with a session outside of a request, or without one if it does not exist.
Store.prototype.load = function load(id, fn) {
  this.get(id, (error, record) => {
    if (error) return fn(error)
    if (!record) return fn()
    fn(null, this.createSession({ sessionID: id, sessionStore: this }, record))
  })
}

// Creates the request's session from a record.
Store.prototype.createSession = function createSession(req, record) {
  const { cookie } = record
  const expires = cookie.expires
  const originalMaxAge = cookie.originalMaxAge
  record.cookie = new Cookie(cookie)
  if (typeof expires === 'string') record.cookie.expires = new Date(expires)
  // Setting `expires` has overwritten it.
  record.cookie.originalMaxAge = originalMaxAge
  req.session = newSession(req, record)
  return req.session
}
