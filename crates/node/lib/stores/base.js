'use strict'

// The common part of the native stores: express-session's interface over a store of the addon.
//
// Each method calls back once, on a later tick, or returns a promise if it gets no callback. An exception thrown by a
// callback belongs to the application, and is not an error of the store.

const Cookie = require('../cookie')
const { NativeMemory } = require('../native')
const Store = require('../store')
const { nextTick, setImmediate, setTimeout } = require('../timers')
const { toPromise } = require('../to-promise')
const { Answer } = require('./answer')
const { contextOfCaller } = require('./context')
const { errorWithCode, isOutage, toStoreError } = require('./failure')
const { LocalStore } = require('./local')
const { NATIVE, addNativeStore } = require('./native-stores')
const { RemoteStore } = require('./remote')
const { SessionRecord } = require('./session-record')

// The number of sessions on one page of a listing.
const PAGE = 1000

class NativeStore extends Store {
  // Private, so that they are not among the properties that a program lists.
  #native
  #outage
  #canTouch

  constructor(open, { probeInterval, disableTouch = false } = {}) {
    super()
    try {
      const native = open()
      // The memory store answers without another thread.
      this.#native = native instanceof NativeMemory ? new LocalStore(native) : new RemoteStore(native)
    } catch (error) {
      throw toStoreError(error)
    }
    this.#canTouch = !disableTouch
    addNativeStore(this, this.#native instanceof LocalStore, NativeStore)
    if (probeInterval) this.#outage = { probeInterval, isActive: false }
  }

  get(sid, fn) {
    return this.#callFor(sid, (native) => native.load(sid, Date.now()), fn, (text) => text && this.parse(text))
  }

  set(sid, session, fn) {
    const save = (native) => {
      checkSession(session)
      const now = Date.now()
      const deadline = this.deadline(session, now, sid)
      // Saving a session without a lifetime deletes it, as in connect-redis.
      if (deadline <= now) return native.destroy(sid)
      return native.save(sid, this.stringify(session), deadline, now, this.isOver(session, now))
    }
    return this.#callFor(sid, save, fn, toNull)
  }

  touch(sid, session, fn) {
    const touch = (native) => {
      if (!this.#canTouch) return null
      return isCookie(session?.cookie) ? this.#touch(native, sid, session) : this.#touchStored(native, sid, session)
    }
    return this.#callFor(sid, touch, fn, toNull)
  }

  destroy(sid, fn) {
    return this.#callFor(sid, (native) => native.destroy(sid), fn, toNull)
  }

  // Returns all sessions as an array, each with its id.
  all(fn) {
    return this.call(listAll, fn, ({ ids, texts }) =>
      texts.map((text, at) => Object.assign(this.parse(text), { id: ids[at] }))
    )
  }

  // Returns all sessions as an object by id: the `all` of stores with an npm counterpart that does so.
  allById(fn) {
    return this.call(listAll, fn, ({ ids, texts }) =>
      Object.fromEntries(texts.map((text, at) => [ids[at], this.parse(text)]))
    )
  }

  ids(fn) {
    return this.call(listAll, fn, ({ ids }) => ids)
  }

  length(fn) {
    return this.call((native) => native.count(Date.now()), fn)
  }

  clear(fn) {
    return this.call((native) => native.clear(), fn, toNull)
  }

  // Removes expired sessions immediately, without waiting for the store's own cleanup.
  prune(fn) {
    return this.call((native) => native.purge(Date.now()), fn, toNull)
  }

  // Moves the records of older keys, and plain ones that are accepted, to the first key of the option `sealed`.
  upgrade(fn) {
    return this.call(upgradeAll, fn)
  }

  // Closes the connections. Later calls fail.
  close(fn) {
    return this.call((native) => native.close(), fn, toNull)
  }

  // Whether the store's options decide when a session expires, and not its cookie.
  get hasOwnDeadline() {
    return false
  }

  // Returns the expiry of a session, or undefined if the store's TTL applies.
  deadline(session, now, sid) {
    return this.hasOwnDeadline ? this.ownDeadline(session, now, sid) : expiryOf(session, now)
  }

  // Returns the expiry that a save of the session's record gets instead of its cookie's, or undefined if it is the cookie's.
  recordDeadline(session, now, sid) {
    if (this.hasOwnDeadline) return this.ownDeadline(session, now, sid)
    const deadline = expiryOf(session, now)
    return deadline === cookieExpiry(session) ? undefined : deadline
  }

  // Whether a session is over by its cookie and this machine's clock. A save then makes no record.
  isOver(session, now) {
    return !this.hasOwnDeadline && cookieExpiry(session) <= now
  }

  // Whether a touch moves the expiry of a record.
  get canTouch() {
    return this.#canTouch
  }

  // Whether the store can write what a session has changed, and not only the whole of it.
  get canMerge() {
    return true
  }

  // Notes in a policy how long the store keeps records, and returns the policy.
  describe(policy) {
    this.#native.describe(policy, this.hasOwnDeadline)
    return policy
  }

  // Returns the record of a request's session, for a middleware with `integrity`. `isPresented` says whether the request's
  // cookie has the id, and `mayMove` whether ids are renewed.
  record(policy, sid, isPresented, mayMove) {
    const callsOf = (sid, session) => this.#native.callsOf(sid, session)
    return new SessionRecord(policy, sid, this, callsOf, isPresented, mayMove)
  }

  // Takes a turn among the requests of this process that want the lock of an id.
  turn(id) {
    return this.#native.turn(id)
  }

  parse(text) {
    try {
      return JSON.parse(text)
    } catch {
      // The message of JSON.parse quotes the text.
      throw errorWithCode('ERR_STORE_CORRUPT', "the session's record is corrupt: it is not JSON")
    }
  }

  stringify(session) {
    return JSON.stringify(session)
  }

  // Makes a call. `read` converts the addon's answer to the caller's.
  call(start, fn, read = (answer) => answer) {
    if (!fn) return toPromise((done) => this.call(start, done, read))
    try {
      const answer = start(this.#native)
      if (answer instanceof Answer) {
        const context = contextOfCaller()
        answer.listen((error, answer) => context.runInAsyncScope(this.#callBack, this, fn, error, answer, read))
      } else if (typeof answer?.then === 'function') {
        answer.then((answer) => this.#callBack(fn, null, answer, read), (error) => this.#callBack(fn, error))
      } else {
        // A turn later, as express-session's memory store does, so that requests are answered in batches.
        setImmediate(fn, null, read(answer))
      }
    } catch (error) {
      this.#callBack(fn, error)
    }
  }

  #callBack(fn, error, answer, read) {
    let result
    if (!error) {
      try {
        result = read(answer)
      } catch (thrown) {
        error = thrown
      }
    }
    if (!error) return nextTick(fn, null, result)
    const failure = toStoreError(error)
    this.#reportOutage(failure)
    nextTick(fn, failure)
  }

  #callFor(sid, start, fn, read) {
    return this.call((native) => (checkId(sid), start(native)), fn, read)
  }

  #touch(native, sid, session) {
    const now = Date.now()
    return native.touch(sid, JSON.stringify(session.cookie), this.deadline(session, now, sid), now, true)
  }

  // Touches a session by a cookie that is missing or has only some attributes: the others stay as they are stored.
  async #touchStored(native, sid, session) {
    const text = await native.load(sid, Date.now())
    if (!text) return null
    const stored = this.parse(text)
    return this.#touch(native, sid, { ...stored, cookie: renewed(stored.cookie, session?.cookie) })
  }

  // Emits `disconnect` if the store is unavailable, and `connect` when a probe finds it available again.
  #reportOutage(failure) {
    const outage = this.#outage
    if (!outage || outage.isActive || !isOutage(failure)) return
    outage.isActive = true
    this.emit('disconnect')
    const end = () => {
      outage.isActive = false
      this.emit('connect')
    }
    const probe = () => {
      this.#native.load('probe', Date.now()).then(end, (error) => {
        const failure = toStoreError(error)
        if (isOutage(failure)) probeLater()
        else if (failure.code !== 'ERR_STORE_CLOSED') end()
      })
    }
    const probeLater = () => setTimeout(probe, outage.probeInterval).unref()
    probeLater()
  }
}
Object.defineProperty(NativeStore.prototype, NATIVE, { value: true })

