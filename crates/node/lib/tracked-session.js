'use strict'

// The session of one request whose record the addon has: what the request has changed is merged with what others have
// stored, and a session that another request has ended stays ended.

const { snapshotData } = require('./change-detection')
const { RequestSession } = require('./request-session')
const Session = require('./session')
const { errorWithCode } = require('./stores/failure')
const { toPromise } = require('./to-promise')

// The owner of each session object: the session of the request, with its record.
const owners = new WeakMap()

exports.TrackedSession = class TrackedSession extends RequestSession {
  // The record of the request's session, and the lifetime with which loading it has reset its expiry.
  record = undefined
  renewedFor = undefined
  // Whether the next save is final: see `updateNow`.
  isFinal = false

  load(fn) {
    const { store, policy, rules } = this.config
    const record = (this.record = store.record(policy, this.presentedId))
    const touches = rules.touchesOnLoad && store.canTouch && !store.hasOwnDeadline
    record.load(touches, (error, session) => {
      if (session && record.isTouched) this.renewedFor = session.cookie?.originalMaxAge
      fn(error, session)
    })
  }

  watch(session, initialData = snapshotData(session)) {
    const { store, policy } = this.config
    if (this.record?.id !== session.id || this.record.hasBegun) this.record = store.record(policy, session.id)
    this.record.begin(initialData)
    owners.set(session, { tracked: this, record: this.record })
    Object.setPrototypeOf(session, withMethods(Object.getPrototypeOf(session)))
    super.watch(session)
  }

  originals() {
    const tracked = this
    const { req, record } = this
    return {
      save(fn) {
        if (!fn) return toPromise((done) => this.save(done))
        const { isFinal } = tracked
        tracked.isFinal = false
        record.save(this, (error, changed) => {
          if (error) tracked.noteEnd(record, error)
          else tracked.caughtUp(record, changed)
          fn(error)
        }, isFinal)
        return this
      },
      reload(fn) {
        tracked.reload(this, fn)
        return this
      },
      destroy(fn) {
        tracked.end(record, 'destroyed')
        delete req.session
        record.destroy(fn)
        return this
      },
      regenerate(fn) {
        record.destroy((error) => {
          req.sessionStore.generate(req)
          fn(error)
        })
        return this
      }
    }
  }

  reload(session, fn) {
    const { store, policy } = this.config
    const record = store.record(policy, session.id)
    record.load(false, (error, found) => {
      if (error) return fn(error)
      if (!found) return fn(new Error('failed to load session'))
      this.record = record
      store.createSession(this.req, found)
      fn()
    })
  }

  destroyRecord(done) {
    const { id } = this.record ?? {}
    // The session of a failed load, or one whose id the application has replaced.
    if (id !== this.req.sessionID) return super.destroyRecord(done)
    this.record.destroy(done)
  }

  touchRecord(session, done) {
    this.record.touch(session, (error, isThere) => {
      if (!error && !isThere && this.config.rules.endIsFinal) this.end(this.record, 'elsewhere')
      done(error)
    })
  }

  // A lifetime that the request has changed still has to reach the store.
  recordStatus(session) {
    const status = super.recordStatus()
    const isRenewed = this.renewedFor !== undefined && this.renewedFor === session.cookie.originalMaxAge
    return status === 'touchable' && isRenewed ? 'renewed' : status
  }

  // Notes what others have changed, which is no change of this request.
  caughtUp(record, changed) {
    if (record !== this.record || changed.length === 0) return
    this.initialData = withMembers(this.initialData, changed)
    if (this.savedData !== undefined) this.savedData = withMembers(this.savedData, changed)
  }

  // Lets a lock end with the response. A client that has gone gets none.
  releaseAtEnd(record) {
    const { res } = this
    const release = () => record.unlock().catch(() => {})
    if (res.writableFinished || res.closed) return release()
    if (record.endsWithResponse) return
    record.endsWithResponse = true
    res.once('finish', release).once('close', release)
  }

  noteEnd(record, error) {
    if (error.code === 'ERR_SESSION_ENDED') this.end(record, 'elsewhere')
  }

  // Notes that a session is over. If it is the request's, nothing is sent or stored any more.
  end(record, reason) {
    if (record.ended) return
    record.ended = reason
    if (record !== this.record) return
    if (reason === 'elsewhere') this.isAbandoned = true
    this.req.emit('sessionEnded', reason)
  }
}

