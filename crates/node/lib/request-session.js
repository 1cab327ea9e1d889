'use strict'

// The session of one request: tracks its facts, and acts at the end of the response. The engine decides: each fact is a
// number, and their sum is the index of the plan in the engine's table (src/engine/rules.rs).

const debug = require('debug')('express-session')
const onHeaders = require('on-headers')

const { EMPTY_DATA, snapshotCookie, snapshotData } = require('./change-detection')
const { define } = require('./define')
const { adopt } = require('./foreign-session')
const { isHttps } = require('./https')
const { facts, nextTouch, steps } = require('./native')
const { faultOf } = require('./stores/failure')
const { ResponseEnd } = require('./response-end')
const Session = require('./session')
const { makingSessions } = require('./session-class')
const { setImmediate } = require('./timers')
const { toPromise } = require('./to-promise')

const FACT = facts()
const { store: STORE, cookie: COOKIE } = steps()
const STORE_STEPS = STORE.write | STORE.touch | STORE.destroy | STORE.renew
const COOKIE_STEPS = COOKIE.send | COOKIE.expire | COOKIE.withhold

// The possible facts about the data, before it is compared: without an explicit save, and after one.
const { same, changed } = FACT.data
const { never, stale, current } = FACT.saved
const UNSAVED = [same + never, changed + never]
const SAVED = [same + stale, changed + stale, same + current, changed + current]

// The store's method of each step.
const METHODS = { write: 'set', writeUnasked: 'set', touch: 'touch', destroy: 'destroy' }

