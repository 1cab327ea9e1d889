// The life of a session: `metadata`, `idleTimeout`, `absoluteTimeout`, the login and the logout.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'

import { createClient } from 'redis'
import session from 'express-session-rs'
import { MemoryStore, RedisStore } from 'express-session-rs/stores'
import { missingServer, urls } from '../testing/servers.mjs'
import { cookieOf, options, thrown } from '../testing/sides.mjs'
import { allStores } from '../testing/stores.mjs'
import { Visitor } from '../testing/visits.mjs'

const VISITS = JSON.parse(readFileSync(new URL('../../../conformance/vectors/lifetime.json', import.meta.url), 'utf8'))
const BEGINNING = VISITS.now
const [SECOND, MINUTE, HOUR, DAY] = [1000, 60_000, 3_600_000, 86_400_000]

const clock = { now: BEGINNING }
Date.now = () => clock.now

const iso = (time) => new Date(time).toISOString()

function look(req) {
  return req.session.views
}

function count(req) {
  req.session.views = (req.session.views ?? 0) + 1
}

// Returns the cookie of a record at a time.
function cookieAt(time, maxAge) {
  return `{"originalMaxAge":${maxAge},"expires":${maxAge && `"${iso(time + maxAge)}"`},"httpOnly":true,"path":"/"}`
}

// Puts a record of a day into the store, whose deadline is a day from a time.
function put(store, id, members, time) {
  const cookie = new session.Cookie({ maxAge: DAY })
  cookie.expires = new Date(time + DAY)
  cookie.originalMaxAge = DAY
  return store.set(id, { cookie, ...members })
}

