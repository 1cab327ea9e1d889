'use strict'

// The writes of a store's sessions: those of one session take turns, and a newer one replaces those that wait.
//
// 1. A `set` or `destroy` makes every earlier write that still waits superfluous, so that a thousand concurrent writes
//    of one session are two calls of the store. The earlier ones are answered as the newer one is.
// 2. If the newer write is refused, the write that it has replaced is made after all.
// 3. A read waits for the writes that were made before it: a page that follows a redirect finds the session, although
//    the response has overtaken the save. Only the writes of this object are known: other processes may be overtaken.

const { isOutage, toStoreError } = require('./failure')

exports.Writes = class Writes {
  // The writes by id: the first one is running, and the others wait. There is no entry for an idle session.
  #queues = new Map()

  // Makes a write of the whole session, and returns the promise of its answer.
  replace(sid, make) {
    return this.#add(sid, { make }, (waiting) => !waiting.isMerge)
  }

  // Makes a write of what a session has changed, which no other write replaces.
  merge(sid, make) {
    return this.#add(sid, { make, isMerge: true }, () => false)
  }

  // Makes a write that needs the writes before it, except for others of its kind.
  adjust(sid, make) {
    return this.#add(sid, { make, isAdjustment: true }, (waiting) => waiting.isAdjustment)
  }

  // Returns a promise that resolves after the writes of a session that were made up to now, or of all sessions.
  // Returns undefined if there are none, so that most reads start immediately.
  settled(sid) {
    const queues = sid === undefined ? [...this.#queues.values()] : [this.#queues.get(sid)]
    const last = queues.flatMap((queue) => queue?.at(-1).answer ?? [])
    return last.length > 0 ? Promise.allSettled(last) : undefined
  }

  #add(sid, write, replaces) {
    const queue = this.#queues.get(sid)
    write.answer = new Promise((resolve, reject) => Object.assign(write, { resolve, reject }))
    if (!queue) {
      const started = [write]
      this.#queues.set(sid, started)
      this.#run(sid, started)
      return write.answer
    }
    // The first one is running. Those that are replaced become a chain, from the newest to the oldest.
    let newer = write
    while (queue.length > 1 && replaces(queue.at(-1))) {
      while (newer.replaced) newer = newer.replaced
      newer = newer.replaced = queue.pop()
    }
    queue.push(write)
    return write.answer
  }

  async #run(sid, queue) {
    while (queue.length > 0) {
      const [write] = queue
      try {
        const answer = await write.make()
        for (const each of chain(write)) each.resolve(answer)
        queue.shift()
      } catch (error) {
        queue.shift()
        this.#fail(write, error, queue)
      }
    }
    this.#queues.delete(sid)
  }

  // Answers a failed write. An outage fails those that it has replaced too: each of them would time out.
  #fail(write, error, queue) {
    if (isOutage(toStoreError(error))) {
      for (const each of chain(write)) each.reject(error)
      return
    }
    write.reject(error)
    restore(write.replaced, queue)
  }
}

function* chain(write) {
  for (let each = write; each; each = each.replaced) yield each
}

// Puts replaced writes back: the newest of the whole session, and after it the newest adjustment.
function restore(newest, queue) {
  let base = newest
  if (newest?.isAdjustment) {
    let oldest = newest
    while (oldest.replaced?.isAdjustment) oldest = oldest.replaced
    base = oldest.replaced
    oldest.replaced = undefined
    queue.unshift(newest)
  }
  if (base) queue.unshift(base)
}
