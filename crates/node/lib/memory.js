'use strict'

// express-session's memory store: records as text, and nothing that ever cleans up.

const { inherits } = require('node:util')

const { promised } = require('./promised')
const Store = require('./store')

module.exports = MemoryStore

function MemoryStore() {
  Store.call(this)
  this.sessions = Object.create(null)
}

inherits(MemoryStore, Store)

Object.assign(MemoryStore.prototype, {
  all(fn) {
    if (!fn) return promised((done) => this.all(done))
    const live = Object.create(null)
    for (const id of Object.keys(this.sessions)) {
      const record = read(this.sessions, id)
      if (record) live[id] = record
    }
    setImmediate(fn, null, live)
  },

  clear(fn) {
    if (!fn) return promised((done) => this.clear(done))
    this.sessions = Object.create(null)
    setImmediate(fn)
  },

  destroy(id, fn) {
    if (!fn) return promised((done) => this.destroy(id, done))
    delete this.sessions[id]
    setImmediate(fn)
  },

  get(id, fn) {
    if (!fn) return promised((done) => this.get(id, done))
    setImmediate(fn, null, read(this.sessions, id))
  },

  length(fn) {
    if (!fn) return promised((done) => this.length(done))
    this.all((_error, live) => fn(null, Object.keys(live).length))
  },

  set(id, session, fn) {
    if (!fn) return promised((done) => this.set(id, session, done))
    this.sessions[id] = JSON.stringify(session)
    setImmediate(fn)
  },

  touch(id, session, fn) {
    if (!fn) return promised((done) => this.touch(id, session, done))
    const record = read(this.sessions, id)
    if (record) {
      record.cookie = session.cookie
      this.sessions[id] = JSON.stringify(record)
    }
    setImmediate(fn)
  }
})

// Gives a record that is not over yet, and drops one that is.
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