describe('metadata', () => {
  test('records have the member, and handlers and JSON do not see it', async () => {
    const browser = new Visitor(clock, BEGINNING, { metadata: true })
    await browser.visit(0, count)
    const stored = (seen, views) =>
      `{"cookie":${cookieAt(0, null)},"views":${views},` +
      `"__sessionMetadata":{"created":${BEGINNING},"seen":${BEGINNING + seen}}}`
    assert.equal(await browser.record(), stored(0, 1))
    await browser.visit(SECOND, (req) => {
      assert.deepEqual(Object.keys(req.session), ['cookie', 'views'])
      const names = []
      for (const name in req.session) names.push(name)
      assert.ok(!names.includes('metadata') && !names.includes('__sessionMetadata'))
      assert.deepEqual(Object.keys(JSON.parse(JSON.stringify(req.session))), ['cookie', 'views'])
      assert.deepEqual(req.session.metadata, { created: new Date(BEGINNING), seen: new Date(BEGINNING) })
      count(req)
    })
    assert.equal(await browser.record(), stored(SECOND, 2))
  })

  test('a session has no notes before they are stored, and then it has', async () => {
    const browser = new Visitor(clock, BEGINNING, { metadata: true })
    await browser.visit(0, async (req) => {
      assert.equal(req.session.metadata, undefined)
      count(req)
      await req.session.save()
      assert.deepEqual(req.session.metadata, { created: new Date(BEGINNING), seen: new Date(BEGINNING) })
    })
  })

  test('a visit that only reads is noted where it would touch the record, once in touchAfter', async () => {
    for (const [touchAfter, seen] of [[undefined, [1, 2, 59_999, 60_000]], [60_000, [0, 0, 0, 60_000]]]) {
      const browser = new Visitor(clock, BEGINNING, { metadata: true, touchAfter, cookie: { maxAge: DAY } })
      await browser.visit(0, count)
      for (const [at, after] of [1, 2, 59_999, 60_000].entries()) {
        await browser.visit(after)
        const { __sessionMetadata } = JSON.parse(await browser.record())
        assert.equal(__sessionMetadata.seen - BEGINNING, seen[at], `${touchAfter} ${after}`)
      }
    }
  })

  test('a session of express-session gets the member, and an older member that Node writes back takes no visit away', async () => {
    const store = new MemoryStore()
    const browser = new Visitor(clock, BEGINNING, { metadata: true, store, cookie: { maxAge: DAY } })
    browser.cookie = cookieOf(session, 'id0')
    await put(store, 'id0', { views: 1 }, BEGINNING)
    await browser.visit(SECOND)
    const stored = JSON.parse(await browser.record('id0'))
    assert.deepEqual(stored.__sessionMetadata, { created: BEGINNING + SECOND, seen: BEGINNING + SECOND })
    await browser.visit(MINUTE, async (req) => {
      // Another process, with express-session, writes all of it.
      await store.set('id0', { ...stored, other: 1 })
      count(req)
    })
    const merged = JSON.parse(await browser.record('id0'))
    assert.deepEqual([merged.other, merged.views], [1, 2])
    assert.deepEqual(merged.__sessionMetadata, { created: BEGINNING + SECOND, seen: BEGINNING + MINUTE })
  })

  test('a member of another shape counts as absent, and is replaced', async () => {
    for (const member of [1, null, {}, { created: '1', seen: 2 }, { created: 1.5, seen: 1 }, 'x'.repeat(5000)]) {
      const store = new MemoryStore()
      const browser = new Visitor(clock, BEGINNING, { metadata: true, store })
      browser.cookie = cookieOf(session, 'id0')
      await put(store, 'id0', { __sessionMetadata: member, views: 1 }, BEGINNING)
      await browser.visit(0, (req) => {
        assert.equal(req.session.metadata, undefined)
        assert.deepEqual(Object.keys(req.session), ['cookie', 'views'])
        count(req)
      })
      const { __sessionMetadata, views } = JSON.parse(await browser.record('id0'))
      assert.deepEqual([__sessionMetadata, views], [{ created: BEGINNING, seen: BEGINNING }, 2])
    }
  })

  test('the member can have another name, which the application cannot take', async () => {
    const browser = new Visitor(clock, BEGINNING, { metadata: true, metadataMember: '__life' })
    const reserved = { code: 'ERR_SESSION_RESERVED_NAME' }
    await browser.visit(0, async (req) => {
      req.session.__life = 1
      await assert.rejects(req.session.save(), reserved)
      delete req.session.__life
      assert.throws(() => req.session.update('__life', () => 1), reserved)
      await assert.rejects(req.session.updateNow('__life', () => 1), reserved)
      count(req)
    })
    assert.deepEqual(Object.keys(JSON.parse(await browser.record())), ['cookie', 'views', '__life'])
  })

  test('members with the names of the properties are kept, and hide them', async () => {
    const browser = new Visitor(clock, BEGINNING, { metadata: true })
    const own = { metadata: 'mine', endedBy: 'me', login: 'bob', loggedInUser: 7 }
    await browser.visit(0, (req) => void Object.assign(req.session, own))
    await browser.visit(SECOND, (req) => {
      const { cookie: _, ...data } = req.session
      assert.deepEqual(data, own)
    })
  })

  test('without the options a record is as express-session writes it, and a member of the name is data', async () => {
    const browser = new Visitor(clock, BEGINNING, {})
    await browser.visit(0, (req) => {
      req.session.__sessionMetadata = { created: 1, seen: 1 }
    })
    const record = `{"cookie":${cookieAt(0, null)},"__sessionMetadata":{"created":1,"seen":1}}`
    assert.equal(await browser.record(), record)
    await browser.visit(SECOND, (req) => {
      assert.deepEqual(Object.keys(req.session), ['cookie', '__sessionMetadata'])
      assert.deepEqual([req.session.metadata, req.session.endedBy], [undefined, undefined])
    })
    assert.equal(await browser.record(), record)
  })

  test('a session that the application loads outside of a request is no visit, and has no member either', async () => {
    const browser = new Visitor(clock, BEGINNING, { metadata: true, cookie: { maxAge: DAY } })
    await browser.visit(0, count)
    clock.now = BEGINNING + MINUTE
    const job = await new Promise((resolve, reject) => {
      browser.store.load(browser.id, (error, found) => (error ? reject(error) : resolve(found)))
    })
    assert.deepEqual(Object.keys(job), ['cookie', 'views'])
    assert.deepEqual(job.metadata.seen, new Date(BEGINNING))
    await job.updateNow('views', (views) => views + 1)
    const { views, __sessionMetadata } = JSON.parse(await browser.record())
    assert.deepEqual([views, __sessionMetadata], [2, { created: BEGINNING, seen: BEGINNING }])
  })

  test('overlapping requests lose neither their changes nor the visits of one another', async () => {
    const browser = new Visitor(clock, BEGINNING, { metadata: true, cookie: { maxAge: DAY } })
    await browser.visit(0, count)
    await browser.visit(SECOND, async (req) => {
      req.session.mine = 1
      await browser.visit(2 * SECOND)
      await browser.visit(3 * SECOND, (other) => {
        other.session.theirs = 2
      })
    })
    const { mine, theirs, __sessionMetadata } = JSON.parse(await browser.record())
    assert.deepEqual([mine, theirs, __sessionMetadata.seen - BEGINNING], [1, 2, 3 * SECOND])
  })

  test('a session that another request has destroyed is not brought back by a visit', async () => {
    const browser = new Visitor(clock, BEGINNING, { metadata: true, cookie: { maxAge: DAY } })
    await browser.visit(0, count)
    const { id } = browser
    const events = []
    const got = await browser.visit(SECOND, async (req) => {
      req.on('sessionEnded', (why) => events.push(why))
      await browser.visit(2 * SECOND, (other) => other.session.destroy())
    })
    assert.deepEqual([got.status[0], got.cookies, got.errors, events], [200, [], [], ['elsewhere']])
    assert.equal(await browser.record(id), undefined)
  })

  test('a session that is too large to be merged is touched without a note', async () => {
    const store = new MemoryStore()
    const browser = new Visitor(clock, BEGINNING, { metadata: true, store, cookie: { maxAge: DAY } })
    browser.cookie = cookieOf(session, 'id0')
    const members = Object.fromEntries(Array.from({ length: 10_001 }, (_, at) => [`member${at}`, at]))
    await put(store, 'id0', members, BEGINNING)
    const got = await browser.visit(SECOND)
    assert.deepEqual([got.status[0], got.errors, got.late], [200, [], []])
    assert.equal(JSON.parse(await browser.record('id0')).cookie.expires, iso(BEGINNING + SECOND + DAY))
  })
})

