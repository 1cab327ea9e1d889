'use strict'

// Stores sessions in this process, outside of JavaScript's heap, with the interface of memorystore. Expired sessions
// are removed, and there may be a limit. `session.MemoryStore` is another store: express-session's, which leaks.

const { NativeMemory } = require('../native')
const { NativeStore } = require('./base')
const { expiry, lasting, read, size, ttl } = require('./options')

const CACHE = 'it belongs to the cache inside of memorystore'

const OPTIONS = {
  known: { ttl: ttl(lasting), max: size, maxBytes: size, maxRecordBytes: size },
  // Every call removes some of the expired sessions.
  idle: ['checkPeriod'],
  refused: {
    dispose: CACHE,
    noDisposeOnSet: CACHE,
    stale: 'an expired session is never returned',
    sealed: 'its records do not leave the process',
    serializer: 'records are JSON'
  }
}

module.exports = class MemoryStore extends NativeStore {
  #ttl

  constructor(given = {}) {
    const { ttl, max, maxBytes, maxRecordBytes } = read('MemoryStore', given, OPTIONS)
    super(() => new NativeMemory(max, maxBytes, maxRecordBytes))
    this.#ttl = ttl
    // memorystore passes them to a `ttl` function.
    this.options = { ...given }
  }

  all(fn) {
    return this.allById(fn)
  }

  // There is nothing to close: the sessions are freed with the store.
  close(fn) {
    return this.call(() => null, fn)
  }

  // There is no timer: every call removes some of the expired sessions.
  startInterval() {}

  stopInterval() {}

  // A `ttl` overrides the cookie's expiry. Without either, the store's default of a day applies.
  get hasOwnDeadline() {
    return this.#ttl !== undefined
  }

  ownDeadline(session, now, sid) {
    if (typeof this.#ttl === 'number') return now + this.#ttl
    return expiry('MemoryStore', 'milliseconds', now, this.#ttl(this.options, session, sid))
  }
}
