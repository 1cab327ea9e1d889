'use strict'

// What the native stores have in common: express-session's interface, over a store of Rust's.
//
// Each method calls back once, on a tick of its own, or gives a promise where there is no callback. What a callback
// throws is the application's, and no answer of the store's.

const { NativeMemory } = require('../native')
const { promised } = require('../promised')
const Store = require('../store')
const { coded, failureOf } = require('./failure')
const { Remote } = require('./remote')

// Which sessions a page of a listing has at most.
const PAGE = 1000

exports.expiryOf = expiryOf

exports.NativeStore = class NativeStore extends Store {
  // Not among the properties that somebody lists.
  #native
  #watch
  #isTouched

  constructor(open, { probeInterval, disableTouch = false } = {}) {
    super()
    try {
      const native = open()
      // That one waits for nothing.
      this.#native = native instanceof NativeMemory ? native : new Remote(native)
    } catch (error) {
      throw failureOf(error)
    }
    this.#isTouched = !disableTouch
    if (probeInterval) this.#watch = { interval: probeInterval, isOut: false }
  }

  get(sid, fn) {
    return this.ask((native) => native.load(sid, Date.now()), fn, (text) => text && this.parse(text))
  }

  set(sid, session, fn) {
    const save = (native) => {
      const now = Date.now()
      const deadline = this.deadline(session, now, sid)
      // Over already: what there was is ended, as with connect-redis.
      if (deadline <= now) return native.destroy(sid)
      return native.save(sid, this.stringify(session), deadline, now)
    }
    return this.ask(save, fn, nothing)
  }

  touch(sid, session, fn) {
    if (!this.#isTouched) return this.ask(() => null, fn)
    const touch = (native) => {
      const now = Date.now()
      const deadline = this.deadline(session, now, sid)
      return native.touch(sid, JSON.stringify(session?.cookie ?? {}), deadline, now)
    }
    return this.ask(touch, fn, nothing)
  }

  destroy(sid, fn) {
    return this.ask((native) => native.destroy(sid), fn, nothing)
  }

  // All sessions, each with its id.
  all(fn) {
    return this.ask(pages, fn, ({ ids, texts }) =>
      texts.map((text, at) => Object.assign(this.parse(text), { id: ids[at] }))
    )
  }

  // The same as an object of them, for the stores whose npm counterpart has that.
  byId(fn) {
    return this.ask(pages, fn, ({ ids, texts }) =>
      Object.fromEntries(texts.map((text, at) => [ids[at], this.parse(text)]))
    )
  }

  ids(fn) {
    return this.ask(pages, fn, ({ ids }) => ids)
  }

  length(fn) {
    return this.ask((native) => native.count(Date.now()), fn)
  }

  clear(fn) {
    return this.ask((native) => native.clear(), fn, nothing)
  }

  // Removes what has ended. The store does so by itself; this is for who wants it now.
  prune(fn) {
    return this.ask((native) => native.purge(Date.now()), fn, nothing)
  }

  // Lets go of the connections. What is asked afterwards fails.
  close(fn) {
    return this.ask((native) => native.close(), fn, nothing)
  }

  // When a session ends by its cookie, or nothing where the store's own time counts.
  deadline(session) {
    return expiryOf(session)
  }

  parse(text) {
    try {
      return JSON.parse(text)
    } catch {
      // JavaScript's own message quotes the text.
      throw coded('ERR_STORE_CORRUPT', "the session's record is corrupt: it is no JSON")
    }
  }

  stringify(session) {
    return JSON.stringify(session)
  }

  // Makes a call. `read` makes of the answer what the caller gets.
  ask(call, fn, read = (answer) => answer) {
    if (!fn) return promised((done) => this.ask(call, done, read))
    const settle = (error, answer) => process.nextTick(fn, error, answer)
    const fail = (error) => {
      const failure = failureOf(error)
      this.#failed(failure)
      settle(failure)
    }
    try {
      const answer = call(this.#native)
      // A turn later, as express-session's memory store: what comes in meanwhile is answered in one go.
      if (typeof answer?.then !== 'function') setImmediate(fn, null, read(answer))
      else answer.then(read).then((answer) => settle(null, answer), fail)
    } catch (error) {
      fail(error)
    }
  }

  // Tells express-session that there is no store to ask, until there is one again.
  #failed(failure) {
    const watch = this.#watch
    if (!watch || watch.isOut || !isOutage(failure)) return
    watch.isOut = true
    this.emit('disconnect')
    const back = () => {
      watch.isOut = false
      this.emit('connect')
    }
    const probe = () => {
      const answer = this.#native.load('probe', Date.now())
      answer.then(back, (error) => {
        const failure = failureOf(error)
        if (isOutage(failure)) later()
        else if (failure.code !== 'ERR_STORE_CLOSED') back()
      })
    }
    const later = () => setTimeout(probe, watch.interval).unref()
    later()
  }
}

function isOutage({ code }) {
  return code === 'ERR_STORE_UNAVAILABLE' || code === 'ERR_STORE_TIMED_OUT'
}

// What express-session's stores call back with where there is nothing to say.
function nothing() {
  return null
}

// Reads all pages of a listing.
async function pages(native) {
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

// Gives the end of a session's cookie in milliseconds, where it has one.
function expiryOf(session) {
  const expires = session?.cookie?.expires
  if (!expires) return undefined
  const millis = Number(expires instanceof Date ? expires : new Date(expires))
  return Number.isNaN(millis) ? undefined : millis
}
