'use strict'

// The class of the sessions that a store or a middleware makes. A session that gets another prototype later is slow: V8
// gives each such object a shape of its own, and no access to it is cached.

const Session = require('./session')

module.exports = { isMaking, isMember, makingSessions, newSession }

// The names that a session has besides its data: a member of such a name is not loaded again.
const RESERVED = ['cookie', 'req', 'id']

let current = Session
let isWithin = false

// Makes a session object.
function newSession(req, data) {
  return new current(req, data)
}

// Returns whether a member of the visitor's data can have this name.
function isMember(name) {
  return typeof name === 'string' && !RESERVED.includes(name) && !(name in Session.prototype)
}

// Returns whether a middleware makes a session, and not the application.
function isMaking() {
  return isWithin
}

// Makes a call of a middleware during which new sessions have this class.
function makingSessions(Class, call) {
  current = Class
  isWithin = true
  try {
    return call()
  } finally {
    current = Session
    isWithin = false
  }
}
