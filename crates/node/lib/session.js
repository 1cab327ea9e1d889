'use strict'

// The session object, as in express-session: its enumerable properties are the visitor's data.

const { define } = require('./define')
const { toPromise } = require('./to-promise')

module.exports = Session

// `names` has the names of the session's own properties, of a session whose id can change.
function Session(req, data, names = this) {
  Object.defineProperty(this, 'req', { value: req })
  Object.defineProperty(this, 'id', { configurable: names !== this, value: req.sessionID })
  if (typeof data !== 'object' || data === null) return
  // A record cannot replace the session's own properties, such as its methods.
  for (const key in data) if (!(key in names)) this[key] = data[key]
}

method('touch', function touch() {
  return this.resetMaxAge()
})

method('resetMaxAge', function resetMaxAge() {
  this.cookie.maxAge = this.cookie.originalMaxAge
  return this
})

method('save', function save(fn) {
  if (!fn) return toPromise((done) => this.req.sessionStore.set(this.id, this, done))
  this.req.sessionStore.set(this.id, this, fn)
  return this
})

method('reload', function reload(fn) {
  if (!fn) return toPromise((done) => this.reload(done))
  const { req } = this
  const store = req.sessionStore
  store.get(this.id, (error, record) => {
    if (error) return fn(error)
    if (!record) return fn(new Error('failed to load session'))
    store.createSession(req, record)
    fn()
  })
  return this
})

method('destroy', function destroy(fn) {
  delete this.req.session
  if (!fn) return toPromise((done) => this.req.sessionStore.destroy(this.id, done))
  this.req.sessionStore.destroy(this.id, fn)
  return this
})

method('regenerate', function regenerate(fn) {
  if (!fn) return toPromise((done) => this.req.sessionStore.regenerate(this.req, done))
  this.req.sessionStore.regenerate(this.req, fn)
  return this
})

function method(name, value) {
  define(Session.prototype, name, value)
}