// The methods that a session has with `integrity`. They are inherited, so that a member of the same name is kept.
const METHODS = {
  update(key, change) {
    return owners.get(this).record.update(this, checked(key), change)
  },

  async updateNow(key, change) {
    const { tracked, record } = owners.get(this)
    let last
    record.update(this, checked(key), (value) => (last = change(value)))
    tracked.isFinal = true
    await this.save()
    return last
  },

  async takeOnce(key) {
    const { tracked, record } = owners.get(this)
    if (!Object.hasOwn(this, checked(key))) return undefined
    let taken
    record.update(this, key, (value) => {
      taken = value
    })
    tracked.isFinal = true
    await this.save()
    return taken
  },

  async lock(options) {
    const { tracked, record } = owners.get(this)
    const { lock, changed } = await record.lock(this, options).catch((error) => {
      tracked.noteEnd(record, error)
      throw error
    })
    tracked.caughtUp(record, changed)
    await tracked.releaseAtEnd(record)
    return new SessionLock(this, tracked, record, lock)
  }
}

// A lock of the session. It ends with `unlock`, with the response, or with its lease.
class SessionLock {
  #session
  #tracked
  #record
  #lock

  constructor(session, tracked, record, lock) {
    this.#session = session
    this.#tracked = tracked
    this.#record = record
    this.#lock = lock
  }

  // A number for other systems, which is higher than that of every earlier holder.
  get fencingToken() {
    return this.#lock.fencingToken
  }

  // The rest of the lease in milliseconds, by this machine's clock.
  get remaining() {
    return Math.min(Math.max(this.#lock.until - Date.now(), 0), this.#lock.lease)
  }

  // Starts the lease again.
  renew() {
    return this.#record.renewLock(this.#lock)
  }

  // Saves what was changed, and gives the lock back.
  async unlock() {
    const { savedData, initialData } = this.#tracked
    if (snapshotData(this.#session) !== (savedData ?? initialData)) await this.#session.save()
    await this.#record.unlock()
  }
}

const prototypes = new WeakMap()

// Returns a prototype that has the methods and inherits from another one.
function withMethods(prototype) {
  let extended = prototypes.get(prototype)
  if (!extended) {
    extended = Object.create(prototype)
    for (const [name, value] of Object.entries(METHODS)) {
      Object.defineProperty(extended, name, { configurable: true, writable: true, value })
    }
    Object.defineProperty(extended, 'ended', {
      configurable: true,
      get() {
        return owners.get(this)?.record.ended
      },
      // A member of this name.
      set(value) {
        Object.defineProperty(this, 'ended', { configurable: true, enumerable: true, writable: true, value })
      }
    })
    prototypes.set(prototype, extended)
    prototypes.set(extended, extended)
  }
  return extended
}

// The names that a session has besides its data: a member of this name is not loaded again.
const RESERVED = ['cookie', 'req', 'id']

function checked(key) {
  if (typeof key === 'string' && !RESERVED.includes(key) && !(key in Session.prototype)) return key
  throw errorWithCode('ERR_INVALID_ARG_VALUE', 'the key must be a string, and no name of a property of every session')
}

// Returns a snapshot with some members set or removed.
function withMembers(snapshot, changed) {
  const data = JSON.parse(snapshot)
  for (const { key, value } of changed) {
    if (value === undefined || value === null) delete data[key]
    else data[key] = JSON.parse(value)
  }
  return JSON.stringify(data)
}