exports.RequestSession = class RequestSession {
  constructor(config, secrets, presentedId, req, res, next) {
    this.config = config
    this.secrets = secrets
    this.req = req
    this.res = res
    this.next = next
    // The id in the request's cookie.
    this.presentedId = presentedId
    // The session as it was loaded or created.
    this.id = undefined
    this.initialData = undefined
    this.initialCookie = undefined
    this.isLoaded = false
    // The session as it was when the handler last saved it.
    this.savedData = undefined
    this.savedCookie = undefined
    // The session as it was when it was last compared with these.
    this.comparedData = undefined
    // Whether the store has a record of it, as far as is known.
    this.isStored = false
    // The session's cookie, which is still needed when the session has been destroyed.
    this.cookie = undefined
    // The id that a cookie was sent for.
    this.sentId = undefined
    this.areHeadersWritten = false
    this.isTouched = false
    // The lifetime of the loaded record, and until when its expiry need not be reset: see `recordStatus`.
    this.touchedFor = undefined
    this.nextTouch = null
    this.isLoadFailed = false
    this.isDestroyed = false
    this.isCommitting = false
    this.isEnded = false
    // Whether the application has got the error of the last write that it asked for.
    this.isFailureKnown = false
    // Whether the store has failed and the request has got the error, so that nothing more is done.
    this.isAbandoned = false
  }

  // Calls back with the record that the request's cookie names.
  load(fn) {
    this.config.store.get(this.presentedId, fn)
  }

  // Creates a new session. A store that calls back twice may have loaded another one before. As in express-session,
  // the data of that one then counts as saved.
  create() {
    const { req, config } = this
    if (this.isLoaded && !config.resave) this.savedData ??= this.initialData
    config.store.generate(req)
    this.id = req.sessionID
    this.initialData = isEmpty(req.session) ? EMPTY_DATA : snapshotData(req.session)
    this.watch(req.session, this.initialData)
  }

  // Creates the session from its record.
  restore(record) {
    const { req, config } = this
    if (!config.resave) this.savedData = undefined
    if (config.rules.throttlesTouch && record.cookie) {
      this.touchedFor = record.cookie.originalMaxAge
      this.nextTouch = this.timeOfNextTouch(record.cookie)
    }
    makingSessions(this.sessionClass, () => config.store.createSession(req, record))
    this.id = req.sessionID
    this.initialData = snapshotData(record)
    this.isLoaded = true
    this.isStored = true
    this.watch(req.session, this.initialData)
  }

  get sessionClass() {
    return Session
  }

  // Notes that there is no session, although the store may have a record.
  loadFailed() {
    this.isLoadFailed = true
    this.isStored = true
  }

  // Wraps the session's methods, to track the handler's calls.
  watch(session) {
    const { rules } = this.config
    adopt(session)
    if (rules.cookieChangesSaved) this.initialCookie = snapshotCookie(session.cookie)
    this.cookie = session.cookie
    const originals = this.originals(session)
    this.watchSave(session, originals.save)
    this.watchReload(session, originals.reload)
    // Without departures, express-session does not track these.
    if (!rules.watchesEnd) return
    this.watchDestroy(session, originals.destroy)
    this.watchRegenerate(session, originals.regenerate)
  }

  // Makes a new session in place of another one.
  generate() {
    this.req.sessionStore.generate(this.req)
  }

  // Returns the methods that the wrapped ones call.
  originals({ save, reload, destroy, regenerate }) {
    return { save, reload, destroy, regenerate }
  }

  watchSave(session, original) {
    const tracked = this
    const { rules } = this.config
    define(session, 'save', function save(...[fn]) {
      debug('saving %s', this.id)
      // The middleware's own save at the end of the response is not an explicit one.
      if (tracked.isCommitting) return original.apply(this, arguments)
      if (rules.reportStoreErrors && !fn) return toPromise((done) => this.save(done))
      if (rules.saveRenews) {
        this.touch()
        tracked.isTouched = true
      }
      const { savedData, savedCookie } = tracked
      tracked.savedData = snapshotData(this)
      if (rules.cookieChangesSaved) tracked.savedCookie = snapshotCookie(this.cookie)
      tracked.isStored = true
      if (!rules.reportStoreErrors) return original.apply(this, arguments)
      return original.call(this, function (error) {
        if (error) Object.assign(tracked, { savedData, savedCookie })
        tracked.isFailureKnown = Boolean(error)
        fn.apply(this, arguments)
      })
    })
  }

  watchReload(session, original) {
    const tracked = this
    define(session, 'reload', function reload(fn) {
      debug('reloading %s', this.id)
      if (!fn) return toPromise((done) => original.call(this, rewatch(this, done)))
      return original.call(this, rewatch(this, fn))
    })

    // Reloading creates another session object.
    function rewatch(before, fn) {
      return function () {
        const { session } = tracked.req
        if (session && session !== before) tracked.watch(session)
        fn.apply(this, arguments)
      }
    }
  }

  watchDestroy(session, original) {
    const tracked = this
    define(session, 'destroy', function destroy(fn) {
      if (!fn) return toPromise((done) => this.destroy(done))
      tracked.isDestroyed = true
      if (!tracked.needsDestroy()) {
        delete tracked.req.session
        setImmediate(fn)
        return this
      }
      return original.call(this, function (error) {
        if (!error) tracked.isStored = false
        tracked.isFailureKnown = Boolean(error)
        fn.apply(this, arguments)
      })
    })
  }

  watchRegenerate(session, original) {
    const tracked = this
    const { req, config } = this
    define(session, 'regenerate', function regenerate(fn) {
      if (!fn) return toPromise((done) => this.regenerate(done))
      if (!tracked.needsDestroy()) {
        setImmediate(() => generate(fn))
      } else if (config.rules.reportStoreErrors) {
        tracked.leaveRecord((error) => {
          tracked.isFailureKnown = Boolean(error)
          return error ? fn(error) : generate(fn)
        })
      } else {
        original.call(this, (error) => {
          track()
          fn(error)
        })
      }
      return this
    })

    function generate(fn) {
      tracked.generate()
      track()
      fn()
    }

    function track() {
      tracked.savedData = undefined
      tracked.savedCookie = undefined
      tracked.isStored = false
      tracked.watch(req.session)
    }
  }

  // Checks whether ending the session takes a call of the store.
  needsDestroy() {
    return this.isStored || this.config.rules.destroysUnstored
  }

  // Hooks the end of the response, and the moment before its headers are sent.
  attach() {
    const { res } = this
    const attached = this
    beforeHeaders(res, () => this.writeCookie())
    const { end: originalEnd, write } = res
    res.end = function end(chunk, encoding) {
      if (attached.isEnded) return false
      attached.isEnded = true
      return attached.commit(new ResponseEnd(res, write, originalEnd, chunk, encoding))
    }
  }

  // Adds the cookie to the headers.
  writeCookie() {
    const { secrets, req, config } = this
    const { session } = req
    this.areHeadersWritten = true
    if (!session) {
      debug('no session')
      if (config.rules.clearCookie && this.planWithoutSession(COOKIE_STEPS) === COOKIE.expire) {
        this.setCookie(() => secrets.printExpired(this.cookie?.data))
      }
      return
    }
    if (typeof req.sessionID !== 'string' || this.isAbandoned) return
    const facts = this.sessionFacts(session) + FACT.expiry[this.hasExpiry(session) ? 'some' : 'none']
    if (this.plan(facts + FACT.reach.open, COOKIE_STEPS) !== COOKIE.send) return
    // Decided again with HTTPS as a fact, which is only looked at when a cookie is to be sent.
    if (this.isInsecure(session)) {
      const plan = this.plan(facts + FACT.reach.insecure, COOKIE_STEPS)
      if (plan !== COOKIE.withhold) return
      debug('not secured')
      config.warnings?.withhold(req, session.cookie.secure, config.proxy)
      return
    }
    this.touch()
    const isSent = this.setCookie(() => secrets.printCookie(req.sessionID, this.cookieData(session)))
    if (isSent) config.warnings?.sendCookie(req, session.cookie.data, !this.presentedId)
    this.sentId = req.sessionID
  }

  // Returns the attributes of the cookie for the browser.
  cookieData(session) {
    return session.cookie.data
  }

  // Returns whether the cookie could be printed.
  setCookie(print) {
    const { res } = this
    try {
      const line = print()
      debug('set-cookie %s', line)
      const before = res.getHeader('Set-Cookie') || []
      res.setHeader('Set-Cookie', Array.isArray(before) ? [...before, line] : [before, line])
      return true
    } catch (error) {
      setImmediate(this.next, error)
      return false
    }
  }

  // Makes the store's call, if there is one to make, and ends the response.
  commit(responseEnd) {
    const { req, config } = this
    const { session } = req
    if (this.isAbandoned) return responseEnd.sendEnd()

    if (!session) {
      const isUnset = session === null || session === undefined
      if (isUnset && req.sessionID && this.planWithoutSession(STORE_STEPS) === STORE.destroy) {
        debug('destroying')
        return this.callStore(responseEnd, 'destroy', 'destroyed', (done) => this.destroyRecord(done))
      }
      debug('no session')
      return responseEnd.sendEnd()
    }

    this.touch()
    if (typeof req.sessionID !== 'string') {
      this.debugBogusId()
      return responseEnd.sendEnd()
    }
    const plan = this.storePlan(session)
    if (config.warnings?.looksForLateSessions) this.warnIfLate(session, plan)
    switch (plan) {
      case STORE.write: {
        // A write that the handler did not ask for fails in another way.
        const isUnasked = config.rules.commitsEarly && !this.isWriteExpected(session, this.comparedData)
        const step = isUnasked ? 'writeUnasked' : 'write'
        return this.callStore(responseEnd, step, null, (done) => req.session.save(done))
      }
      case STORE.touch:
        debug('touching')
        return this.callStore(responseEnd, 'touch', 'touched', (done) => this.touchRecord(session, done))
      case STORE.renew: {
        debug('renewing')
        // Without a change, the visitor goes on under the old id.
        const step = this.isWriteExpected(session) ? 'write' : 'touch'
        return this.callStore(responseEnd, step, 'renewed', (done) => this.renewRecord(session, done))
      }
      default:
        return responseEnd.sendEnd()
    }
  }

  destroyRecord(done) {
    this.config.store.destroy(this.req.sessionID, done)
  }

  // Destroys the record for a new session. The one before goes on if that fails.
  leaveRecord(done) {
    this.destroyRecord(done)
  }

  touchRecord(session, done) {
    this.config.store.touch(this.req.sessionID, session, done)
  }

  // Makes a call, and ends the response when the store has answered. Until then everything but the end is sent, or
  // nothing at all (departure 15), so that the response can still report a failure.
  callStore(responseEnd, step, done, call) {
    const { commitsEarly, failures } = this.config.rules
    let isAnswered = false
    let open = () => {}
    this.isCommitting = true
    call((error) => {
      if (commitsEarly) {
        if (isAnswered) return
        isAnswered = true
        open()
        if (error && this.handleFailure(error, failures[step])) return
      } else if (error) {
        setImmediate(this.next, error)
      }
      if (done) debug(done)
      responseEnd.sendEnd()
    })
    this.isCommitting = false
    if (!commitsEarly) return responseEnd.sendStart(this.config.patienceFor(METHODS[step]))
    if (isAnswered) return responseEnd.result
    // Loaded if it is used, so that requiring the package takes less time.
    open = require('./closed-response').closeResponse(this.res)
    return true
  }

  // Handles a failure of the store. Returns whether the application's error handler now answers the request.
  handleFailure(error, rules) {
    const fault = faultOf(error)
    const how = rules[fault]
    // An application that knows of the failure has answered as it wants to.
    if (this.isFailureKnown && how === 'tell') {
      this.isAbandoned = true
      return false
    }
    const isReported = how === 'tell' && !this.res.headersSent
    if (how !== 'hide') this.isAbandoned = true
    if (!isReported) {
      // That another request has ended the session is no error of this one.
      if (fault !== 'ended') setImmediate(this.next, error)
      return false
    }
    this.isEnded = false
    this.next(error)
    return true
  }

  // Resets the expiry, once for each response.
  touch() {
    const { req } = this
    if (this.isTouched) return
    req.session.touch()
    this.isTouched = true
  }

  // Returns the sum of the facts that do not depend on the data.
  sessionFacts(session) {
    const { id, origin, record } = FACT
    return (
      FACT.session.live +
      id[this.cookieMatch(session)] +
      (this.id !== session.id ? origin.regenerated : this.isLoaded ? origin.loaded : origin.new) +
      record[this.recordStatus(session)] +
      FACT.attributes[this.cookieChange(session)]
    )
  }

  // Returns the fact whether the request's cookie has the session's id.
  cookieMatch() {
    const { presentedId, req } = this
    return !presentedId ? 'unknown' : presentedId === req.sessionID ? 'presented' : 'other'
  }

  recordStatus(session) {
    if (!this.isStored) return 'absent'
    if (!this.config.canTouch) return 'untouchable'
    // A lifetime that the request has changed still has to reach the store.
    const isTouched = Date.now() < this.nextTouch && this.touchedFor === session.cookie.originalMaxAge
    return isTouched ? 'touched' : 'touchable'
  }

  // Returns until when a request that only reads leaves the expiry of a record, because it was reset recently, or null.
  // Without a max age that is not known here: stores differ.
  timeOfNextTouch({ originalMaxAge, expires }) {
    if (typeof originalMaxAge !== 'number' || !expires) return null
    return nextTouch(this.config.touchAfter, originalMaxAge, new Date(expires).getTime(), Date.now())
  }

  cookieChange(session) {
    if (!this.config.rules.cookieChangesSaved) return 'same'
    const now = snapshotCookie(session.cookie)
    if (now === this.initialCookie) return 'same'
    return now === this.savedCookie ? 'saved' : 'changed'
  }

  // Returns the sum of the facts about the data.
  dataFacts(session) {
    const now = (this.comparedData = snapshotData(session))
    const { data, saved } = FACT
    const savedAs = this.savedData === undefined ? 'never' : now === this.savedData ? 'current' : 'stale'
    return (now === this.initialData ? data.same : data.changed) + saved[savedAs]
  }

  // Finds the plan. Compares the data only if the plan depends on it.
  plan(facts, steps) {
    const { table } = this.config.rules
    const all = this.savedData === undefined ? UNSAVED : SAVED
    const plan = table[facts + all[0]] & steps
    for (const data of all) {
      if ((table[facts + data] & steps) !== plan) return table[facts + this.dataFacts(this.req.session)] & steps
    }
    return plan
  }

  storePlan(session) {
    const facts = this.sessionFacts(session) + FACT.expiry.none + this.reach(session)
    // express-session serializes the data even if it makes no difference, and throws if it is not JSON.
    if (this.id !== session.id) return this.plan(facts, STORE_STEPS)
    return this.config.rules.table[facts + this.dataFacts(session)] & STORE_STEPS
  }

  // Finds the plan of a request whose session has ended.
  planWithoutSession(steps) {
    const { session, id, record } = FACT
    const facts =
      session[this.isLoadFailed ? 'unread' : this.isDestroyed ? 'destroyed' : 'unset'] +
      (this.presentedId ? id.presented : id.unknown) +
      record[this.isStored ? 'touchable' : 'absent']
    return this.config.rules.table[facts] & steps
  }

  // Returns the fact whether the cookie can be sent, which only departure 10 takes into account.
  reach(session) {
    const { reach } = FACT
    if (!this.config.rules.skipUnreachableSessions) return reach.open
    if (this.areHeadersWritten) return this.sentId === this.req.sessionID ? reach.sent : reach.late
    if (this.isInsecure(session)) return reach.insecure
    return this.isPrintable(session) ? reach.open : reach.unprintable
  }

  // Warns of a new session whose cookie is not among the headers that have been sent.
  warnIfLate(session, plan) {
    const { req, res, config } = this
    const isKnown = ['presented', 'renewed'].includes(this.cookieMatch(session))
    if (!res.headersSent || isKnown || this.sentId === req.sessionID) return
    // With departure 10, such a session is not stored.
    const isWanted = config.rules.skipUnreachableSessions ? this.isWriteExpected(session) : plan === STORE.write
    if (isWanted && !this.isInsecure(session)) config.warnings.findLateSession()
  }

  isInsecure(session) {
    return Boolean(session.cookie.secure) && !isHttps(this.req, this.config.proxy)
  }

  isPrintable(session) {
    try {
      this.secrets.printCookie(this.req.sessionID, session.cookie.data)
      return true
    } catch {
      return false
    }
  }

  // Checks whether the cookie has an expiry that matters: the cookie of another id is sent in any case.
  hasExpiry(session) {
    if (this.presentedId !== this.req.sessionID || this.config.rolling) return false
    const { expires } = session.cookie
    return expires !== null && expires !== undefined
  }

  // Checks whether the handler has changed or saved the session, and so expects it to be stored. `data` is the session's, if
  // it has just been written as text.
  isWriteExpected(session, data = undefined) {
    if (this.savedData !== undefined || this.id !== session.id) return true
    return (data ?? snapshotData(session)) !== this.initialData
  }

  // express-session prints it when it decides about saving, and again about touching.
  debugBogusId() {
    for (let times = this.config.canTouch ? 2 : 1; times > 0; times--) {
      debug('session ignored because of bogus req.sessionID %o', this.req.sessionID)
    }
  }
}

// Calls a function once, before the headers are written: as the package on-headers, without its work for calls that
// set neither headers nor a message, as all of Node's own.
function beforeHeaders(res, fn) {
  const { writeHead: original } = res
  let isDue = true
  const callOnce = () => {
    if (!isDue) return
    isDue = false
    fn()
  }
  res.writeHead = function writeHead(statusCode) {
    if (arguments.length > 1 || typeof statusCode !== 'number') {
      const wrapped = { writeHead: original }
      onHeaders(wrapped, callOnce)
      return wrapped.writeHead.apply(this, arguments)
    }
    this.statusCode = statusCode
    callOnce()
    return original.call(this, this.statusCode)
  }
}

function isEmpty(session) {
  if (typeof session.toJSON === 'function') return false
  for (const key in session) if (key !== 'cookie') return false
  return true
}
