'use strict'

// One request with a session: what is known of it, and how its response ends. What is to be done is the
// engine's to say: the numbers of the facts add up to where the plan stands (src/engine/rules.rs).

const debug = require('debug')('express-session')
const onHeaders = require('on-headers')

const { facts, steps } = require('./native')
const { promised } = require('./promised')
const { isSecure } = require('./secure')
const { Tail } = require('./tail')
const { EMPTY, settingsOf, textOf } = require('./text')

const FACT = facts()
const { store: STORE, cookie: COOKIE } = steps()
const STORE_STEPS = STORE.write | STORE.touch | STORE.destroy
const COOKIE_STEPS = COOKIE.send | COOKIE.expire | COOKIE.withhold

// What the data may turn out to be, before it is looked at: without a save by hand, and after one.
const { same, changed } = FACT.data
const { never, stale, current } = FACT.saved
const UNSAVED = [same + never, changed + never]
const SAVED = [same + stale, changed + stale, same + current, changed + current]

exports.Visit = class Visit {
  constructor(site, keys, presented, req, res, next) {
    this.site = site
    this.keys = keys
    this.req = req
    this.res = res
    this.next = next
    // The id in the request's cookie.
    this.presented = presented
    // What the session came with.
    this.id = undefined
    this.text = undefined
    this.settings = undefined
    this.isLoaded = false
    // What it was when it was saved by hand.
    this.savedText = undefined
    this.savedSettings = undefined
    // Whether the store has a record of it, as far as is known.
    this.isStored = false
    // Its cookie, which outlives it.
    this.cookie = undefined
    // The id that a cookie was sent for, and whether the time for that is over.
    this.sent = undefined
    this.isUnderWay = false
    this.isTouched = false
    this.isUnread = false
    this.isDestroyed = false
    this.isCommitting = false
    this.isEnded = false
    // Whether nothing more is to be done: the store has failed, and the visitor is told so.
    this.isGivenUp = false
  }

  // Makes a new session. A store that answers twice may have given another before; of that one express-session
  // still knows as what it was saved.
  generate() {
    const { req, site } = this
    if (this.isLoaded && !site.resave) this.savedText ??= this.text
    site.store.generate(req)
    this.id = req.sessionID
    this.text = isEmpty(req.session) ? EMPTY : textOf(req.session)
    this.watch(req.session)
  }

  // Makes the session of its record.
  inflate(record) {
    const { req, site } = this
    if (!site.resave) this.savedText = undefined
    site.store.createSession(req, record)
    this.id = req.sessionID
    this.text = textOf(record)
    this.isLoaded = true
    this.isStored = true
    this.watch(req.session)
  }

  // Has no session, although there may be a record: it could not be read.
  fail() {
    this.isUnread = true
    this.isStored = true
  }

  // Notices what the handler does with the session.
  watch(session) {
    const { rules } = this.site
    if (rules.cookieChangesSaved) this.settings = settingsOf(session.cookie)
    this.cookie = session.cookie
    this.watchSave(session)
    this.watchReload(session)
    // Without departures express-session does not look at these.
    if (!rules.watchesEnd) return
    this.watchDestroy(session)
    this.watchRegenerate(session)
  }

  watchSave(session) {
    const visit = this
    const { rules } = this.site
    const original = session.save
    define(session, 'save', function save(...[fn]) {
      debug('saving %s', this.id)
      // The response's own save is none by hand.
      if (visit.isCommitting) return original.apply(this, arguments)
      if (rules.reportStoreErrors && !fn) return promised((done) => this.save(done))
      if (rules.saveRenews) {
        this.touch()
        visit.isTouched = true
      }
      const { savedText, savedSettings } = visit
      visit.savedText = textOf(this)
      if (rules.cookieChangesSaved) visit.savedSettings = settingsOf(this.cookie)
      visit.isStored = true
      if (!rules.reportStoreErrors) return original.apply(this, arguments)
      return original.call(this, function (error) {
        if (error) Object.assign(visit, { savedText, savedSettings })
        fn.apply(this, arguments)
      })
    })
  }

  watchReload(session) {
    const visit = this
    const original = session.reload
    define(session, 'reload', function reload(fn) {
      debug('reloading %s', this.id)
      if (!fn) return promised((done) => original.call(this, rewatch(this, done)))
      return original.call(this, rewatch(this, fn))
    })

    // A session that was reloaded is another object.
    function rewatch(before, fn) {
      return function () {
        const { session } = visit.req
        if (session && session !== before) visit.watch(session)
        fn.apply(this, arguments)
      }
    }
  }

  watchDestroy(session) {
    const visit = this
    const original = session.destroy
    define(session, 'destroy', function destroy(fn) {
      if (!fn) return promised((done) => this.destroy(done))
      visit.isDestroyed = true
      if (!visit.mayBeStored()) {
        delete visit.req.session
        setImmediate(fn)
        return this
      }
      return original.call(this, function (error) {
        if (!error) visit.isStored = false
        fn.apply(this, arguments)
      })
    })
  }

  watchRegenerate(session) {
    const visit = this
    const { req, site } = this
    const original = session.regenerate
    define(session, 'regenerate', function regenerate(fn) {
      if (!fn) return promised((done) => this.regenerate(done))
      if (!visit.mayBeStored()) {
        setImmediate(() => begin(fn))
      } else if (site.rules.reportStoreErrors) {
        req.sessionStore.destroy(req.sessionID, (error) => (error ? fn(error) : begin(fn)))
      } else {
        original.call(this, (error) => {
          begun()
          fn(error)
        })
      }
      return this
    })

    function begin(fn) {
      req.sessionStore.generate(req)
      begun()
      fn()
    }

    function begun() {
      visit.savedText = undefined
      visit.savedSettings = undefined
      visit.isStored = false
      visit.watch(req.session)
    }
  }

  mayBeStored() {
    return this.isStored || this.site.rules.destroysUnstored
  }

  // Takes the response's end, and the moment before its headers leave.
  attach() {
    const { res } = this
    onHeaders(res, () => this.head())
    const visit = this
    const { end: finish, write } = res
    res.end = function end(chunk, encoding) {
      if (visit.isEnded) return false
      visit.isEnded = true
      return visit.finish(new Tail(res, write, finish, chunk, encoding))
    }
  }

  // Puts the cookie among the headers.
  head() {
    const { keys, req, site } = this
    const { session } = req
    this.isUnderWay = true
    if (!session) {
      debug('no session')
      if (site.rules.clearCookie && this.ended(COOKIE_STEPS) === COOKIE.expire) {
        this.setCookie(() => keys.printExpired(this.cookie?.data))
      }
      return
    }
    if (typeof req.sessionID !== 'string' || this.isGivenUp) return
    const facts = this.facts(session) + FACT.expiry[this.hasExpiry(session) ? 'some' : 'none']
    if (this.plan(facts + FACT.reach.open, COOKIE_STEPS) !== COOKIE.send) return
    // Asked once more, now that it matters how the request came.
    if (this.isInsecure(session)) {
      const plan = this.plan(facts + FACT.reach.insecure, COOKIE_STEPS)
      if (plan === COOKIE.withhold) debug('not secured')
      return
    }
    this.touch()
    this.setCookie(() => keys.print(req.sessionID, session.cookie.data))
    this.sent = req.sessionID
  }

  setCookie(print) {
    const { res } = this
    try {
      const line = print()
      debug('set-cookie %s', line)
      const before = res.getHeader('Set-Cookie') || []
      res.setHeader('Set-Cookie', Array.isArray(before) ? [...before, line] : [before, line])
    } catch (error) {
      setImmediate(this.next, error)
    }
  }

  // Sees to the session, and lets the response end.
  finish(tail) {
    const { req, site } = this
    const { session } = req
    const { store } = site
    if (this.isGivenUp) return pass(tail)

    if (!session) {
      const isGone = session === null || session === undefined
      if (isGone && req.sessionID && this.ended(STORE_STEPS) === STORE.destroy) {
        debug('destroying')
        return this.commit(tail, 'destroy', 'destroyed', (done) => store.destroy(req.sessionID, done))
      }
      debug('no session')
      return pass(tail)
    }

    this.touch()
    if (typeof req.sessionID !== 'string') {
      this.tellBogus()
      return pass(tail)
    }
    switch (this.storePlan(session)) {
      case STORE.write: {
        // It matters where a failure is told.
        const step = site.rules.commitsEarly && !this.isAsked(session) ? 'writeUnasked' : 'write'
        return this.commit(tail, step, null, (done) => req.session.save(done))
      }
      case STORE.touch:
        debug('touching')
        return this.commit(tail, 'touch', 'touched', (done) => store.touch(req.sessionID, session, done))
      default:
        return pass(tail)
    }
  }

  // Takes a step, and lets the response end when the store has answered.
  commit(tail, step, done, start) {
    if (this.site.rules.commitsEarly) return this.commitEarly(tail, step, done, start)
    this.isCommitting = true
    start((error) => {
      if (error) setImmediate(this.next, error)
      if (done) debug(done)
      tail.release()
    })
    this.isCommitting = false
    return tail.lead()
  }

  // The same, with nothing of the response sent before (departure 15). So a failure can still be told.
  commitEarly(tail, step, done, start) {
    const { failures } = this.site.rules
    let isAnswered = false
    this.isCommitting = true
    start((error) => {
      if (isAnswered) return
      isAnswered = true
      if (error && this.giveUp(error, failures[step])) return
      if (done) debug(done)
      tail.release()
    })
    this.isCommitting = false
    return isAnswered ? tail.result : true
  }

  // Says whether the response is another's now: that of whoever handles errors.
  giveUp(error, how) {
    const isTold = how === 'tell' && !this.res.headersSent
    if (how !== 'hide') this.isGivenUp = true
    if (!isTold) {
      setImmediate(this.next, error)
      return false
    }
    this.isEnded = false
    this.next(error)
    return true
  }

  // Starts the session's time anew, once for each response.
  touch() {
    const { req } = this
    if (this.isTouched) return
    req.session.touch()
    this.isTouched = true
  }

  // Adds up what is known of a session without looking at its data.
  facts(session) {
    const { presented, req } = this
    const { id, origin, record } = FACT
    return (
      FACT.session.live +
      (!presented ? id.unknown : presented === req.sessionID ? id.presented : id.other) +
      (this.id !== session.id ? origin.regenerated : this.isLoaded ? origin.loaded : origin.new) +
      (!this.isStored ? record.absent : this.site.canTouch ? record.touchable : record.untouchable) +
      FACT.attributes[this.attributes(session)]
    )
  }

  attributes(session) {
    if (!this.site.rules.cookieChangesSaved) return 'same'
    const settings = settingsOf(session.cookie)
    if (settings === this.settings) return 'same'
    return settings === this.savedSettings ? 'saved' : 'changed'
  }

  // Adds what its data says.
  data(session) {
    const text = textOf(session)
    const { data, saved } = FACT
    const isSaved = this.savedText === undefined ? 'never' : text === this.savedText ? 'current' : 'stale'
    return (text === this.text ? data.same : data.changed) + saved[isSaved]
  }

  // Looks the plan up. The data is looked at only where it makes a difference.
  plan(facts, steps) {
    const { table } = this.site.rules
    const all = this.savedText === undefined ? UNSAVED : SAVED
    const plan = table[facts + all[0]] & steps
    for (const data of all) {
      if ((table[facts + data] & steps) !== plan) return table[facts + this.data(this.req.session)] & steps
    }
    return plan
  }

  storePlan(session) {
    const facts = this.facts(session) + FACT.expiry.none + this.reach(session)
    // express-session looks at the data also where it makes no difference, and throws at what is no JSON.
    if (this.id !== session.id) return this.plan(facts, STORE_STEPS)
    return this.site.rules.table[facts + this.data(session)] & STORE_STEPS
  }

  // Looks up what is to be done when there is no session any more.
  ended(steps) {
    const { session, id, record } = FACT
    const facts =
      session[this.isUnread ? 'unread' : this.isDestroyed ? 'destroyed' : 'unset'] +
      (this.presented ? id.presented : id.unknown) +
      record[this.isStored ? 'touchable' : 'absent']
    return this.site.rules.table[facts] & steps
  }

  // Says whether the cookie can be sent, for those who want to know (departure 10).
  reach(session) {
    const { reach } = FACT
    if (!this.site.rules.skipUnreachableSessions) return reach.open
    if (this.isUnderWay) return this.sent === this.req.sessionID ? reach.sent : reach.late
    if (this.isInsecure(session)) return reach.insecure
    return this.isPrintable(session) ? reach.open : reach.unprintable
  }

  isInsecure(session) {
    return Boolean(session.cookie.secure) && !isSecure(this.req, this.site.proxy)
  }

  isPrintable(session) {
    try {
      this.keys.print(this.req.sessionID, session.cookie.data)
      return true
    } catch {
      return false
    }
  }

  // With the same id only: for another one the cookie is sent whatever its expiry.
  hasExpiry(session) {
    if (this.presented !== this.req.sessionID || this.site.rolling) return false
    const { expires } = session.cookie
    return expires !== null && expires !== undefined
  }

  // Says whether the handler has done something that it will miss.
  isAsked(session) {
    return this.savedText !== undefined || this.id !== session.id || textOf(session) !== this.text
  }

  // express-session says so when it thinks about saving, and once more about touching.
  tellBogus() {
    const { sessionID } = this.req
    debug('session ignored because of bogus req.sessionID %o', sessionID)
    if (this.site.canTouch) {
      debug('session ignored because of bogus req.sessionID %o', sessionID)
    }
  }
}

// Ends the response as if nobody had taken its end.
function pass(tail) {
  tail.release()
  return tail.result
}

function isEmpty(session) {
  for (const key in session) if (key !== 'cookie') return false
  return true
}

// Shadows a method, unseen by whoever lists the session's data.
function define(session, name, value) {
  Object.defineProperty(session, name, {
    configurable: true,
    enumerable: false,
    writable: true,
    value
  })
}
