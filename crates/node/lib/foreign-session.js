'use strict'

// Sessions of another class. A store may derive from the `Store` of an express-session that it imports itself, and
// its `createSession` makes express-session's sessions. This module adds what ours have: methods that return promises,
// and an `originalMaxAge` that stays.

const Cookie = require('./cookie')
const { define } = require('./define')
const Session = require('./session')
const Store = require('./store')
const { toPromise } = require('./to-promise')

module.exports = { adopt, adoptCreated }

const METHODS = ['save', 'reload', 'regenerate', 'destroy']
const STEADY = Symbol('steady')

const adoptedSessions = new WeakSet()
const adoptingFunctions = new WeakSet()
// The prototypes that `keepLength` gives to cookies, by those from which they derive.
const steadyPrototypes = new WeakMap()

// Adopts every session that the store creates, also outside of a request (`load`).
function adoptCreated(store) {
  const { createSession } = store
  if (typeof createSession !== 'function' || createSession === Store.prototype.createSession) return
  if (adoptingFunctions.has(createSession)) return
  function adopting(req) {
    const created = createSession.apply(this, arguments)
    adopt(created)
    adopt(req?.session)
    return created
  }
  adoptingFunctions.add(adopting)
  define(store, 'createSession', adopting)
}

// Completes a session, unless it is ours.
function adopt(session) {
  if (typeof session !== 'object' || session === null || adoptedSessions.has(session)) return
  const { prototype } = Session
  let isOurs = true
  for (const name of METHODS) {
    const method = session[name]
    if (method === prototype[name] || typeof method !== 'function') continue
    define(session, name, withPromise(method))
    isOurs = false
  }
  if (!isOurs) adoptedSessions.add(session)
  keepLength(session.cookie)
}

// Returns the method with a promise if there is no callback.
function withPromise(method) {
  return function (fn) {
    if (fn) return method.apply(this, arguments)
    return toPromise((done) => {
      const result = method.call(this, done)
      if (typeof result?.then !== 'function') return
      // An asynchronous method. Unless it takes a callback or returns the session, its own promise counts.
      result.then((value) => {
        if (method.length === 0 && value !== this) done(null, value)
      }, done)
    })
  }
}

// Lets a cookie of express-session keep its `originalMaxAge`, although its setter of `maxAge` reads the clock twice.
function keepLength(cookie) {
  if (typeof cookie !== 'object' || cookie === null || cookie instanceof Cookie) return
  const prototype = Object.getPrototypeOf(cookie)
  // A plain object has no setter, and a prototype of ours has one already.
  if (prototype === null || !('maxAge' in prototype) || Object.hasOwn(prototype, STEADY)) return
  if (!steadyPrototypes.has(prototype)) steadyPrototypes.set(prototype, steadyPrototype(prototype))
  Object.setPrototypeOf(cookie, steadyPrototypes.get(prototype))
}

// Enumerable, as in express-session.
function steadyPrototype(prototype) {
  const maxAge = {
    configurable: true,
    enumerable: true,
    get() {
      return Reflect.get(prototype, 'maxAge', this)
    },
    set(ms) {
      Reflect.set(prototype, 'maxAge', ms, this)
      if (Number.isFinite(ms)) this.originalMaxAge = Math.floor(ms)
    }
  }
  return Object.create(prototype, { maxAge, [STEADY]: { value: true } })
}
