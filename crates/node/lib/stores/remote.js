'use strict'

// A store whose calls are answered by another thread: each call has a number, and returns its answer.
//
// The calls of one turn of the event loop are sent together, because waking the other thread costs more than the calls.

const { isNativeError } = require('node:util').types

const { Mailbox } = require('../native')
const { setImmediate, setInterval } = require('../timers')
const { Answer } = require('./answer')
const { Turns } = require('./turns')
const { Writes } = require('./writes')

const WEEKS = 2 ** 31 - 1

// The calls that wait for their answers, by number.
const pending = new Map()
let last = 0
let isSending = false
const mailbox = new Mailbox(deliver)
// Keeps the process alive while a call waits.
const alive = setInterval(() => {}, WEEKS).unref()

exports.callNative = callNative

exports.RemoteStore = class RemoteStore {
  #native
  #writes = new Writes()
  #turns = new Turns()
  // The sessions whose id is being renewed.
  #renewals = new Set()

  constructor(native) {
    this.#native = native
  }

  load(sid, ...args) {
    return after(this.#writes.settled(sid), () => this.#call('load', sid, ...args))
  }

  save(sid, ...args) {
    return this.#writes.replace(sid, () => this.#call('save', sid, ...args))
  }

  touch(sid, ...args) {
    return this.#writes.adjust(sid, () => this.#call('touch', sid, ...args))
  }

  destroy(sid) {
    return this.#writes.replace(sid, () => this.#call('destroy', sid))
  }

  // Notes in a policy how long the store keeps records.
  describe(policy, isUnknown) {
    this.#native.describe(policy, isUnknown)
  }

  // Returns the calls of a session that the addon has.
  callsOf(sid, session) {
    return new RemoteCalls(this, this.#native, this.#writes, this.#turns, this.#renewals, sid, session)
  }

  turn(sid) {
    return this.#turns.take(sid)
  }

  lockUser(...args) {
    return this.#call('lockUser', ...args)
  }

  unlockUser(...args) {
    return this.#call('unlockUser', ...args)
  }

  epochOf(...args) {
    return this.#call('epochOf', ...args)
  }

  raiseEpoch(...args) {
    return this.#call('raiseEpoch', ...args)
  }

  // The calls that concern all sessions wait for all writes.
  static {
    const ofUsers = ['sessionsOf', 'endSessionsOf', 'admit']
    for (const method of ['list', 'count', 'clear', 'purge', 'upgrade', 'close', ...ofUsers]) {
      this.prototype[method] = function (...args) {
        return after(this.#writes.settled(), () => this.#call(method, ...args))
      }
    }
  }

  #call(method, ...args) {
    return callNative((number) => this.#native[method](mailbox, number, ...args))
  }
}

class RemoteCalls {
  #store
  #native
  #writes
  #turns
  #renewals
  #sid
  #session

  constructor(store, native, writes, turns, renewals, sid, session) {
    this.#store = store
    this.#native = native
    this.#writes = writes
    this.#turns = turns
    this.#renewals = renewals
    this.#sid = sid
    this.#session = session
  }

  get areImmediate() {
    return false
  }

  load(now) {
    return after(this.#writes.settled(this.#sid), () => this.#call('loadFor', now))
  }

  call() {
    return this.#call('callFor')
  }

  touch(cookie, deadline, now, replacesCookie) {
    return this.#store.touch(this.#sid, cookie, deadline, now, replacesCookie)
  }

  destroy() {
    return this.#writes.replace(this.#sid, () => this.#call('destroyFor', Date.now()))
  }

  lock(lease, now) {
    return this.#call('lockFor', lease, now)
  }

  unlock() {
    return this.#call('unlockFor')
  }

  exclusive(save) {
    return this.#writes.merge(this.#sid, save)
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

  #call(method, ...args) {
    return callNative((number) => this.#native[method](mailbox, number, this.#session, ...args))
  }
}

function after(settled, call) {
  return settled ? settled.then(call) : call()
}

// Makes a call with a number of its own, and returns its answer.
function callNative(call) {
  const number = (last = (last + 1) % 2 ** 32)
  const answer = new Answer()
  try {
    call(number, mailbox)
  } catch (error) {
    answer.settle(error)
    return answer
  }
  if (pending.size === 0) alive.ref()
  pending.set(number, answer)
  if (!isSending) {
    isSending = true
    setImmediate(send)
  }
  return answer
}

function send() {
  isSending = false
  mailbox.send()
}

// Settles the calls that have been answered.
function deliver() {
  const { numbers, answers } = mailbox.take()
  numbers.forEach((number, at) => {
    const call = pending.get(number)
    pending.delete(number)
    const answer = answers[at]
    // An error of the addon may be of another realm, as in Jest.
    if (isNativeError(answer)) call.settle(answer)
    else call.settle(null, answer)
  })
  if (pending.size === 0) alive.unref()
}
