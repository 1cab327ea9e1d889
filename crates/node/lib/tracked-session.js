'use strict'

// The session of one request whose record the addon has: what the request has changed is merged with what others have
// stored, and a session that another request has ended stays ended.

const { snapshotCookie, snapshotData } = require('./change-detection')
const { define } = require('./define')
const login = require('./login')
const { RequestSession } = require('./request-session')
const Session = require('./session')
const { isMaking, isMember, makingSessions } = require('./session-class')
const { errorWithCode } = require('./stores/failure')
const { setImmediate } = require('./timers')
const { heard, toPromise } = require('./to-promise')
const { endSessionsOf, sessionsOf, usersOf } = require('./user-sessions')

const { logIn, loggedIn, metadataOf, notLoggedIn, regenerateKeeping, renewId, requireFresh, requireLevel, stepUp } = login

exports.TrackedSession = class TrackedSession extends RequestSession {
  // The record of the request's session.
  record = undefined
  // The cookie as the session began with it, or as it was last saved.
  touchedCookie = undefined
  // Whether the next save is final: see `updateNow`.
  isFinal = false
  // The limit that had ended the session of the request's cookie.
  endedBy = undefined
  // Whether the application uses the session outside of a request, which is no visit.
  isOutside = false
  isLoggedOut = false
  // The id under which the next save stores the session: see `renewId`.
  renewal = undefined

  load(fn) {
    const { metadataMember } = this.config
    const record = this.recordOf(this.presentedId)
    this.record = record
    if (metadataMember === undefined) return record.load(fn)
    record.load((error, found) => {
      if (!error && !found) this.endedBy = record.endedBy
      // That of a session whose id was renewed is another one than the cookie's.
      if (found) this.req.sessionID = record.id
      fn(error, found)
    })
  }

  // Returns the record of an id, for this request.
  recordOf(id) {
    const { store, policy, metadataMember, notesClient } = this.config
    const record = store.record(policy, id, id === this.presentedId, metadataMember !== undefined)
    if (notesClient) {
      const { ip, socket, headers } = this.req
      record.noteClient(textOf(ip) ?? textOf(socket?.remoteAddress), textOf(headers['user-agent']))
    }
    return record
  }

  // A session that was loaded has another id than its cookie only where that was renewed.
  cookieMatch(session) {
    const match = super.cookieMatch()
    const { metadataMember } = this.config
    if (match !== 'other' || metadataMember === undefined || !this.isLoaded) return match
    return this.id === session.id && this.req.sessionID === session.id ? 'renewed' : match
  }

  recordStatus(session) {
    const status = super.recordStatus(session)
    if (!this.config.rules.renews || status === 'absent' || this.record?.id !== session.id) return status
    const isOpen = !this.areHeadersWritten && !this.res.headersSent && hasChangeableId(session)
    return isOpen && this.record.renews(!this.isInsecure(session)) ? 'renewable' : status
  }

  // The record's store knows its deadline, unless it is an option's.
  timeOfNextTouch({ originalMaxAge }) {
    if (this.config.store.hasOwnDeadline) return null
    return this.record.timeOfNextTouch(typeof originalMaxAge === 'number' ? originalMaxAge : undefined)
  }

  create() {
    makingSessions(SessionWithMethods, () => super.create())
  }

  generate() {
    makingSessions(SessionWithMethods, () => super.generate())
  }

  get sessionClass() {
    return SessionWithMethods
  }

  // Takes a session that the application has made of a record, which the store may have no more.
  adopt(session) {
    const { metadataMember } = this.config
    // The library's own member, which is no data, and which the addon reads itself.
    if (metadataMember !== undefined) delete session[metadataMember]
    this.record = undefined
    this.isStored = true
    this.initialData ??= snapshotData(session)
    this.watch(session, undefined, true)
    this.record.isMadeAgain = !this.config.rules.endIsFinal
  }

  watch(session, initialData, isUnread = false) {
    if (this.record?.id !== session.id || this.record.hasBegun) this.record = this.recordOf(session.id)
    this.record.begin(initialData ?? snapshotData(session), isUnread, initialData !== undefined)
    if (this.isOutside) this.record.leaveAlone()
    this.touchedCookie = snapshotCookie(session.cookie)
    setOwner(session, { tracked: this, record: this.record })
    const prototype = Object.getPrototypeOf(session)
    const extended = withMethods(prototype)
    if (prototype !== extended) Object.setPrototypeOf(session, extended)
    super.watch(session)
  }

  originals() {
    const tracked = this
    const { req, record } = this
    return {
      save(fn) {
        if (!fn) return toPromise((done) => this.save(done))
        const { config: { metadataMember }, renewal } = tracked
        tracked.renewal = undefined
        if (metadataMember !== undefined && Object.hasOwn(this, metadataMember)) {
          setImmediate(fn, reservedName())
          return this
        }
        // A session that is over is not made again, with any departures: its record may have been removed.
        const isOver = tracked.config.store.isOver(this, Date.now())
        if (isOver) record.isMadeAgain = false
        const isFinal = tracked.isFinal || isOver
        tracked.isFinal = false
        // Other requests may have touched the record since this one has loaded it.
        this.resetMaxAge()
        const savedCookie = snapshotCookie(this.cookie)
        record.save(this, (error, changed) => {
          if (error) {
            tracked.noteEnd(record, error)
          } else {
            if (record === tracked.record) tracked.touchedCookie = savedCookie
            tracked.caughtUp(record, changed)
          }
          fn(error)
        }, isFinal, tracked.identityOf(this), renewal)
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
        record.leave((error) => {
          tracked.generate()
          fn(error)
        })
        return this
      }
    }
  }

  reload(session, fn) {
    const { store } = this.config
    const record = this.recordOf(session.id)
    record.load((error, found) => {
      if (error) return fn(error)
      if (!found) return fn(new Error('failed to load session'))
      this.record = record
      if (this.id === session.id) this.id = record.id
      if (this.req.sessionID === session.id) this.req.sessionID = record.id
      makingSessions(this.sessionClass, () => store.createSession(this.req, found))
      fn()
    })
  }

  // Returns whether a session's id is sent, and how to give the session another one.
  identityOf(session) {
    const { req, res, config } = this
    return {
      isSent: () => res.headersSent,
      draw() {
        if (hasChangeableId(session)) return config.genid(req)
        throw errorWithCode('ERR_SESSION_CONFLICT', 'a write is in doubt, and the session can get no other id')
      },
      change: (id) => {
        const before = session.id
        if (!hasChangeableId(session)) {
          throw errorWithCode('ERR_SESSION_CONFLICT', 'the id was renewed, and the session can get no other id')
        }
        Object.defineProperty(session, 'id', { value: id })
        if (this.id === before) this.id = id
        if (req.sessionID === before) req.sessionID = id
      }
    }
  }

  // Returns the sessions of a session's user, or of another user.
  usersOf(session, user = loggedIn(session, ownerOf(session).record)) {
    if (user === undefined) throw notLoggedIn()
    const users = usersOf(this.config, user, this.config.secretsOf(this.req))
    ownerOf(session).record.askFor(users)
    return users
  }

  destroyRecord(done) {
    const { id } = this.record ?? {}
    // The session of a failed load, or one whose id the application has replaced.
    if (id !== this.req.sessionID) return super.destroyRecord(done)
    this.record.destroy(done)
  }

  leaveRecord(done) {
    if (this.record?.id !== this.req.sessionID) return super.destroyRecord(done)
    this.record.leave(done)
  }

  // A touch brings the store what this request has changed of the cookie, unless that is saved, and leaves what others have.
  touchRecord(session, done) {
    const isCookieChanged = snapshotCookie(session.cookie) !== this.touchedCookie
    const touched = (error, isThere) => {
      if (!error && !isThere && this.config.rules.endIsFinal) this.end(this.record, 'elsewhere')
      done(error)
    }
    if (this.config.metadataMember === undefined) this.record.touch(session, isCookieChanged, touched)
    else this.record.visit(session, isCookieChanged, touched)
  }

  // Stores the session under a new id at the end of a response.
  renewRecord(session, done) {
    const { record } = this
    const isUnsaved = this.isWriteExpected(session)
    try {
      this.renewal = { id: this.identityOf(session).draw(), isOptional: true }
    } catch (error) {
      return done(error)
    }
    const end = record.registerRenewal()
    session.save((error) => {
      end()
      // As with a touch: the session was ended meanwhile, and no cookie is sent.
      done(error?.code === 'ERR_SESSION_ENDED' && !isUnsaved ? undefined : error)
    })
  }

  // Returns the attributes of the cookie, which expires with the absolute timeout at the latest.
  cookieData(session) {
    const data = super.cookieData(session)
    if (this.config.metadataMember === undefined || this.record?.id !== session.id) return data
    const { cookieEnd } = this.record
    return data.expires > cookieEnd ? { ...data, expires: new Date(cookieEnd) } : data
  }

  writeCookie() {
    super.writeCookie()
    // W3C Clear Site Data, section 3.1.
    if (this.isLoggedOut && this.config.clearSiteData) {
      this.res.setHeader('Clear-Site-Data', '"cookies", "storage"')
    }
  }

  // Notes what others have changed, which is no change of this request.
  caughtUp(record, changed) {
    if (record !== this.record || changed.length === 0) return
    this.initialData = withMembers(this.initialData, changed)
    if (this.savedData !== undefined) this.savedData = withMembers(this.savedData, changed)
  }

  // Lets a lock end with the response. A client that goes away ends none: the handler still runs.
  releaseAtEnd(record) {
    const { res } = this
    const release = () => record.unlock().catch(() => {})
    if (res.writableFinished) return release()
    if (record.endsWithResponse) return
    record.endsWithResponse = true
    // A WebSocket's request has no response: the lock ends with `unlock` or its lease.
    res.once?.('finish', release)
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
    // Outside of a request there is no listener.
    this.req.emit?.('sessionEnded', reason)
  }
}

