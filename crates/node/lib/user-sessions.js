'use strict'

// The sessions of one user: their list and their end, and the lock under which a user logs in within `maxSessions`. The
// addon decides which sessions are meant, and which of them a login may leave (src/store/users.rs).

const { UserSessions, isUser } = require('./native')
const { keysOf } = require('./secrets')
const { errorWithCode } = require('./stores/failure')
const { LOCK, pause, times } = require('./stores/waits')

module.exports = { endSessionsOf, epochOf, forAdministrators, limitedLogin, sessionsOf, usersOf }

// Returns the sessions of a user, as JSON, for the calls below. `secrets` are those of the public ids.
function usersOf({ policy }, user, secrets) {
  const { keys } = keysOf(secrets)
  if (keys.length === 0) throw new Error('secret option required for sessions')
  return new UserSessions(policy, user, keys)
}

// Returns the list for a page that shows it, the session with the latest visit first.
async function sessionsOf({ store }, users) {
  const text = await store.call((native) => native.sessionsOf(users, Date.now()))
  return JSON.parse(text).map(({ publicId, created, seen, authenticated, firstClient, lastClient, isCurrent }) => ({
    publicId,
    created: date(created),
    seen: date(seen),
    authenticated: date(authenticated),
    isCurrent,
    ...(firstClient ? { firstClient, lastClient } : {})
  }))
}

// Ends the session of a public id, all but the one that asks, or all, and returns how many. `keep` gives the session that
// asks an epoch, if it is to go on.
async function endSessionsOf(config, users, { publicId, sparesOwn = false, keep } = {}) {
  // In order with the logins, if they take the lock. Without it the sessions end all the same.
  const lock = config.rules.limitsSessions ? await lockUser(config, users).catch(() => undefined) : undefined
  try {
    if (config.rules.hasEpochs && publicId === undefined) await raiseEpoch(config, users, keep)
    return await config.store.call((native) => native.endSessionsOf(users, publicId, sparesOwn, Date.now()))
  } finally {
    await lock?.release()
  }
}

// Raises the user's epoch, before the sessions are looked for. The session that goes on gets the new one first.
async function raiseEpoch({ store }, users, keep) {
  const raise = () => store.call((native) => native.raiseEpoch(users, keep !== undefined, Date.now()))
  for (let epoch = await raise(); epoch >= 0; epoch = await raise()) await keep(epoch)
}

// Returns the user's epoch.
function epochOf({ store }, users) {
  return store.call((native) => native.epochOf(users, Date.now()))
}

// Logs a user in within the limit. `logIn` makes the session, `save` stores it, and `forget` goes on without the user.
async function limitedLogin(config, users, { logIn, save, forget }) {
  const lock = await lockUser(config, users)
  try {
    const epoch = await config.store.call((native) => native.admit(users, Date.now()))
    if (epoch < 0) return false
    const fresh = await logIn(epoch)
    try {
      await save(fresh)
      // Otherwise another login may have counted without this one.
      if (!users.isHeld(lock.until, times.lease, Date.now())) throw locked('the login took longer than its lock')
    } catch (error) {
      await forget(fresh)
      throw error
    }
    return true
  } finally {
    await lock.release()
  }
}

async function lockUser({ store }, users) {
  const end = Date.now() + times.wait
  const turn = store.turn(users.lockId())
  // A lock that cannot be given back ends with its lease.
  const release = async () => {
    turn.end()
    await store.call((native) => native.unlockUser(users)).catch(() => {})
  }
  try {
    await turn.until(end)
    for (let attempts = 0; ; attempts += 1) {
      const now = Date.now()
      if (await store.call((native) => native.lockUser(users, times.lease, now))) {
        turn.endAfter(times.lease)
        return { until: now + times.lease, release }
      }
      if (Date.now() >= end) throw locked(`another login of the user has had the lock for ${times.wait} ms`)
      await pause(LOCK, attempts)
    }
  } catch (error) {
    await release()
    throw error
  }
}

// Returns the methods of a middleware, whose options are `config`: the user's own are those of the session.
function forAdministrators(config, secrets) {
  const users = (method, user) => {
    if (!config.policy) {
      const stores = 'a store of express-session-rs/stores, such as RedisStore or PostgresStore'
      throw errorWithCode('ERR_SESSION_UNSUPPORTED', `${method}: it needs integrity: true, and ${stores}`)
    }
    return usersOf(config, userText(method, user), secrets ?? [])
  }
  return {
    async sessionsOf(user) {
      return sessionsOf(config, users('sessionsOf', user))
    },
    async endSessionOf(user, publicId) {
      if (typeof publicId !== 'string') throw new TypeError('endSessionOf: the public id must be a string')
      return (await endSessionsOf(config, users('endSessionOf', user), { publicId })) > 0
    },
    async endSessionsOf(user) {
      return endSessionsOf(config, users('endSessionsOf', user))
    }
  }
}

function userText(method, user) {
  const text = JSON.stringify(user)
  if (text !== undefined && isUser(text)) return text
  throw errorWithCode('ERR_INVALID_ARG_VALUE', `${method}: the user must be JSON, not null, and of at most 1,024 bytes`)
}

function locked(message) {
  return Object.assign(errorWithCode('ERR_SESSION_LOCKED', message), { status: 503, statusCode: 503 })
}

function date(millis) {
  return millis === null ? undefined : new Date(millis)
}