exports.NativeStore = NativeStore

// Refuses what can be no session's id in any store. Some stores have further limits, such as a length.
function checkId(sid) {
  const isId = typeof sid === 'string' && sid !== '' && !sid.includes('\0')
  if (!isId) throw errorWithCode('ERR_STORE_UNSUITABLE', 'the session id must be a string, not empty and without NUL')
}

function checkSession(session) {
  if (typeof session === 'object' && session !== null) return
  throw errorWithCode('ERR_STORE_UNSUITABLE', 'the session must be an object')
}

// Checks whether a value is a cookie as the middleware passes it, with all of its attributes.
function isCookie(value) {
  return typeof value === 'object' && value !== null && 'originalMaxAge' in value
}

// Returns a stored cookie with some attributes changed, and with its whole `maxAge` before it.
function renewed(stored, changes) {
  const { originalMaxAge, expires: _, ...attributes } = stored ?? {}
  const maxAge = typeof originalMaxAge === 'number' ? originalMaxAge : null
  const cookie = new Cookie({ ...attributes, maxAge, ...changes })
  if (typeof cookie.expires === 'string') cookie.expires = new Date(cookie.expires)
  return cookie
}

// The result with which express-session's stores call back if there is no other.
function toNull() {
  return null
}

// Reads all pages of a listing.
async function listAll(native) {
  const ids = []
  const texts = []
  const now = Date.now()
  let next
  do {
    const page = await native.list(next, PAGE, now)
    ids.push(...page.ids)
    texts.push(...page.texts)
    next = page.next
  } while (next)
  return { ids, texts }
}

// Upgrades all pages, and returns how many records were moved, and how many could not be read.
async function upgradeAll(native) {
  if (!native.upgrade) throw errorWithCode('ERR_STORE_UNSUPPORTED', 'the records are not sealed')
  const total = { moved: 0, unreadable: 0 }
  let next
  do {
    const page = await native.upgrade(next, PAGE, Date.now())
    total.moved += page.moved
    total.unreadable += page.unreadable
    next = page.next
  } while (next)
  return total
}

// Returns the expiry of a session in milliseconds, or undefined if its cookie has none.
//
// A cookie that is over by this machine's clock has its whole lifetime again, since the clock may be ahead: whether the
// session has ended is for the store's clock to say, and a `set` brings no record back that the store has no more. One
// without a lifetime, or with an earlier date, was meant to end.
function expiryOf(session, now) {
  const expiry = cookieExpiry(session)
  if (expiry === undefined || expiry > now) return expiry
  const { originalMaxAge } = session.cookie
  return typeof originalMaxAge === 'number' && originalMaxAge > 0 ? now + originalMaxAge : expiry
}

// Returns the expiry of a session's cookie in milliseconds, or undefined if it has none.
function cookieExpiry(session) {
  const expires = session?.cookie?.expires
  if (!expires) return undefined
  const millis = Number(expires instanceof Date ? expires : new Date(expires))
  return Number.isNaN(millis) ? undefined : millis
}