// The last middleware with `integrity` of each store. As `store.generate` is that of the last one, so are the sessions that
// the application makes.
const lastConfigs = new WeakMap()

// Lets a store make tracked sessions also where the application asks for one, with `load` and `createSession`.
exports.trackCreated = function trackCreated(config) {
  const { store } = config
  const isFirst = !lastConfigs.has(store)
  lastConfigs.set(store, config)
  if (!isFirst) return
  const { createSession, load } = store
  define(store, 'createSession', function (req, record) {
    const before = req?.session
    const session = createSession.apply(this, arguments)
    // A middleware tracks its own sessions, and one without `integrity` has others.
    const isOther = before && !ownerOf(before)
    if (isMaking() || isOther || typeof session?.id !== 'string' || session.id === '') return session
    trackedBy(req, before, lastConfigs.get(store)).adopt(session)
    return session
  })
  define(store, 'load', function (id, fn) {
    return load.call(this, id, (error, session) => {
      const owner = session && ownerOf(session)
      if (!owner) return fn(error, session)
      const find = (session) => {
        const { record } = ownerOf(session)
        record.find((error, renewed) => {
          if (error) return error.code === 'ERR_SESSION_ENDED' ? fn() : fn(error)
          // It goes on under another id.
          if (renewed) find(this.createSession({ sessionID: record.id, sessionStore: this }, renewed))
          else fn(null, session)
        })
      }
      find(session)
    })
  })
}

