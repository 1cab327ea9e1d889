'use strict'

// The writes of a store's sessions: those of one session take turns, and a newer one replaces those that wait.
//
// 1. A `set` or `destroy` makes every earlier write that still waits superfluous, so that a thousand concurrent writes
//    of one session are two calls of the store. The earlier ones are answered as the newer one is.
// 2. If the newer write is refused, the write that it has replaced is made after all.
// 3. A read waits for the writes that were made before it: a page that follows a redirect finds the session, although
//    the response has overtaken the save. Only the writes of this object are known: other processes may be overtaken.

const { Answer } = require('./answer')
const { isOutage, toStoreError } = require('./failure')

exports.Writes = class Writes {
  // The writes by id: the first one is running, and the others wait. There is no entry for an idle session.
  #queues = new Map()

  // Makes a write of the whole session, and returns its answer.
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
    if (sid !== undefined) {
      const queue = this.#queues.get(sid)
      return queue && Promise.allSettled([queue.at(-1).answer])
    }
    if (this.#queues.size === 0) return undefined
    return Promise.allSettled(Array.from(this.#queues.values(), (queue) => queue.at(-1).answer))
  }

  #add(sid, write, replaces) {
    const queue = this.#queues.get(sid)
    write.answer = new Answer()
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

  #run(sid, queue) {
    const [write] = queue
    start(write, (error, answer) => {
      queue.shift()
      if (error) this.#fail(write, error, queue)
      else for (const each of chain(write)) each.answer.settle(null, answer)
      if (queue.length > 0) this.#run(sid, queue)
      else this.#queues.delete(sid)
    })
  }

  // Answers a failed write. An outage fails those that it has replaced too: each of them would time out.
  #fail(write, error, queue) {
    if (isOutage(toStoreError(error))) {
      for (const each of chain(write)) each.answer.settle(error)
      return
    }
    write.answer.settle(error)
    restore(write.replaced, queue)
  }
}

// Makes a write, and calls back with its answer, which may also be that of a promise.
function start(write, fn) {
  let answer
  try {
    answer = write.make()
  } catch (error) {
    fn(error)
    return
  }
  if (answer instanceof Answer) answer.listen(fn)
  else Promise.resolve(answer).then((value) => fn(null, value), fn)
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
