// The epoch of a user, `userEpoch`: the end of all sessions, which no login under way and no other program's write gets past.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'

import { createClient } from 'redis'
import session from 'express-session-rs'
import { MemoryStore, RedisStore } from 'express-session-rs/stores'
import { missingServer, urls } from '../testing/servers.mjs'
import { cookieOf, options, thrown } from '../testing/sides.mjs'
import { allStores } from '../testing/stores.mjs'
import { ask, eachLoggedIn, Visitor } from '../testing/visits.mjs'

const VECTORS = JSON.parse(readFileSync(new URL('../../../conformance/vectors/epoch.json', import.meta.url), 'utf8'))
const BEGINNING = VECTORS.now
const [SECOND, MINUTE, HOUR] = [1000, 60_000, 3_600_000]

const clock = { now: BEGINNING }
Date.now = () => clock.now

const visitor = (more) => new Visitor(clock, BEGINNING, { userEpoch: true, ...more })

const loggedIn = (...visits) => eachLoggedIn(visitor, ...visits)

// Returns the user, and why the session has ended.
const found = (browser, after) => ask(browser, after, (own) => [own.loggedInUser(), own.endedBy])
const LIVE = ['bob', undefined]
const REVOKED = [undefined, 'revoked']

function epochId(user) {
  const hash = createHash('sha256').update(`express-session epoch\0__sessionMetadata\0${JSON.stringify(user)}`)
  return hash.digest().subarray(0, 24).toString('base64url')
}

async function epochOf(browser, user) {
  const record = await browser.store.get(epochId(user))
  return record?.__sessionMetadata.epoch
}

for (const [name, open, server] of allStores('epoch_of_user')) {
  test(`${name}: no session from before the end goes on, wherever its record comes from`, { skip: missingServer(server) }, async () => {
    const store = open()
    const [phone, laptop, eve] = await loggedIn(store, ['bob', 'bob', 'eve'])
    const before = await store.get(phone.id)
    const slow = visitor({ store })
    await slow.visit(MINUTE, async (req) => {
      // Its session is stored at the end of the response, which no search can find now.
      await req.session.login('bob')
      assert.equal(await laptop.use.endSessionsOf('bob'), 2)
    })
    const { id } = phone
    // As express-session does it, in a request that has loaded the session before.
    await store.set(id, before)
    for (const browser of [phone, laptop, slow]) assert.deepEqual(await found(browser, MINUTE), REVOKED)
    assert.deepEqual(await found(eve, MINUTE), ['eve', undefined])
    assert.equal(await phone.record(id), undefined)
    const [later] = await loggedIn(store, ['bob'])
    assert.deepEqual(await found(later, 2 * MINUTE), LIVE)
    assert.deepEqual((await later.use.sessionsOf('bob')).length, 1)
    // Also by a clock that is behind.
    const copy = await store.get(later.id)
    assert.equal(await ask(later, 0, (own) => own.endAllSessions()), 1)
    assert.equal(await epochOf(eve, 'bob'), BEGINNING + MINUTE + 1)
    later.cookie = cookieOf(session, later.id)
    await store.set(later.id, copy)
    await store.clear()
    await store.close()
  })
}

describe('the session that goes on', () => {
  test('it gets the new epoch immediately, without the changes of the handler', async () => {
    for (const more of [{}, { renewalGrace: HOUR }, { touchAfter: MINUTE }]) {
      const store = new MemoryStore()
      const [phone, laptop] = await loggedIn(store, ['bob', 'bob'], more)
      const before = await store.get(phone.id)
      const { id } = phone
      await ask(laptop, MINUTE, async (own) => {
        own.password = 'changed'
        assert.equal(await own.endOtherSessions(), 1)
        const stored = await store.get(laptop.id)
        assert.deepEqual([stored.password, stored.__sessionMetadata.epoch], [undefined, BEGINNING + MINUTE])
        assert.equal(await own.endOtherSessions(), 0)
      })
      assert.equal(JSON.parse(await laptop.record()).password, 'changed')
      assert.deepEqual(await found(laptop, MINUTE), LIVE)
      await store.set(id, before)
      assert.deepEqual(await found(phone, MINUTE), REVOKED)
    }
  })

  test('also one that is not stored yet, one of passport, and one whose other request has loaded it before', async () => {
    const store = new MemoryStore()
    const fresh = visitor({ store })
    await ask(fresh, 0, async (own, req) => {
      await own.login('bob')
      assert.equal(await req.session.endOtherSessions(), 0)
    })
    assert.deepEqual(await found(fresh, 0), LIVE)
    const passport = visitor({ store })
    // Its login knows no epoch: the end of the sessions was before it, and it ends all the same.
    await passport.visit(0, (req) => void (req.session.passport = { user: 'bob' }))
    assert.deepEqual(await found(passport, 0), REVOKED)
    await passport.visit(0, (req) => void (req.session.passport = { user: 'eve' }))
    await ask(passport, 0, (own) => own.endOtherSessions())
    assert.deepEqual(await found(passport, 0), ['eve', undefined])
    const tab = visitor({ store })
    tab.cookie = fresh.cookie
    await ask(tab, SECOND, async (own) => {
      await ask(fresh, SECOND, (other) => other.endOtherSessions())
      await own.endOtherSessions()
      own.views = 1
    })
    assert.deepEqual(await found(fresh, SECOND), LIVE)
    assert.equal(JSON.parse(await fresh.record()).views, 1)
  })

  test('one that has ended cannot end the others, and a second factor is no new login', async () => {
    for (const more of [{}, { maxSessions: { count: 5 } }]) {
      const store = new MemoryStore()
      const [thief, phone] = await loggedIn(store, ['bob', 'bob'], more)
      const before = await store.get(thief.id)
      const { id } = thief
      await thief.visit(MINUTE, async (req) => {
        await phone.use.endSessionsOf('bob')
        await store.set(id, before)
        await assert.rejects(req.session.endOtherSessions(), { code: 'ERR_SESSION_ENDED' })
      })
      assert.deepEqual(await found(thief, MINUTE), REVOKED)
      const [stepping] = await loggedIn(store, ['bob'], more)
      await ask(stepping, MINUTE, (own) => own.stepUp(2))
      assert.deepEqual(await found(stepping, MINUTE), LIVE)
      await stepping.visit(MINUTE, async (req) => {
        await phone.use.endSessionsOf('bob')
        await req.session.stepUp(2)
      })
      assert.deepEqual(await found(stepping, MINUTE), REVOKED)
    }
  })

  test('a renewed id keeps the epoch, and the end of one session leaves it', async () => {
    const store = new MemoryStore()
    const [phone] = await loggedIn(store, ['bob'], { renewalGrace: HOUR })
    await phone.use.endSessionsOf('bob')
    const [laptop] = await loggedIn(store, ['bob'], { renewalGrace: HOUR })
    await laptop.visit(SECOND, (req) => req.session.renewId())
    assert.equal((await store.get(laptop.id)).__sessionMetadata.epoch, BEGINNING)
    assert.deepEqual(await found(laptop, SECOND), LIVE)
    const [{ publicId }] = await laptop.use.sessionsOf('bob')
    assert.equal(await laptop.use.endSessionOf('bob', publicId), true)
    assert.equal(await epochOf(laptop, 'bob'), BEGINNING)
  })
})

