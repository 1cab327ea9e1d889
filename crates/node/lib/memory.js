'use strict'

// express-session's memory store: records as JSON, and expired ones stay until they are read.

const { inherits } = require('node:util')

const { toPromise } = require('./to-promise')
const Store = require('./store')
const { setImmediate } = require('./timers')

module.exports = MemoryStore

function MemoryStore() {
  Store.call(this)
  this.sessions = Object.create(null)
}

inherits(MemoryStore, Store)

Object.assign(MemoryStore.prototype, {
  all(fn) {
    if (!fn) return toPromise((done) => this.all(done))
    const live = Object.create(null)
    for (const id of Object.keys(this.sessions)) {
      const record = read(this.sessions, id)
      if (record) live[id] = record
    }
    setImmediate(fn, null, live)
  },

  clear(fn) {
    if (!fn) return toPromise((done) => this.clear(done))
    this.sessions = Object.create(null)
    setImmediate(fn)
  },

  destroy(id, fn) {
    if (!fn) return toPromise((done) => this.destroy(id, done))
    delete this.sessions[id]
    setImmediate(fn)
  },

  get(id, fn) {
    if (!fn) return toPromise((done) => this.get(id, done))
    setImmediate(fn, null, read(this.sessions, id))
  },

  length(fn) {
    if (!fn) return toPromise((done) => this.length(done))
    this.all((_error, live) => fn(null, Object.keys(live).length))
  },

  set(id, session, fn) {
    if (!fn) return toPromise((done) => this.set(id, session, done))
    this.sessions[id] = JSON.stringify(session)
    setImmediate(fn)
  },

  touch(id, session, fn) {
    if (!fn) return toPromise((done) => this.touch(id, session, done))
    const record = read(this.sessions, id)
    if (record) {
      record.cookie = session.cookie
      this.sessions[id] = JSON.stringify(record)
    }
    setImmediate(fn)
  }
})

// Returns a record that has not expired, and deletes one that has.
function read(sessions, id) {
  const text = sessions[id]
  if (!text) return undefined
  const record = JSON.parse(text)
  let expires = record.cookie?.expires
  if (typeof expires === 'string') expires = new Date(expires)
  if (!expires || !(expires <= Date.now())) return record
  delete sessions[id]
  return undefined
}
