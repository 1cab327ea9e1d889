'use strict'

// The record of one request's session, in a store of the addon: it is loaded once, and what the request has changed is
// written to what the store has then. The addon decides (src/session.rs); this makes the calls and waits.

const { NativeSession, SaveStep } = require('../native')
const { heard } = require('../to-promise')
const { contextOfCaller } = require('./context')
const { errorWithCode, toStoreError } = require('./failure')
const { Updates } = require('./updates')
const { LOCK, SAVE, pause, times } = require('./waits')

const { Done: DONE, CatchUp: CATCH_UP, Call: CALL, Pause: PAUSE, NewId: NEW_ID } = SaveStep

// How often a lock is taken again, because another request has renewed the id while it was waited for.
const MOVES = 4

// The longest time that a timer takes.
const LONGEST = 2 ** 31 - 1

exports.SessionRecord = class SessionRecord {
  #store
  #callsOf
  #calls
  #native
  // Whether the id can change: other requests may renew it.
  #mayMove
  // Whether the addon knows that the id is sent.
  #isSent = false
  // The session's text as it was loaded or created, without its cookie, which the addon gets when it needs it.
  #initial
  // Whether that was written from the record that the addon has loaded, and the text of that record.
  #isOfRecord = false
  #loaded
  #isKnown = false
  // Why the session is over, if it is: nothing is written any more.
  ended = undefined
  // Whether the application made the session of a record that it had, so that the store has still to be asked.
  isUnread = false
  // Whether such a record is made again if it is gone, without departure `destroyIsFinal`.
  isMadeAgain = false
  // Whether the response releases the lock.
  endsWithResponse = false
  // The functions of the updates, and the error that one of them threw.
  #updates = new Updates()
  #thrown
  #isApplying = false
  #lock
  // The operation under way.
  #running

  // The store reads the records, and says when a session expires; `callsOf` makes its calls. `isPresented` says whether the
  // request's cookie has the id, and `mayMove` whether ids are renewed.
  constructor(policy, sid, store, callsOf, isPresented, mayMove) {
    this.id = sid
    this.#store = store
    this.#mayMove = mayMove
    this.#native = new NativeSession(policy, sid, isPresented)
    this.#callsOf = callsOf
    this.#calls = callsOf(sid, this.#native)
  }

  // Notes where the request came from, as far as the options say so.
  noteClient(address, userAgent) {
    this.#native.noteClient(address, userAgent)
  }

  // Calls back with the record, if there is one.
  load(fn) {
    return this.#store.call(() => this.#calls.load(Date.now()), fn, (text) => {
      this.#follow()
      this.#loaded = text
      return text && this.#store.parse(text)
    })
  }

  // Takes the id that the session has got by a renewal, and gives it to the session object, if there is one. Returns whether
  // it has another one.
  #follow(identity) {
    if (!this.#mayMove) return false
    const id = this.#native.renewedId()
    if (typeof id !== 'string') return false
    this.id = id
    this.#calls = this.#callsOf(id, this.#native)
    identity?.change(id)
    return true
  }

  // Returns until when a request that only reads leaves the expiry of the record that was loaded, or null.
  timeOfNextTouch(maxAge) {
    return this.#native.nextTouch(maxAge, Date.now())
  }

  // The limit that has ended the session whose record was loaded, or undefined.
  get endedBy() {
    return this.#native.endedBy() ?? undefined
  }

  // The library's own notes, or null.
  get notes() {
    return this.#native.notes()
  }

  // The latest time at which the cookie expires, or undefined.
  get cookieEnd() {
    return this.#native.cookieEnd(Date.now()) ?? undefined
  }

  // Returns the user as JSON, or null. `passport` is the member of passport as JSON.
  user(passport) {
    return this.#native.user(passport)
  }

  // Returns whether the login was no longer ago than so many milliseconds, or null without a user.
  isFresh(passport, maxAge) {
    return this.#native.isFresh(passport, maxAge, Date.now())
  }

  // Returns whether the login has this level, or null without a user.
  hasLevel(passport, level) {
    return this.#native.hasLevel(passport, level)
  }

  // Returns the login that can be stepped up, or null.
  ownLogin(passport) {
    return this.#native.ownLogin(passport)
  }

  // Whether the response renews the id. `isReachable` says whether the connection can have the cookie.
  renews(isReachable) {
    return this.#calls.mayRenew && this.#native.renews(true, isReachable, Date.now())
  }

  // Notes that the id is being renewed, and returns what ends that.
  registerRenewal() {
    return this.#calls.beginRenewal()
  }

  // Notes that this session asks for its user's.
  askFor(users) {
    users.askAs(this.#native)
  }

  // Begins to renew the id. Returns whether a save has to do it: a session without a record has the new id then.
  beginRenewal(session, id, identity) {
    this.#begin(session, Date.now())
    const isStored = this.#throwing(() => this.#native.beginRenewal(id))
    if (!isStored) this.#follow(identity)
    return isStored
  }

  // Notes that what is done with the session is no visit.
  leaveAlone() {
    this.#native.leaveAlone()
  }

  // Notes the login of a user, as JSON, in a new session.
  logIn(session, user, { idle, absolute, level, epoch }) {
    const now = Date.now()
    this.#begin(session, now)
    this.#throwing(() => this.#native.logIn(user, idle, absolute, level, epoch, now))
  }

  // Notes the epoch that the session's user is about to have, and stores that without the changes of the handler.
  keepEpoch(session, users, epoch) {
    return this.#store.call(async () => {
      const keep = async () => {
        const now = Date.now()
        this.#begin(session, now)
        if (this.#throwing(() => this.#native.keepEpoch(users, epoch, now))) await this.#note(session, false, true)
      }
      await this.#inTurn(() => this.#calls.exclusive(keep))
      if (this.#native.isOver()) throw ended('another request has ended the session')
    })
  }

  // Takes the session as it was loaded or created, without its cookie. `isOfRecord` says that it is what was loaded.
  begin(initialData, isUnread, isOfRecord) {
    this.#initial = initialData
    this.#isOfRecord = isOfRecord
    this.isUnread = isUnread
  }

  // Reads the record of a session that the application made, and calls back when it is there: with its text if it is under
  // another id by now. `identity` changes the id.
  find(fn, identity) {
    return this.#store.call(() => this.#inTurn(() => this.#find(identity)), fn, (text) => text && this.#store.parse(text))
  }

  async #find(identity) {
    if (!this.isUnread) return null
    const text = await this.#calls.load(Date.now())
    const isGone = text === null || text === undefined
    if (isGone && !this.isMadeAgain) throw ended('another request has ended the session')
    this.isUnread = false
    return this.#follow(identity) ? text : null
  }

  get hasBegun() {
    return this.#initial !== undefined
  }

  // Saves the session. Afterwards it also has what other requests have changed, and calls back with these members.
  // `identity` tells whether the id is kept, and changes it. With a `renewal`, the session is stored under its `id`.
  save(session, fn, isFinal, identity, renewal) {
    const how = { isFinal, identity, renewal }
    const save = () => {
      // Saving a session without a lifetime deletes it, as in connect-redis.
      if (this.#store.deadline(session, Date.now(), this.id) <= Date.now()) return this.#end()
      if (this.#calls.areImmediate && !this.#running && !this.isUnread) return this.#saveNow(session, how)
      const saveExclusively = () => this.#calls.exclusive(() => this.#goOn(this.#start(session, how)))
      return this.#inTurn(() => (this.isUnread ? this.#find(identity).then(saveExclusively) : saveExclusively()))
    }
    return this.#store.call(save, fn, (changed) => changed ?? [])
  }

  // Begins to save, and returns the save with its first task.
  #start(session, { isFinal, identity, renewal }) {
    const now = Date.now()
    this.#begin(session, now)
    const deadline = this.#store.recordDeadline(session, now, this.id)
    const save = { session, identity, updates: this.#updates.next, step: undefined }
    const text = JSON.stringify(session)
    const { id, isOptional = false } = renewal ?? {}
    this.#step(save, () => this.#native.save(text, deadline, now, isFinal, id, isOptional, this.#apply))
    return save
  }

  // Saves in a store that answers each call before it returns: only a pause needs another turn.
  #saveNow(session, how) {
    const save = this.#start(session, how)
    while (save.step === CALL) this.#step(save, () => this.#calls.save(this.#apply))
    return save.step === PAUSE ? this.#inTurn(() => this.#goOn(save)) : this.#finish(save)
  }

  async #goOn(save) {
    while (save.step !== DONE && save.step !== CATCH_UP) {
      if (save.step === CALL) {
        await this.#calls.call()
      } else {
        const attempts = this.#native.failedAttempts()
        if (attempts % 2 === 1) await pause(SAVE, attempts)
      }
      this.#step(save, () => this.#native.resume(this.#apply))
    }
    return this.#finish(save)
  }

  // Makes a step of the addon, and gives the session another id if the addon asks for one.
  #step(save, step) {
    const { identity } = save
    if (!this.#isSent && identity.isSent()) {
      this.#native.keepId()
      this.#isSent = true
    }
    save.step = this.#throwing(step)
    this.#follow(identity)
    if (save.step !== NEW_ID) return
    const id = identity.draw()
    save.step = this.#throwing(() => this.#native.renew(id, this.#apply))
    this.id = id
    this.#calls = this.#callsOf(id, this.#native)
    identity.change(id)
  }

  #finish({ session, updates, step }) {
    this.#updates.forget(updates)
    return step === CATCH_UP ? this.#catchUp(session) : []
  }

  // Resets the expiry, and calls back with whether there is a record. `replacesCookie` says whether the stored cookie
  // becomes this one: otherwise a change of another request stays.
  touch(session, replacesCookie, fn) {
    return this.#store.call(() => this.#touch(session, replacesCookie), fn, Boolean)
  }

  #touch(session, replacesCookie) {
    const now = Date.now()
    if (!this.#store.canTouch) return true
    const deadline = this.#store.deadline(session, now, this.id)
    return this.#calls.touch(JSON.stringify(session.cookie), deadline, now, replacesCookie)
  }

  // Notes a visit in the record, which resets the expiry too, and calls back with whether the session goes on.
  visit(session, replacesCookie, fn) {
    const visit = async () => {
      const note = () => this.#note(session, replacesCookie)
      const step = await this.#inTurn(() => this.#calls.exclusive(note))
      // A touch waits for the calls before it, and so comes after them.
      return step === 'touch' ? this.#touch(session, replacesCookie) : !this.#native.isOver()
    }
    return this.#store.call(visit, fn, Boolean)
  }

  async #note(session, replacesCookie, isAsked = false) {
    const now = Date.now()
    let step
    try {
      this.#begin(session, now)
      const deadline = this.#store.recordDeadline(session, now, this.id)
      const cookie = replacesCookie ? JSON.stringify(session.cookie) : undefined
      step = this.#throwing(() => this.#native.visit(cookie, deadline, now, isAsked))
    } catch (error) {
      // A session that is too large to be merged goes on without a note.
      if (toStoreError(error).code === 'ERR_STORE_UNSUITABLE') return 'touch'
      throw error
    }
    while (step === 'update') {
      await this.#calls.call()
      step = this.#throwing(() => this.#native.visited())
    }
    return step
  }

  destroy(fn) {
    return this.#store.call(() => this.#end(), fn, toNull)
  }

  // Destroys the record for a new session, after the saves that have begun. One that cannot be destroyed goes on.
  leave(fn) {
    const leave = async () => {
      this.#checkCaller()
      await this.#inTurn(async () => this.#calls.destroy())
      this.ended ??= 'destroyed'
      this.#native.end()
    }
    return this.#store.call(leave, fn, toNull)
  }

  #end() {
    this.#checkCaller()
    this.ended ??= 'destroyed'
    this.#native.end()
    return this.#calls.destroy()
  }

  // Sets a member to a function's result for its value, and applies the function again to what another request has stored.
  // A save under way may have found what others have stored: `caughtUp` gets it, as after the save.
  update(session, key, change, caughtUp) {
    this.#begin(session, Date.now())
    caughtUp(this.#catchUp(session))
    const apply = (value) => {
      const changed = change(value)
      if (typeof changed?.then !== 'function') return changed
      heard(changed)
      throw new TypeError('update: the function must not be asynchronous')
    }
    // A name may also be that of a method, which is inherited.
    const own = Object.hasOwn(session, key) ? session[key] : undefined
    const before = JSON.stringify(own)
    const value = apply(own)
    const after = JSON.stringify(value)
    // Applied again in the context of this call, although another request's answer may be the occasion.
    const context = contextOfCaller()
    const number = this.#updates.add((value) => context.runInAsyncScope(apply, undefined, value))
    try {
      this.#native.update(key, before, after, number)
    } catch (error) {
      this.#updates.takeBack(number)
      throw toStoreError(error)
    }
    if (after === undefined) delete session[key]
    else session[key] = value
    return value
  }

  // Waits for the session's lock, and then has the session as it is stored now.
  lock(session, options, identity) {
    return this.#store.call(() => this.#takeLock(session, options, identity))
  }

  async #takeLock(session, { wait = times.wait, lease = times.lease } = {}, identity) {
    checkTime('wait', wait, 0)
    checkTime('lease', lease, 1)
    const end = Date.now() + wait
    const changed = []
    // More than once only if another request has renewed the id meanwhile: the lock is of an id.
    for (let moves = 0; moves < MOVES; moves += 1) {
      const lock = await this.#takeLockOfId(session, { wait, lease, end }, identity, changed)
      if (lock) return { lock, changed }
    }
    throw errorWithCode('ERR_SESSION_LOCKED', "the session's id was renewed at every attempt to lock it")
  }

  // Returns the lock, or undefined if the session has another id by now.
  async #takeLockOfId(session, { wait, lease, end }, identity, changed) {
    if (this.isUnread) await this.#inTurn(() => this.#find(identity))
    this.#begin(session, Date.now())
    this.#throwing(() => this.#native.requestLock())
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
      const hasMoved = await this.#inTurn(async () => {
        await this.#calls.load(Date.now())
        this.#throwing(() => this.#native.refresh(Date.now(), this.#apply))
        changed.push(...this.#catchUp(session))
        return this.#follow(identity)
      })
      if (!hasMoved) return this.#lock
      await giveUp()
      return undefined
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

  holds(lock) {
    return lock === this.#lock
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
    if (this.ended) throw ended('the session has ended')
    if (this.#isKnown) return
    if (this.isUnread) {
      throw errorWithCode('ERR_SESSION_UNREAD', 'the session was made of a record: save or reload it before an update')
    }
    const members = this.#initial === '{}' ? '}' : `,${this.#initial.slice(1)}`
    // The record has the same text if it ends with all of its members as `JSON.stringify` writes them.
    const isInRecord = this.#isOfRecord && this.#loaded?.endsWith(members)
    this.#native.begin(isInRecord ? undefined : `{"cookie":${JSON.stringify(session.cookie)}${members}`, now)
    this.#isKnown = true
  }

  // Applies an update again, to the value that another request has stored.
  #apply = (number, text) => {
    this.#isApplying = true
    try {
      const update = this.#updates.get(number)
      return JSON.stringify(update(text === undefined || text === null ? undefined : JSON.parse(text)))
    } catch (error) {
      this.#thrown = error
      throw error
    } finally {
      this.#isApplying = false
    }
  }

  // Runs a step of the addon. The error that an update threw is thrown as it is.
  #throwing(step) {
    try {
      return step()
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

function ended(message) {
  return errorWithCode('ERR_SESSION_ENDED', message)
}

function checkTime(name, time, least) {
  if (Number.isFinite(time) && time >= least && time <= LONGEST) return
  throw new TypeError(`lock: ${name} must be a number of milliseconds from ${least} to ${LONGEST}`)
}

function toNull() {
  return null
}
