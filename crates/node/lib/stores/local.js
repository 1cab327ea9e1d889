'use strict'

// The memory store: each call is answered before it returns.

const { Turns } = require('./turns')

exports.LocalStore = class LocalStore {
  #native
  #turns = new Turns()
  // The sessions whose id is being renewed.
  #renewals = new Set()

  constructor(native) {
    this.#native = native
  }

  // Returns the calls of a session that the addon has.
  callsOf(sid, session) {
    return new LocalCalls(this.#native, this.#turns, this.#renewals, sid, session)
  }

  turn(sid) {
    return this.#turns.take(sid)
  }

  static {
    const ofUsers = ['sessionsOf', 'endSessionsOf', 'admit', 'lockUser', 'unlockUser', 'epochOf', 'raiseEpoch']
    for (const method of ['load', 'save', 'touch', 'destroy', 'list', 'count', 'clear', 'purge', 'describe', ...ofUsers]) {
      this.prototype[method] = function (...args) {
        return this.#native[method](...args)
      }
    }
  }
}

class LocalCalls {
  #native
  #turns
  #renewals
  #sid
  #session

  constructor(native, turns, renewals, sid, session) {
    this.#native = native
    this.#turns = turns
    this.#renewals = renewals
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

  // Makes the calls of a save, and returns the step after them.
  save(apply) {
    return this.#native.saveFor(this.#session, apply)
  }

  touch(cookie, deadline, now, replacesCookie) {
    return this.#native.touch(this.#sid, cookie, deadline, now, replacesCookie)
  }

  destroy() {
    this.#native.destroyFor(this.#session, Date.now())
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

  // Whether no request of this process renews the id, or has or wants the lock.
  get mayRenew() {
    return !this.#turns.has(this.#sid) && !this.#renewals.has(this.#sid)
  }

  // Notes that the id is being renewed, and returns what ends that.
  beginRenewal() {
    this.#renewals.add(this.#sid)
    return () => this.#renewals.delete(this.#sid)
  }
}