describe('the record of the epoch', () => {
  test('it is read and written as by the Rust layer', async () => {
    for (const { user, epochId: id, before, sessions, after } of VECTORS.cases) {
      const browser = visitor()
      const { store } = browser
      assert.equal(epochId(user), id)
      if (before) await store.set(id, JSON.parse(before))
      for (const { record, ended } of sessions) {
        await store.set('id0', JSON.parse(record))
        browser.cookie = cookieOf(session, 'id0')
        assert.equal(await ask(browser, 0, (own) => own.endedBy), ended ? 'revoked' : undefined, record)
      }
      await browser.use.endSessionsOf(user)
      assert.equal(await browser.record(id), after)
    }
  })

  test('it is no session, also for a client that can sign its id', async () => {
    const browser = visitor()
    await browser.use.endSessionsOf('bob')
    const id = epochId('bob')
    const before = await browser.record(id)
    for (const more of [{}, { userEpoch: false, metadata: true }]) {
      const thief = visitor({ store: browser.store, ...more })
      thief.cookie = cookieOf(session, id)
      await thief.visit(0, (req) => {
        assert.deepEqual(Object.keys(req.session), ['cookie'])
        req.session.role = 'admin'
      })
      assert.notEqual(thief.id, id)
    }
    assert.equal(await browser.record(id), before)
    assert.deepEqual(await browser.use.sessionsOf('bob'), [])
  })

  test('where it cannot be read, the request fails', { skip: missingServer('redis') }, async () => {
    const prefix = 'unread-epoch:'
    const store = new RedisStore({ url: urls.redis, prefix })
    const client = await createClient({ url: urls.redis }).connect()
    const [phone] = await loggedIn(store, ['bob'])
    await client.lPush(`${prefix}${epochId('bob')}`, 'no string')
    const got = await phone.visit(0, () => assert.fail('the handler has run'))
    assert.equal(got.errors.length, 1)
    await visitor({ store }).visit(0, (req) => assert.rejects(req.session.login('bob'), { name: 'Error' }))
    await assert.rejects(phone.use.endSessionsOf('bob'))
    await client.del(`${prefix}${epochId('bob')}`)
    assert.deepEqual(await found(phone, 0), LIVE)
    await store.clear()
    await Promise.all([store.close(), client.quit()])
  })
})

test('without the option the epoch of a record is carried along', async () => {
  for (const more of [{ metadata: true, userEpoch: false }, { userEpoch: undefined }]) {
    const browser = visitor(more)
    const [{ record }] = VECTORS.cases[1].sessions.slice(2)
    await browser.store.set('id0', JSON.parse(record))
    browser.cookie = cookieOf(session, 'id0')
    await browser.visit(0, (req) => void (req.session.views = 1))
    assert.equal(JSON.parse(await browser.record('id0')).__sessionMetadata.epoch, BEGINNING - 5)
    if (more.metadata) await browser.use.endSessionsOf('bob')
    assert.equal(await epochOf(browser, 'bob'), undefined)
  }
})

test('the option needs integrity', () => {
  const text = thrown(() => session(options({ store: new MemoryStore(), userEpoch: true })))
  assert.match(text, /userEpoch option: it needs integrity: true/)
})