describe('the clients', () => {
  const FIREFOX = { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0.1' }

  // A visitor from an address, as Express has it; without Express, from the peer of the socket.
  function from(ip, more) {
    const browser = new Visitor(clock, BEGINNING, { cookie: { maxAge: DAY }, ...more })
    const { use } = browser
    browser.use = (req, res, next) => {
      req.socket.remoteAddress = '127.0.0.1'
      use(Object.assign(req, { ip }), res, next)
    }
    return browser
  }

  const write = (req) => void (req.session.views = (req.session.views ?? 0) + 1)

  test('they are in the record as the Rust layer writes them, and in the metadata', async () => {
    const browser = from('::ffff:192.0.2.17', { clientAddress: 'shortened', userAgent: 'shortened' })
    await browser.visit(0, write, FIREFOX)
    const first = '"first":{"address":"192.0.2.0","userAgent":"Mozilla/5 (X11; Linux x86) Firefox/145"}}}'
    assert.ok((await browser.record()).endsWith(first))
    // A visit that only reads is noted with the last visit, and a written one always.
    await browser.visit(HOUR, () => {}, { 'user-agent': 'curl/8.9.1' })
    let metadata
    await browser.visit(HOUR, (req) => ({ metadata } = req.session) && undefined)
    assert.deepEqual(metadata.firstClient, { address: '192.0.2.0', userAgent: 'Mozilla/5 (X11; Linux x86) Firefox/145' })
    assert.deepEqual(metadata.lastClient, { address: '192.0.2.0', userAgent: 'curl/8' })
  })

  test('a login begins with its own client, and the list of the user has it', async () => {
    const browser = from(undefined, { userAgent: 'full', clientAddress: 'full' })
    await browser.visit(0, write, FIREFOX)
    let listed
    await browser.visit(SECOND, (req) => req.session.login('bob'), { 'user-agent': 'curl/8.9.1' })
    await browser.visit(SECOND, async (req) => void (listed = await req.session.userSessions()))
    const client = { address: '127.0.0.1', userAgent: 'curl/8.9.1' }
    assert.deepEqual([listed[0].firstClient, listed[0].lastClient], [client, client])
  })

  test('nothing is noted unless an option says so, and of no other kind', async () => {
    for (const [more, members] of [[{ metadata: true }, undefined], [{ userAgent: 'full' }, ['userAgent']], [{ clientAddress: 'full' }, ['address']]]) {
      const browser = from('192.0.2.17', more)
      await browser.visit(0, write, FIREFOX)
      const { first } = JSON.parse(await browser.record()).__sessionMetadata
      assert.deepEqual(first && Object.keys(first), members)
    }
    for (const name of ['clientAddress', 'userAgent']) {
      for (const detail of ['short', true, '']) {
        assert.throws(() => session({ ...options({ integrity: true, store: new MemoryStore() }), [name]: detail }), {
          name: 'TypeError',
          message: `${name} option must be "shortened" or "full"`
        })
      }
      assert.throws(() => session({ ...options({}), [name]: 'full' }), { message: new RegExp(`^${name} option: it needs integrity`) })
    }
  })
})

describe('records', () => {
  for (const [name, open, server] of allStores('lifetime')) {
    test(`${name}: each is that of the Rust layer, byte for byte`, { skip: missingServer(server) }, async () => {
      const store = open()
      const { maxAge, steps, ...limits } = VISITS
      const browser = new Visitor(clock, BEGINNING, { store, cookie: { maxAge }, ...limits })
      for (const { after, act, record, forward } of steps) {
        const { id } = browser
        await browser.visit(after, ACTS[act])
        assert.equal(await browser.record(), record, `${after} ${act}`)
        if (forward) assert.equal(await browser.record(id), forward.replace('NEW', browser.id))
      }
      await store.close()
    })
  }

  test('the deadline of the store is that of the Rust layer', { skip: missingServer('redis') }, async () => {
    const store = new RedisStore({ url: urls.redis, prefix: 'deadline:' })
    const client = await createClient({ url: urls.redis }).connect()
    const { maxAge, steps, ...limits } = VISITS
    const browser = new Visitor(clock, BEGINNING, { store, cookie: { maxAge }, ...limits })
    for (const { after, act, left } of steps) {
      await browser.visit(after, ACTS[act])
      const found = await client.pTTL(`deadline:${browser.id}`)
      // The store counts whole seconds, and its server's time goes on.
      assert.ok(found <= left + SECOND && found > left - 30 * SECOND, `${after} ${act}: ${found}`)
    }
    await Promise.all([store.close(), client.quit()])
  })

  test('a ttl of the application is a deadline within the limits', { skip: missingServer('redis') }, async () => {
    const client = await createClient({ url: urls.redis }).connect()
    for (const [ttl, limits, left] of [
      [600, { idleTimeout: HOUR }, 600 * SECOND],
      [7200, { idleTimeout: HOUR }, HOUR],
      [() => 600, { idleTimeout: HOUR }, 600 * SECOND],
      [() => 7200, { idleTimeout: HOUR }, HOUR],
      [() => 7200, { absoluteTimeout: HOUR }, HOUR],
      // Without the idle timeout, the store's own TTL counts; with it, that takes its place.
      [600, { absoluteTimeout: HOUR }, 600 * SECOND, true],
      [600, { idleTimeout: HOUR }, HOUR, true]
    ].map(([ttl, limits, left, isWithoutAge]) => [ttl, { ...limits, cookie: isWithoutAge ? {} : { maxAge: left } }, left])) {
      const store = new RedisStore({ url: urls.redis, prefix: 'ttl:', ttl })
      const browser = new Visitor(clock, BEGINNING, { store, ...limits })
      await browser.visit(0, count)
      const check = async (what) => {
        const found = await client.pTTL(`ttl:${browser.id}`)
        assert.ok(found <= left + SECOND && found > left - 30 * SECOND, `${what} ${ttl} ${JSON.stringify(limits)}: ${found}`)
      }
      await check('write')
      await browser.visit(SECOND)
      if (!limits.absoluteTimeout) await check('read')
      await store.close()
    }
    await client.quit()
  })
})

const ACTS = {
  read: look,
  write: count,
  login: (req) => req.session.login({ id: 7, name: 'Zoë "Z"' }, { keep: ['views'], absoluteTimeout: 1_000_000 }),
  remember: (req) => req.session.login('bob', { remember: 30 * DAY, passport: true }),
  stepUp: (req) => req.session.stepUp(2),
  renew: (req) => req.session.renewId()
}

describe('timeouts', () => {
  test('a session that is used lives past the idle timeout, and not past the absolute one', async () => {
    const browser = new Visitor(clock, BEGINNING, { idleTimeout: HOUR, absoluteTimeout: 3 * HOUR, cookie: { maxAge: DAY } })
    await browser.visit(0, count)
    for (const after of [HOUR - 1, 2 * HOUR - 2, 3 * HOUR - 3]) {
      await browser.visit(after, (req) => assert.equal(req.session.views, 1))
    }
    const { id } = browser
    await browser.visit(3 * HOUR, (req) => assert.equal(req.session.views, undefined))
    assert.equal(await browser.record(id), undefined)
  })

  test('the idle timeout begins with the last visit, also one that only reads', async () => {
    for (const [last, isLive] of [[HOUR - 1, true], [HOUR, false]]) {
      const browser = new Visitor(clock, BEGINNING, { idleTimeout: HOUR, cookie: { maxAge: DAY } })
      await browser.visit(0, count)
      await browser.visit(MINUTE)
      await browser.visit(MINUTE + last, (req) => assert.equal(req.session.views === 1, isLive))
    }
  })

  test('with touchAfter, at most a tenth of the idle timeout, this time is added to it', async () => {
    for (const [touchAfter, added] of [[MINUTE, MINUTE], [HOUR, HOUR / 10]]) {
      for (const [after, isLive] of [[HOUR + added - 1, true], [HOUR + added, false]]) {
        const browser = new Visitor(clock, BEGINNING, { idleTimeout: HOUR, touchAfter, cookie: { maxAge: DAY } })
        await browser.visit(0, count)
        await browser.visit(after, (req) => assert.equal(req.session.views === 1, isLive, `${touchAfter} ${after}`))
      }
    }
  })

  test('of a record that the store still returns, the reason of the end is known', async () => {
    // Node has moved the deadlines, and knows no limits.
    for (const [limits, metadata, lastVisit, by] of [
      [{ idleTimeout: HOUR }, { created: BEGINNING - 2 * DAY, seen: BEGINNING - HOUR }, HOUR, 'idle'],
      [{ idleTimeout: HOUR }, { created: BEGINNING - 2 * DAY, seen: BEGINNING - HOUR }, HOUR - 1, undefined],
      [{ idleTimeout: HOUR }, undefined, HOUR, 'idle'],
      [{ absoluteTimeout: HOUR }, { created: BEGINNING - HOUR, seen: BEGINNING - 1 }, 1, 'absolute'],
      [{ absoluteTimeout: HOUR }, { created: BEGINNING - HOUR + 1, seen: BEGINNING - 1 }, 1, undefined],
      [{ absoluteTimeout: HOUR }, undefined, DAY - MINUTE, undefined]
    ]) {
      const store = new MemoryStore()
      const browser = new Visitor(clock, BEGINNING, { store, cookie: { maxAge: DAY }, ...limits })
      browser.cookie = cookieOf(session, 'id0')
      const members = metadata ? { views: 1, __sessionMetadata: metadata } : { views: 1 }
      await put(store, 'id0', members, BEGINNING - lastVisit)
      const got = await browser.visit(0, (req) => {
        const row = JSON.stringify([limits, metadata, lastVisit])
        assert.equal(req.session.endedBy, by, row)
        assert.equal(req.session.views, by ? undefined : 1, row)
        assert.equal(req.sessionID === 'id0', by === undefined, row)
      })
      assert.deepEqual(got.errors, [])
      assert.equal((await browser.record('id0')) === undefined, by !== undefined)
    }
  })

  test('an ended session is not brought back by a request that loaded it before', async () => {
    const browser = new Visitor(clock, BEGINNING, { idleTimeout: HOUR, cookie: { maxAge: DAY } })
    await browser.visit(0, count)
    const { id } = browser
    await browser.visit(MINUTE, async (req) => {
      await browser.visit(2 * HOUR, (other) => assert.equal(other.session.views, undefined))
      req.session.views = 9
      await assert.rejects(req.session.save(), { code: 'ERR_SESSION_ENDED' })
      assert.equal(req.session.ended, 'elsewhere')
    })
    assert.equal(await browser.record(id), undefined)
  })

  test('a request that is under way at the end of the idle timeout is a visit, and at that of the absolute one stores nothing', async () => {
    for (const [limits, views] of [[{ idleTimeout: HOUR }, 2], [{ absoluteTimeout: HOUR }, 1]]) {
      for (const act of [count, look]) {
        const store = new MemoryStore()
        const browser = new Visitor(clock, BEGINNING, { store, cookie: { maxAge: DAY }, ...limits })
        browser.cookie = cookieOf(session, 'id0')
        const notes = { created: BEGINNING, seen: BEGINNING }
        await put(store, 'id0', { views: 1, __sessionMetadata: notes }, BEGINNING + MINUTE)
        const events = []
        await browser.visit(HOUR - 1, (req) => {
          req.on('sessionEnded', (why) => events.push(why))
          act(req)
          clock.now += MINUTE
        })
        const stored = JSON.parse(await browser.record('id0'))
        assert.equal(stored.views, act === count ? views : 1)
        assert.equal(stored.__sessionMetadata.seen > BEGINNING, views === 2)
        assert.deepEqual(events, views === 2 ? [] : ['elsewhere'])
      }
    }
  })

  test('the browser keeps the cookie until the absolute timeout at the latest, and the idle one is not in it', async () => {
    const expires = (line) => Date.parse(/Expires=([^;]*)/.exec(line)?.[1])
    const browser = new Visitor(clock, BEGINNING, { idleTimeout: HOUR, absoluteTimeout: 3 * HOUR, rolling: true, cookie: { maxAge: 2 * HOUR } })
    for (const [after, end] of [[0, 2 * HOUR], [HOUR / 2, 2.5 * HOUR], [HOUR, 3 * HOUR], [1.5 * HOUR, 3 * HOUR]]) {
      const { cookies } = await browser.visit(after, count)
      assert.equal(expires(cookies[0]), Math.floor((BEGINNING + end) / 1000) * 1000, `${after}`)
      assert.equal(JSON.parse(await browser.record()).cookie.expires, iso(BEGINNING + after + 2 * HOUR))
    }
    const plain = new Visitor(clock, BEGINNING, { absoluteTimeout: 3 * HOUR })
    const { cookies } = await plain.visit(0, count)
    assert.ok(!cookies[0].includes('Expires'))
  })

  test('reload and store.load find no session that a limit has ended', async () => {
    const browser = new Visitor(clock, BEGINNING, { absoluteTimeout: HOUR, cookie: { maxAge: DAY } })
    await browser.visit(0, count)
    const { id } = browser
    await browser.visit(HOUR - 1, async (req) => {
      await browser.store.set(id, { ...(await browser.store.get(id)), cookie: new session.Cookie({ maxAge: DAY }) })
      clock.now += 1
      await assert.rejects(req.session.reload(), { message: 'failed to load session' })
    })
    await put(browser.store, 'id1', { __sessionMetadata: { created: BEGINNING, seen: BEGINNING } }, clock.now)
    const found = await new Promise((resolve) => browser.store.load('id1', (error, found) => resolve([error, found])))
    assert.deepEqual(found.filter(Boolean), [])
    assert.equal(await browser.record('id1'), undefined)
  })

  test('a lock is taken by a request whose idle timeout has passed meanwhile', async () => {
    const browser = new Visitor(clock, BEGINNING, { idleTimeout: HOUR, cookie: { maxAge: DAY } })
    browser.cookie = cookieOf(session, 'id0')
    // The store keeps the record beyond the idle timeout.
    const notes = { created: BEGINNING, seen: BEGINNING }
    await put(browser.store, 'id0', { views: 1, __sessionMetadata: notes }, BEGINNING)
    await browser.visit(HOUR - 1, async (req) => {
      clock.now += 1
      const lock = await req.session.lock()
      count(req)
      await lock.unlock()
    })
    assert.equal(JSON.parse(await browser.record()).views, 2)
  })

  test('a clock that is behind ends no session early', async () => {
    const browser = new Visitor(clock, BEGINNING, { idleTimeout: HOUR, absoluteTimeout: 2 * HOUR, cookie: { maxAge: DAY } })
    await browser.visit(0, count)
    await browser.visit(-HOUR, (req) => assert.equal(req.session.views, 1))
    await browser.visit(HOUR - 1, (req) => assert.equal(req.session.views, 1))
    const { __sessionMetadata } = JSON.parse(await browser.record())
    assert.equal(__sessionMetadata.created, BEGINNING)
  })
})

describe('options', () => {
  test('without integrity each is refused, with what it needs', () => {
    const store = new MemoryStore()
    const needs = 'it needs integrity: true, and a store of express-session-rs/stores, such as RedisStore'
    for (const [name, value] of [
      ['metadata', true], ['idleTimeout', HOUR], ['absoluteTimeout', HOUR], ['clearSiteData', true],
      ['renewAfter', HOUR], ['renewalGrace', HOUR], ['maxSessions', { count: 1 }]
    ]) {
      for (const more of [{}, { store }, { store, departures: ['mergeChanges'] }]) {
        assert.equal(thrown(() => session(options({ ...more, [name]: value }))), `TypeError: ${name} option: ${needs}`)
      }
      assert.match(
        thrown(() => session(options({ integrity: true, [name]: value }))),
        /^TypeError: integrity option: the store has no conditional writes/
      )
      assert.equal(thrown(() => session(options({ store, integrity: true, [name]: value }))), 'nothing thrown')
    }
    assert.equal(thrown(() => session(options({ metadata: false, clearSiteData: undefined }))), 'nothing thrown')
  })

  test('a timeout that is no time, and a name that no member can have, are refused', () => {
    const text = (more) => thrown(() => session(options({ store: new MemoryStore(), integrity: true, ...more })))
    for (const value of ['60000', 0, 0.5, -1, NaN, Infinity, null, true]) {
      for (const name of ['idleTimeout', 'absoluteTimeout', 'renewAfter', 'renewalGrace']) {
        assert.equal(text({ [name]: value }), `TypeError: ${name} option must be a number of milliseconds, 1 or more`)
      }
    }
    assert.equal(text({ metadataMember: 7 }), 'TypeError: metadataMember option must be a string')
    for (const name of ['', 'cookie', 'save', '__proto__', '12']) {
      assert.match(text({ metadataMember: name }), /^TypeError: metadataMember option must be a name that express-session/)
    }
  })
})
