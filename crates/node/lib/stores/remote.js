'use strict'

// A store whose calls are answered by another thread: each has a number, and gives a promise.
//
// Those of a turn of the event loop are sent together, since to wake the other thread costs more than all of the rest.

// Those of today, whatever a test makes of time.
const { setImmediate, setInterval } = require('node:timers')

const { Mailbox } = require('../native')

const WEEKS = 2 ** 31 - 1

// Who waits, by number.
const waiting = new Map()
let last = 0
let isSending = false
const mailbox = new Mailbox(deliver)
// Keeps the process alive while somebody waits.
const alive = setInterval(() => {}, WEEKS).unref()

exports.asked = asked

exports.Remote = class Remote {
  #native

  constructor(native) {
    this.#native = native
  }

  load(sid, now) {
    return asked((number) => this.#native.load(mailbox, number, sid, now))
  }

  save(sid, text, deadline, now) {
    return asked((number) => this.#native.save(mailbox, number, sid, text, deadline, now))
  }

  touch(sid, cookie, deadline, now) {
    return asked((number) => this.#native.touch(mailbox, number, sid, cookie, deadline, now))
  }

  destroy(sid) {
    return asked((number) => this.#native.destroy(mailbox, number, sid))
  }

  list(after, limit, now) {
    return asked((number) => this.#native.list(mailbox, number, after, limit, now))
  }

  count(now) {
    return asked((number) => this.#native.count(mailbox, number, now))
  }

  clear() {
    return asked((number) => this.#native.clear(mailbox, number))
  }

  purge(now) {
    return asked((number) => this.#native.purge(mailbox, number, now))
  }

  close() {
    return asked((number) => this.#native.close(mailbox, number))
  }
}

// Makes a call with a number of its own, and waits for its answer.
function asked(call) {
  const number = (last = (last + 1) % 2 ** 32)
  return new Promise((resolve, reject) => {
    call(number, mailbox)
    if (waiting.size === 0) alive.ref()
    waiting.set(number, { resolve, reject })
    if (isSending) return
    isSending = true
    setImmediate(send)
  })
}

function send() {
  isSending = false
  mailbox.send()
}

// Hands out the answers that are there.
function deliver() {
  const { numbers, answers } = mailbox.take()
  numbers.forEach((number, at) => {
    const { resolve, reject } = waiting.get(number)
    waiting.delete(number)
    const answer = answers[at]
    if (answer instanceof Error) reject(answer)
    else resolve(answer)
  })
  if (waiting.size === 0) alive.unref()
}
