// The sessions of a user: their list, their end, and `maxSessions`.

import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { describe, test } from 'node:test'

import { createClient } from 'redis'
import session from 'express-session-rs'
import { MemcachedStore, MemoryStore, RedisStore } from 'express-session-rs/stores'
import { missingServer, urls } from '../testing/servers.mjs'
import { options, thrown } from '../testing/sides.mjs'
import { allStores } from '../testing/stores.mjs'
import { ask, eachLoggedIn, Visitor } from '../testing/visits.mjs'

const BEGINNING = 1_700_000_000_000
const [SECOND, MINUTE, HOUR] = [1000, 60_000, 3_600_000]

const clock = { now: BEGINNING }
Date.now = () => clock.now

const visitor = (more) => new Visitor(clock, BEGINNING, { metadata: true, ...more })
const named = ({ publicId }) => publicId
const byName = (one, other) => (one.publicId < other.publicId ? -1 : 1)

// The public id that the Rust layer gives a session too: the same is in the documentation of its keyring.
const APPLE = 'wFajvulx5RRrCT9wm8HwbkEVagN8yrpaKfpf87JZ0oc'

function publicId(id) {
  const key = createHmac('sha256', 'keyboard cat').update('public id').digest('base64').replace('=', '')
  return createHmac('sha256', key).update(id).digest('base64url')
}

const loggedIn = (...visits) => eachLoggedIn(visitor, ...visits)

const userOf = (browser, after) => ask(browser, after, (own) => own.loggedInUser())
const endedBy = (browser, after) => ask(browser, after, (own) => own.endedBy)

test('public ids are those of the Rust layer', () => {
  assert.equal(publicId('apple'), APPLE)
})

describe('the list', () => {
  for (const [name, open, server] of allStores('of_user')) {
    test(`${name}: it has the sessions of the user alone, and says which one is current`, { skip: missingServer(server) }, async () => {
      const store = open()
      const [phone, laptop, eve] = await loggedIn(store, ['bob', 'bob', 'eve'])
      const passport = visitor({ store })
      await passport.visit(3 * SECOND, (req) => void (req.session.passport = { user: 'bob' }))
      await visitor({ store }).visit(3 * SECOND, (req) => void (req.session.friend = 'bob'))
      await phone.visit(MINUTE, () => {})
      const found = await ask(laptop, 2 * MINUTE, (own) => own.userSessions())
      const at = (seconds) => new Date(BEGINNING + seconds * SECOND)
      const expected = [
        { publicId: publicId(phone.id), created: at(0), seen: at(60), authenticated: at(0), isCurrent: false },
        { publicId: publicId(passport.id), created: at(3), seen: at(3), authenticated: undefined, isCurrent: false },
        { publicId: publicId(laptop.id), created: at(1), seen: at(1), authenticated: at(1), isCurrent: true }
      ]
      // A server's own clock, which this test does not move, shows later visits.
      const comparable = (all) => (server ? all.map(({ seen: _, ...others }) => others).sort(byName) : all)
      assert.deepEqual(comparable(found), comparable(expected))
      const others = await ask(eve, 2 * MINUTE, (own) => own.userSessions())
      assert.deepEqual(others.map(named), [publicId(eve.id)])
      const listed = await laptop.use.sessionsOf('bob')
      assert.deepEqual(listed.map(({ isCurrent }) => isCurrent), [false, false, false])
      assert.deepEqual(listed.map(named).sort(), found.map(named).sort())
      assert.deepEqual(await laptop.use.sessionsOf('carol'), [])
      await store.clear()
      await store.close()
    })
  }

  test('a user is the same JSON, and a guest has no list', async () => {
    const store = new MemoryStore()
    const [seven] = await loggedIn(store, [7, '7', { id: 7 }])
    assert.equal((await seven.use.sessionsOf(7)).length, 1)
    assert.equal((await seven.use.sessionsOf({ id: 7 })).length, 1)
    for (const user of [undefined, null, () => {}, 'x'.repeat(1023)]) {
      await assert.rejects(seven.use.sessionsOf(user), { code: 'ERR_INVALID_ARG_VALUE' })
    }
    await visitor({ store }).visit(MINUTE, async (req) => {
      for (const method of ['userSessions', 'endOtherSessions', 'endAllSessions']) {
        await assert.rejects(req.session[method](), { status: 401, code: 'ERR_SESSION_NOT_LOGGED_IN' })
      }
      await assert.rejects(req.session.endUserSession('x'), { status: 401 })
    })
  })

  test('a session that has ended is not in it, and one whose id was renewed is, once', async () => {
    const store = new MemoryStore()
    const [phone, laptop] = await loggedIn(store, ['bob', 'bob'], { idleTimeout: HOUR, renewalGrace: HOUR })
    await laptop.visit(50 * MINUTE, (req) => req.session.renewId())
    const found = await ask(laptop, 50 * MINUTE, (own) => own.userSessions())
    assert.deepEqual(found.map(named), [laptop, phone].map(({ id }) => publicId(id)))
    const left = await ask(laptop, 70 * MINUTE, (own) => own.userSessions())
    assert.deepEqual(left.map(named), [publicId(laptop.id)])
  })

  test('it needs integrity, and a secret', async () => {
    for (const store of [undefined, new MemoryStore()]) {
      const use = session(options({ store }))
      for (const method of ['sessionsOf', 'endSessionsOf']) {
        await assert.rejects(use[method]('bob'), { code: 'ERR_SESSION_UNSUPPORTED', message: /it needs integrity: true, and a store of/ })
      }
      await assert.rejects(use.endSessionOf('bob', 'x'), { code: 'ERR_SESSION_UNSUPPORTED' })
      assert.deepEqual(Object.keys(use), [])
    }
    const use = session(options({ store: new MemoryStore(), integrity: true, secret: undefined }))
    await assert.rejects(use.sessionsOf('bob'), { message: 'secret option required for sessions' })
  })
})

