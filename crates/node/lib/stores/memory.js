'use strict'

// Sessions in this process, outside of JavaScript's heap, with the interface of memorystore: what has ended goes by
// itself, and there may be a limit. `session.MemoryStore` is another: express-session's, which leaks.

const { NativeMemory } = require('../native')
const { NativeStore, expiryOf } = require('./base')
const { count, millis, read } = require('./options')

const CACHE = 'it is of the cache that memorystore is made of'

const OPTIONS = {
  known: { ttl, max: count, maxBytes: count },
  // Some of what has ended goes with every call.
  idle: ['checkPeriod'],
  refused: {
    dispose: CACHE,
    noDisposeOnSet: CACHE,
    stale: 'a session that has ended is never given back',
    serializer: 'records are JSON'
  }
}

module.exports = class MemoryStore extends NativeStore {
  #ttl

  constructor(given = {}) {
    const { ttl, max, maxBytes } = read('MemoryStore', given, OPTIONS)
    super(() => new NativeMemory(max, maxBytes))
    this.#ttl = ttl
    // A function of memorystore's is told them.
    this.options = { ...given }
  }

  // By their ids.
  all(fn) {
    return this.byId(fn)
  }

  // There is nothing to let go of; the sessions go with the store.
  close(fn) {
    return this.ask(() => null, fn)
  }

  // A number is for every session, whatever its cookie says; without one, and without an end, it is a day.
  deadline(session, now, sid) {
    if (typeof this.#ttl === 'number') return now + this.#ttl
    if (this.#ttl) return now + this.#ttl(this.options, session, sid)
    return expiryOf(session)
  }
}

function ttl(value, unfit) {
  return typeof value === 'function' ? value : millis(value, unfit)
}
