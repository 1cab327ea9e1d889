'use strict'

// The requests of this process that want the lock of one session take turns, so that only the first of them asks the store.

const { clearTimeout, setTimeout } = require('../timers')

exports.Turns = class Turns {
  // The end of the last turn, by id. There is no entry for a session that no request wants to lock.
  #last = new Map()

  // Checks whether any request has or wants the lock of a session.
  has(sid) {
    return this.#last.has(sid)
  }

  take(sid) {
    const before = this.#last.get(sid)
    let resolve
    const ended = new Promise((settle) => (resolve = settle))
    this.#last.set(sid, ended)
    let timer
    const end = () => {
      clearTimeout(timer)
      if (this.#last.get(sid) === ended) this.#last.delete(sid)
      resolve()
    }
    // A turn does not outlast the lease of the lock.
    const endAfter = (lease) => {
      clearTimeout(timer)
      timer = setTimeout(end, lease).unref()
    }
    return { end, endAfter, until: (time) => before && within(before, time) }
  }
}

// Waits for a promise, but not longer than until this time: the store decides who has the lock.
async function within(promise, time) {
  let timer
  const late = new Promise((resolve) => (timer = setTimeout(resolve, Math.max(0, time - Date.now()))))
  await Promise.race([promise, late])
  clearTimeout(timer)
}
