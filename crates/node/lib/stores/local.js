'use strict'

// The memory store: each call is answered before it returns.

const { Turns } = require('./turns')

exports.LocalStore = class LocalStore {
  #native
  #turns = new Turns()

  constructor(native) {
    this.#native = native
  }

  // Returns the calls of a session that the addon has.
  callsOf(sid, session) {
    return new LocalCalls(this.#native, this.#turns, sid, session)
  }

  static {
    for (const method of ['load', 'save', 'touch', 'destroy', 'list', 'count', 'clear', 'purge', 'describe']) {
      this.prototype[method] = function (...args) {
        return this.#native[method](...args)
      }
    }
  }
}

class LocalCalls {
  #native
  #turns
  #sid
  #session

  constructor(native, turns, sid, session) {
    this.#native = native
    this.#turns = turns
    this.#sid = sid
    this.#session = session
  }

  get areImmediate() {
    return true
  }

  load(now) {
    return this.#native.loadFor(this.#session, now)
  }

  call() {
    this.#native.callFor(this.#session)
  }

  touch(cookie, deadline, now, replacesCookie) {
    return this.#native.touch(this.#sid, cookie, deadline, now, replacesCookie)
  }

  destroy() {
    this.#native.destroy(this.#sid)
  }

  lock(lease, now) {
    this.#native.lockFor(this.#session, lease, now)
  }

  unlock() {
    this.#native.unlockFor(this.#session)
  }

  // There is no other process, and a call is not interrupted.
  exclusive(save) {
    return save()
  }

  turn() {
    return this.#turns.take(this.#sid)
  }
}