// Returns a value of the request that is text, and nothing for another one.
function textOf(value) {
  return typeof value === 'string' ? value : undefined
}

// Checks whether a session can get another id, as each of this package's can.
function hasChangeableId(session) {
  return Object.getOwnPropertyDescriptor(session, 'id')?.configurable === true
}

// Returns what tracks the session of a request, or makes it for a session outside of one.
function trackedBy(req, before, config) {
  const tracked = before && ownerOf(before)?.tracked
  if (tracked?.req === req) return tracked
  const outside = new exports.TrackedSession(config, undefined, undefined, req, {}, () => {})
  outside.isOutside = true
  return outside
}

// The methods that a session has with `integrity`. They are inherited, so that a member of the same name is kept.
const METHODS = {
  update(key, change) {
    return update(this, key, change)
  },

  async updateNow(key, change) {
    const { tracked, record } = ownerOf(this)
    if (record.isUnread) await read(this)
    let last
    update(this, key, (value) => (last = change(value)))
    tracked.isFinal = true
    await this.save()
    return last
  },

  async takeOnce(key) {
    const { tracked, record } = ownerOf(this)
    if (record.isUnread) await read(this)
    if (!Object.hasOwn(this, checked(key, tracked))) return undefined
    let taken
    update(this, key, (value) => {
      taken = value
    })
    tracked.isFinal = true
    await this.save()
    return taken
  },

  async lock(options) {
    const { tracked, record } = ownerOf(this)
    const { lock, changed } = await record.lock(this, options, tracked.identityOf(this)).catch((error) => {
      tracked.noteEnd(record, error)
      throw error
    })
    try {
      tracked.caughtUp(record, changed)
      await tracked.releaseAtEnd(record)
      return new SessionLock(this, tracked, record, lock)
    } catch (error) {
      // The caller has no lock to give back.
      await record.unlock().catch(() => {})
      throw error
    }
  },

  async login(user, options) {
    await logIn(this, ownerOf(this).tracked, user, options)
  },

  async logout() {
    const { tracked } = ownerOf(this)
    await this.destroy()
    tracked.isLoggedOut = true
  },

  loggedInUser() {
    const found = loggedIn(this, ownerOf(this).record)
    return found && JSON.parse(found)
  },

  requireFresh(maxAge) {
    requireFresh(this, ownerOf(this).record, maxAge)
  },

  requireLevel(level) {
    requireLevel(this, ownerOf(this).record, level)
  },

  async stepUp(level) {
    await stepUp(this, ownerOf(this).tracked, level)
  },

  async renewId() {
    await renewId(this, ownerOf(this))
  },

  async userSessions() {
    const { tracked } = ownerOf(this)
    return sessionsOf(tracked.config, tracked.usersOf(this))
  },

  async endUserSession(publicId) {
    if (typeof publicId !== 'string') throw new TypeError('endUserSession: the public id must be a string')
    const { tracked } = ownerOf(this)
    const users = tracked.usersOf(this)
    if (!users.isOwn(publicId)) return (await endSessionsOf(tracked.config, users, { publicId })) > 0
    await this.logout()
    return true
  },

  async endOtherSessions() {
    const { tracked, record } = ownerOf(this)
    const users = tracked.usersOf(this)
    const keep = (epoch) => record.keepEpoch(this, users, epoch)
    return endSessionsOf(tracked.config, users, { sparesOwn: true, keep })
  },

  async endAllSessions() {
    const { tracked } = ownerOf(this)
    const others = await endSessionsOf(tracked.config, tracked.usersOf(this), { sparesOwn: true })
    await this.logout()
    return others + 1
  },

  async regenerateKeeping(names) {
    await regenerateKeeping(this, ownerOf(this).tracked, names)
  }
}
// As of the methods that express-session has too.
const OF_USERS = ['userSessions', 'endUserSession', 'endOtherSessions', 'endAllSessions']
for (const name of ['updateNow', 'takeOnce', 'lock', 'login', 'logout', 'regenerateKeeping', 'stepUp', 'renewId', ...OF_USERS]) {
  const method = METHODS[name]
  METHODS[name] = function (...args) {
    return heard(method.apply(this, args))
  }
}

