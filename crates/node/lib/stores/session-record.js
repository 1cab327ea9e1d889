'use strict'

// The record of one request's session, in a store of the addon: it is loaded once, and what the request has changed is
// written to what the store has then. The addon decides (src/session.rs); this makes the calls and waits.

// Imported before a test can replace the timers.
const { setTimeout } = require('node:timers')

const { NativeSession } = require('../native')
const { errorWithCode, toStoreError } = require('./failure')

// The pauses after failed attempts to save, and between the questions for a lock, in milliseconds. Each is a random
// part, so that the requests that failed together do not meet again.
const SAVE = { shortest: 2, longest: 32 }
const LOCK = { shortest: 10, longest: 160 }

const LEASE = 30_000
const WAIT = 10_000

exports.SessionRecord = class SessionRecord {
  #store
  #calls
  #native
  // The session's text as it was loaded or created, which the addon gets when it needs it.
  #initial
  #isKnown = false
  // Why the session is over, if it is: nothing is written any more.
  ended = undefined
  // Whether the response releases the lock.
  endsWithResponse = false
  // The functions of the updates, by number, and the error that one of them threw.
  #updates = []
  #thrown
  #isApplying = false
  #lock
  // The operation under way.
  #running

  // The store reads the records, and says when a session expires; `callsOf` makes its calls.
  constructor(policy, sid, store, callsOf) {
    this.id = sid
    this.#store = store
    this.#native = new NativeSession(policy, sid)
    this.#calls = callsOf(this.#native)
  }

  // Calls back with the record, if there is one. With `touches` this resets its expiry, if the store can: see `isTouched`.
  load(touches, fn) {
    return this.#store.call(() => this.#calls.load(Date.now(), touches), fn, (text) => text && this.#store.parse(text))
  }

  get isTouched() {
    return this.#native.isTouched()
  }

  // Takes the session as it was loaded or created, without its cookie.
  begin(initialData) {
    this.#initial = initialData
  }

  get hasBegun() {
    return this.#initial !== undefined
  }

  // Saves the session. Afterwards it also has what other requests have changed, and calls back with these members.
  save(session, fn, isFinal = false) {
    const save = () => {
      // Saving an expired session deletes it, as in connect-redis.
      if (this.#store.deadline(session, Date.now(), this.id) <= Date.now()) return this.#end()
      return this.#inTurn(() => this.#calls.exclusive(() => this.#save(session, isFinal)))
    }
    return this.#store.call(save, fn, (changed) => changed ?? [])
  }

  async #save(session, isFinal) {
    const now = Date.now()
    this.#begin(session, now)
    const deadline = this.#store.hasOwnDeadline ? this.#store.deadline(session, now, this.id) : undefined
    const saved = this.#updates.length
    await this.#throwing(async () => {
      let task = this.#native.save(JSON.stringify(session), deadline, now, isFinal, this.#apply)
      while (task) {
        if (task.calls) await this.#calls.call()
        else if (task.attempts % 2 === 1) await pause(SAVE, task.attempts)
        task = this.#native.resume(this.#apply)
      }
    })
    this.#updates.fill(undefined, 0, saved)
    return this.#catchUp(session)
  }

  // Resets the expiry, and calls back with whether there is a record.
  touch(session, fn) {
    const touch = () => {
      const now = Date.now()
      if (!this.#store.canTouch) return true
      return this.#calls.touch(JSON.stringify(session.cookie), this.#store.deadline(session, now, this.id), now)
    }
    return this.#store.call(touch, fn, Boolean)
  }

  destroy(fn) {
    return this.#store.call(() => this.#end(), fn, toNull)
  }

  #end() {
    this.#checkCaller()
    this.ended ??= 'destroyed'
    this.#native.end()
    return this.#calls.destroy()
  }

  // Sets a member to a function's result for its value, and applies the function again to what another request has stored.
  update(session, key, change) {
    this.#begin(session, Date.now())
    const apply = (value) => {
      const changed = change(value)
      if (typeof changed?.then === 'function') throw new TypeError('update: the function must not be asynchronous')
      return changed
    }
    // A name may also be that of a method, which is inherited.
    const own = Object.hasOwn(session, key) ? session[key] : undefined
    const before = JSON.stringify(own)
    const value = apply(own)
    const after = JSON.stringify(value)
    const number = this.#updates.push(apply) - 1
    try {
      this.#native.update(key, before, after, number)
    } catch (error) {
      throw toStoreError(error)
    }
    if (after === undefined) delete session[key]
    else session[key] = value
    return value
  }

  // Waits for the session's lock, and then has the session as it is stored now.
  lock(session, options) {
    return this.#store.call(() => this.#takeLock(session, options))
  }

  async #takeLock(session, { wait = WAIT, lease = LEASE } = {}) {
    const end = Date.now() + wait
    this.#begin(session, Date.now())
    this.#native.requestLock()
    const turn = this.#calls.turn()
    const giveUp = async () => {
      this.#lock = undefined
      turn.end()
      await this.#calls.unlock()
    }
    try {
      await turn.until(end)
      for (let attempts = 0; ; attempts += 1) {
        const now = Date.now()
        const fencingToken = await this.#inTurn(() => this.#askForLock(lease, now))
        if (fencingToken !== null && fencingToken !== undefined) {
          this.#lock = { fencingToken, until: now + lease, lease, turn, giveUp }
          turn.endAfter(lease)
          break
        }
        if (Date.now() >= end) {
          throw errorWithCode('ERR_SESSION_LOCKED', `another request has had the session's lock for ${wait} ms`)
        }
        await pause(LOCK, attempts)
      }
      return await this.#inTurn(async () => {
        await this.#calls.load(Date.now(), false)
        await this.#throwing(() => this.#native.refresh(Date.now(), this.#apply))
        return { lock: this.#lock, changed: this.#catchUp(session) }
      })
    } catch (error) {
      await giveUp().catch(() => {})
      throw error
    }
  }

  // Starts the lease again.
  renewLock(lock) {
    return this.#store.call(() => this.#renewLock(lock))
  }

  async #renewLock(lock) {
    const now = Date.now()
    if (lock === this.#lock) {
      if ((await this.#inTurn(() => this.#askForLock(lock.lease, now))) === lock.fencingToken) {
        lock.until = now + lock.lease
        lock.turn.endAfter(lock.lease)
        return
      }
      this.#native.loseLock()
    }
    throw errorWithCode('ERR_SESSION_LOCK_LOST', "the lease of the session's lock has run out")
  }

  // Releases the lock, if the request has one.
  unlock() {
    return this.#store.call(() => this.#lock?.giveUp())
  }

  async #askForLock(lease, now) {
    await this.#calls.lock(lease, now)
    return this.#native.locked(now + lease)
  }

  // Runs an operation after the one before it: the addon has one answer of the store at a time.
  #inTurn(operation) {
    const done = this.#running ? this.#running.then(operation, operation) : operation()
    this.#running = done
    const end = () => {
      if (this.#running === done) this.#running = undefined
    }
    done.then(end, end)
    return done
  }

  // A function of an update is called by the addon, which must not be called from within.
  #checkCaller() {
    if (!this.#isApplying) return
    throw errorWithCode('ERR_SESSION_UPDATE', 'the function of an update must not use the session')
  }

  #begin(session, now) {
    this.#checkCaller()
    if (this.ended) throw errorWithCode('ERR_SESSION_ENDED', 'the session has ended')
    if (this.#isKnown) return
    const members = this.#initial === '{}' ? '}' : `,${this.#initial.slice(1)}`
    this.#native.begin(`{"cookie":${JSON.stringify(session.cookie)}${members}`, now)
    this.#isKnown = true
  }

  // Applies an update again, to the value that another request has stored.
  #apply = (number, text) => {
    this.#isApplying = true
    try {
      return JSON.stringify(this.#updates[number](text === undefined || text === null ? undefined : JSON.parse(text)))
    } catch (error) {
      this.#thrown = error
      throw error
    } finally {
      this.#isApplying = false
    }
  }

  // Runs a step of the addon. The error that an update threw is thrown as it is.
  async #throwing(step) {
    try {
      return await step()
    } catch (error) {
      const thrown = this.#thrown
      this.#thrown = undefined
      throw thrown ?? toStoreError(error)
    }
  }

  // Puts what other requests have changed into the session, unless the application has changed it meanwhile. Returns the
  // members, each as JSON.
  #catchUp(session) {
    const changed = this.#native.catchUp()
    for (const { key, shown, value } of changed) {
      if (JSON.stringify(session[key]) !== (shown ?? undefined)) continue
      if (value === undefined || value === null) delete session[key]
      else session[key] = JSON.parse(value)
    }
    return changed
  }
}

function toNull() {
  return null
}

function pause({ shortest, longest }, attempts) {
  const most = Math.min(longest, shortest * 2 ** attempts)
  return new Promise((resolve) => setTimeout(resolve, Math.random() * most))
}