describe('the end', () => {
  for (const [name, open, server] of allStores('ended_of_user')) {
    test(`${name}: all others, and then all, with a reason for the next request`, { skip: missingServer(server) }, async () => {
      const store = open()
      const [phone, tablet, laptop, eve] = await loggedIn(store, ['bob', 'bob', 'bob', 'eve'])
      assert.equal(await ask(laptop, MINUTE, (own) => own.endOtherSessions()), 2)
      for (const ended of [phone, tablet]) {
        assert.ok(!(await ended.record()).includes('bob'))
        assert.deepEqual([await endedBy(ended, MINUTE), await userOf(ended, MINUTE)], ['revoked', undefined])
      }
      assert.deepEqual([await userOf(laptop, MINUTE), await userOf(eve, MINUTE)], ['bob', 'eve'])
      await loggedIn(store, ['bob'])
      const { cookie } = laptop
      assert.equal(await ask(laptop, 2 * MINUTE, (own) => own.endAllSessions()), 2)
      laptop.cookie = cookie
      assert.equal(await userOf(laptop, 2 * MINUTE), undefined)
      assert.deepEqual(await laptop.use.sessionsOf('bob'), [])
      assert.equal(await eve.use.endSessionsOf('eve'), 1)
      assert.equal(await userOf(eve, 2 * MINUTE), undefined)
      await store.clear()
      await store.close()
    })
  }

  test('one, by its public id, if it is the user\'s', async () => {
    const store = new MemoryStore()
    const [phone, laptop, eve] = await loggedIn(store, ['bob', 'bob', 'eve'])
    const end = (browser, id) => ask(browser, MINUTE, (own) => own.endUserSession(id))
    assert.equal(await end(eve, publicId(phone.id)), false)
    assert.equal(await eve.use.endSessionOf('eve', publicId(phone.id)), false)
    for (const wrong of ['', 'x', publicId(phone.id).slice(1)]) assert.equal(await end(laptop, wrong), false)
    assert.equal(await userOf(phone, MINUTE), 'bob')
    assert.equal(await end(laptop, publicId(phone.id)), true)
    assert.equal(await end(laptop, publicId(phone.id)), false)
    assert.equal(await endedBy(phone, MINUTE), 'revoked')
    // Its own is logged out.
    const { id } = laptop
    assert.equal(await end(laptop, publicId(id)), true)
    assert.equal(await laptop.record(id), undefined)
    assert.equal(await eve.use.endSessionOf('eve', publicId(eve.id)), true)
    await ask(eve, MINUTE, async (own) => {
      for (const id of [undefined, 7]) await assert.rejects(own.endUserSession(id), { name: 'TypeError' })
    })
    await assert.rejects(eve.use.endSessionOf('eve'), { name: 'TypeError' })
  })

  test('by an id of an earlier secret', async () => {
    const store = new MemoryStore()
    const [phone] = await loggedIn(store, ['bob'])
    const use = session({ ...options({ store, integrity: true, secret: ['other secret', 'keyboard cat'] }), genid: undefined })
    assert.notEqual((await use.sessionsOf('bob'))[0].publicId, publicId(phone.id))
    assert.equal(await use.endSessionOf('bob', publicId(phone.id)), true)
  })

  test('all, where an index lists some of them', { skip: missingServer('redis') }, async () => {
    const prefix = 'indexed-users:'
    const store = new RedisStore({ url: urls.redis, prefix, userIndex: true })
    const client = await createClient({ url: urls.redis }).connect()
    const [phone] = await loggedIn(store, ['bob'])
    // As connect-redis stores it, after a login by passport.
    await client.set(`${prefix}of-express`, '{"cookie":{"path":"/"},"passport":{"user":"bob"}}', { EX: 3600 })
    assert.deepEqual((await phone.use.sessionsOf('bob')).map(named), [publicId(phone.id)])
    assert.equal(await phone.use.endSessionsOf('bob'), 2)
    assert.deepEqual(await phone.use.sessionsOf('bob'), [])
    await Promise.all([store.close(), client.quit()])
  })

  test('a request under way stores nothing more', async () => {
    const store = new MemoryStore()
    const [phone, laptop] = await loggedIn(store, ['bob', 'bob'])
    const { id } = phone
    let reason
    await phone.visit(MINUTE, async (req) => {
      req.once('sessionEnded', (why) => (reason = why))
      await ask(laptop, MINUTE, (own) => own.endOtherSessions())
      req.session.views = 1
    })
    assert.equal(reason, 'elsewhere')
    assert.ok(!(await phone.record(id)).includes('views'))
    phone.cookie = undefined
    assert.equal((await laptop.use.sessionsOf('bob')).length, 1)
  })

  test('one whose id was renewed meanwhile ends under the new one', async () => {
    const store = new MemoryStore()
    const [phone, laptop] = await loggedIn(store, ['bob', 'bob'], { renewalGrace: HOUR })
    const { cookie } = phone
    await phone.visit(MINUTE, (req) => req.session.renewId())
    assert.equal(await ask(laptop, MINUTE, (own) => own.endOtherSessions()), 1)
    assert.equal(await endedBy(phone, MINUTE), 'revoked')
    phone.cookie = cookie
    assert.equal(await userOf(phone, MINUTE), undefined)
  })
})