// The properties that a session has with `integrity`, and that are no data.
const PROPERTIES = {
  ended: ({ record }) => record.ended,
  endedBy: ({ tracked }) => tracked.endedBy,
  metadata: ({ record }) => metadataOf(record)
}

// Reads the record of a session that the application has made.
async function read(session) {
  const { tracked, record } = ownerOf(session)
  try {
    await record.find(undefined, tracked.identityOf(session))
  } catch (error) {
    tracked.noteEnd(record, error)
    throw error
  }
}

function update(session, key, change) {
  const { tracked, record } = ownerOf(session)
  return record.update(session, checked(key, tracked), change, (changed) => tracked.caughtUp(record, changed))
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
    if (!this.#record.holds(this.#lock)) return 0
    return Math.min(Math.max(this.#lock.until - Date.now(), 0), this.#lock.lease)
  }

  // Starts the lease again.
  renew() {
    return heard(this.#record.renewLock(this.#lock))
  }

  // Saves what was changed, and gives the lock back.
  unlock() {
    return heard(this.#unlock())
  }

  async #unlock() {
    const { savedData, initialData } = this.#tracked
    if (snapshotData(this.#session) !== (savedData ?? initialData)) await this.#session.save()
    await this.#record.unlock()
  }
}

// The owner of a session object: the session of the request, with its record.
let setOwner
let ownerOf
// Those of sessions of another class.
const foreignOwners = new WeakMap()

// The class of the sessions, to which the methods are added below. A member may have the name of one of them.
class SessionWithMethods extends Session {
  // Where a map of all sessions would be, which the garbage collection has to look through.
  #owner

  constructor(req, data) {
    super(req, data, OWN_NAMES)
  }

  static {
    setOwner = (session, owner) => {
      if (#owner in session) session.#owner = owner
      else foreignOwners.set(session, owner)
    }
    ownerOf = (session) => (#owner in session ? session.#owner : foreignOwners.get(session))
  }
}
const OWN_NAMES = Object.create(Session.prototype, { req: {}, id: {} })
delete SessionWithMethods.prototype.constructor

const prototypes = new WeakMap()

// Returns a prototype that has the methods and inherits from another one.
function withMethods(prototype) {
  let extended = prototypes.get(prototype)
  if (!extended) {
    extended = addMethods(Object.create(prototype))
    prototypes.set(prototype, extended)
    prototypes.set(extended, extended)
  }
  return extended
}

function addMethods(prototype) {
  for (const [name, value] of Object.entries(METHODS)) {
    Object.defineProperty(prototype, name, { configurable: true, writable: true, value })
  }
  for (const [name, read] of Object.entries(PROPERTIES)) {
    Object.defineProperty(prototype, name, {
      configurable: true,
      get() {
        const owner = ownerOf(this)
        return owner && read(owner)
      },
      // A member of this name.
      set(value) {
        Object.defineProperty(this, name, { configurable: true, enumerable: true, writable: true, value })
      }
    })
  }
  return prototype
}

const ownPrototype = addMethods(SessionWithMethods.prototype)
prototypes.set(Session.prototype, ownPrototype).set(ownPrototype, ownPrototype)

function checked(key, { config }) {
  if (key === config.metadataMember) throw reservedName()
  if (isMember(key)) return key
  throw errorWithCode('ERR_INVALID_ARG_VALUE', 'the key must be a string, and no name of a property of every session')
}

function reservedName() {
  const message = "the session has a member with the name of the library's own, which is the option metadataMember"
  return errorWithCode('ERR_SESSION_RESERVED_NAME', message)
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