describe('maxSessions', () => {
  for (const [name, open, server] of allStores('most_of_user').filter(([name]) => name !== 'memcached')) {
    test(`${name}: a login beyond it is refused, or ends the session with the earliest visit`, { skip: missingServer(server) }, async () => {
      for (const [atLimit, isRefused] of [[undefined, true], ['refuse', true], ['endLeastRecentlyUsed', false]]) {
        const store = open()
        const more = { maxSessions: { count: 2, atLimit } }
        const [phone, laptop] = await loggedIn(store, ['bob', 'bob'], more)
        await phone.visit(MINUTE, (req) => void (req.session.views = 1))
        const third = visitor({ store, ...more })
        await third.visit(2 * MINUTE, (req) => void (req.session.cart = ['apple']))
        const { id } = third
        await third.visit(2 * MINUTE, async (req) => {
          const login = req.session.login('bob', { keep: ['cart'] })
          if (!isRefused) return void (await login)
          await assert.rejects(login, { status: 403, statusCode: 403, code: 'ERR_SESSION_TOO_MANY_SESSIONS' })
          assert.deepEqual([req.session.id, req.session.cart, req.session.loggedInUser()], [id, ['apple'], undefined])
        })
        const [first, second] = [await endedBy(phone, 2 * MINUTE), await endedBy(laptop, 2 * MINUTE)]
        // By a server's own clock, which this test does not move, the two visits are as late.
        const ended = server && first === 'limit' ? [first, second] : [second, first]
        assert.deepEqual(ended, [isRefused ? undefined : 'limit', undefined])
        assert.deepEqual([await userOf(third, 2 * MINUTE), third.id === id], isRefused ? [undefined, true] : ['bob', false])
        // Another user, and the one that logs in again, are admitted.
        await loggedIn(store, ['eve'], more)
        assert.equal((await phone.use.sessionsOf('bob')).length, 2)
        const last = isRefused ? phone : third
        await last.visit(3 * MINUTE, (req) => req.session.login('bob'))
        await last.visit(3 * MINUTE, (req) => req.session.stepUp(2))
        assert.equal((await phone.use.sessionsOf('bob')).length, 2)
        await store.clear()
        await store.close()
      }
    })
  }

  for (const [name, open, server] of allStores('race_of_user').filter(([name]) => name !== 'memcached')) {
    test(`${name}: processes never have more sessions of a user together`, { skip: missingServer(server) }, async () => {
      // Each object of a store knows only the turns of its own requests.
      const processes = Array.from({ length: 4 }, () => visitor({ store: open(), maxSessions: { count: 3 } }))
      const outcomes = await Promise.all(processes.flatMap((process) => [1, 2].map(async () => {
        const browser = visitor({ store: process.store, maxSessions: { count: 3 } })
        return ask(browser, 0, (own) => own.login('bob').then(() => 'in', ({ code }) => code))
      })))
      assert.deepEqual(outcomes.sort(), [...Array(5).fill('ERR_SESSION_TOO_MANY_SESSIONS'), ...Array(3).fill('in')])
      const [{ use, store }] = processes
      assert.equal((await use.sessionsOf('bob')).length, 3)
      await store.clear()
      await Promise.all([...new Set(processes.map(({ store }) => store))].map((one) => one.close()))
    })
  }

  test('logins at the same time are counted one after the other', async () => {
    const store = new MemoryStore()
    const more = { maxSessions: { count: 3 } }
    const results = await Promise.all(Array.from({ length: 8 }, async () => {
      let outcome
      await visitor({ store, ...more }).visit(0, async (req) => {
        outcome = await req.session.login('bob').then(() => 'in', ({ code }) => code)
      })
      return outcome
    }))
    assert.equal(results.filter((outcome) => outcome === 'in').length, 3)
    assert.equal(results.filter((outcome) => outcome === 'ERR_SESSION_TOO_MANY_SESSIONS').length, 5)
    const [{ use }] = [visitor({ store, ...more })]
    assert.equal((await use.sessionsOf('bob')).length, 3)
    assert.equal(await use.endSessionsOf('bob'), 3)
  })

  test('a login is stored before its lock is given back, and one that took too long is taken back', async () => {
    const store = new MemoryStore()
    const more = { maxSessions: { count: 1 } }
    const browser = visitor({ store, ...more })
    await browser.visit(0, async (req) => {
      await req.session.login('bob')
      assert.equal((await browser.use.sessionsOf('bob')).length, 1)
    })
    const slow = visitor({ store, ...more })
    await slow.visit(0, (req) => void (req.session.cart = ['apple']))
    const { id } = slow
    await slow.visit(0, async (req) => {
      const { regenerate } = req.session
      req.session.regenerate = function (fn) {
        clock.now += MINUTE
        return regenerate.call(this, fn)
      }
      await assert.rejects(req.session.login('eve', { keep: ['cart'] }), { code: 'ERR_SESSION_LOCKED' })
      assert.deepEqual([req.session.loggedInUser(), req.session.cart], [undefined, ['apple']])
    })
    assert.equal(await slow.record(id), undefined)
    assert.deepEqual(await slow.use.sessionsOf('eve'), [])
    await slow.visit(0, (req) => assert.deepEqual(req.session.cart, ['apple']))
  })

  test('memcached has no locks', { skip: missingServer('memcached') }, async () => {
    const store = new MemcachedStore({ url: urls.memcached, prefix: 'most:' })
    await visitor({ store, maxSessions: { count: 1 } }).visit(0, async (req) => {
      await assert.rejects(req.session.login('bob'), { code: 'ERR_STORE_UNSUPPORTED' })
    })
    await store.close()
  })

  test('a limit that is none is refused', () => {
    const refused = (maxSessions) => thrown(() => session(options({ store: new MemoryStore(), integrity: true, maxSessions })))
    for (const value of [null, 3, 'three', {}, { count: 0 }, { count: 1.5 }, { count: '3' }]) {
      assert.match(refused(value), /^TypeError: maxSessions option must be an object with a count from 1 to /)
    }
    assert.match(refused({ count: 1, atLimit: 'end' }), /^TypeError: maxSessions option: atLimit must be "refuse" or "end/)
    assert.equal(refused({ count: 1 }), 'nothing thrown')
  })
})
