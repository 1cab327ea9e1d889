// `touchAfter`: how often requests that only read touch their session in the store.

import assert from 'node:assert/strict'
import test from 'node:test'

import session from 'express-session-rs'
import { MemoryStore } from 'express-session-rs/stores'
import { cookieOf, options, recordCalls, thrown } from '../testing/sides.mjs'
import { answer } from '../testing/wire.mjs'

const BEGINNING = 1_700_000_000_000
const HOUR = 3_600_000
let now = BEGINNING
Date.now = () => now

const record = (maxAge, passed = 0) => ({
  cookie: { originalMaxAge: maxAge, expires: maxAge && new Date(BEGINNING + maxAge - passed), httpOnly: true, path: '/' },
  views: 1
})

const returning = () => ({ headers: { cookie: cookieOf(session, 'id0') } })

// Visits the session at these times in milliseconds, and returns how often it is touched at each.
async function touches(store, more, times, handler = (req, res) => res.end(String(req.session.views))) {
  const use = session(options({ store, cookie: { maxAge: HOUR }, ...more }))
  const calls = recordCalls(store)
  const counts = []
  for (const time of times) {
    now = BEGINNING + time
    await answer(use, returning(), handler)
    counts.push(calls.splice(0).filter(([verb]) => verb === 'touch').length)
  }
  now = BEGINNING
  return counts
}

// A store of express-session's kind with one session.
function stored(value) {
  const store = new session.MemoryStore()
  store.sessions.id0 = JSON.stringify(value)
  return store
}

test('every request touches, as in express-session, unless it is asked to be rarer', async () => {
  assert.deepEqual(await touches(stored(record(HOUR)), {}, [0, 1]), [1, 1])
  assert.deepEqual(await touches(stored(record(HOUR)), { touchAfter: 0 }, [0, 1]), [1, 1])
})

test('a session that is only read is touched once in touchAfter', async () => {
  // MemoryStore's touch writes the new expiry, from which the time counts again.
  const times = [0, 59_999, 60_000, 60_001, 119_999, 120_000]
  assert.deepEqual(await touches(stored(record(HOUR)), { touchAfter: 60_000 }, times), [0, 0, 1, 0, 0, 1])
})

test('a request that lasts longer than touchAfter touches at its end', async () => {
  for (const [during, expected] of [
    [59_999, 0],
    [60_000, 1]
  ]) {
    const slow = (req, res) => {
      now += during
      res.end()
    }
    assert.deepEqual(await touches(stored(record(HOUR)), { touchAfter: 60_000 }, [0], slow), [expected])
  }
})

test('throttledTouch alone is a hundredth of the time', async () => {
  const departures = ['throttledTouch']
  assert.deepEqual(await touches(stored(record(HOUR)), { departures }, [35_999, 36_000, 71_999]), [0, 1, 0])
})

test('more than half of the time counts as half', async () => {
  const more = { touchAfter: 10 * HOUR }
  assert.deepEqual(await touches(stored(record(HOUR)), more, [HOUR / 2 - 1, HOUR / 2]), [0, 1])
})

test('what a store does without a max age is not known, and the session is touched', async () => {
  assert.deepEqual(await touches(stored(record(null)), { touchAfter: 60_000, cookie: {} }, [0]), [1])
})

test('a lifetime that the request changes reaches the store', async () => {
  const longer = (req, res) => {
    req.session.cookie.maxAge = 2 * HOUR
    res.end()
  }
  assert.deepEqual(await touches(stored(record(HOUR)), { touchAfter: 60_000 }, [0], longer), [1])
})

test('with integrity the time counts from the deadline of the store', async () => {
  for (const [maxAge, left, expected] of [
    [HOUR, HOUR, 0],
    [HOUR, HOUR - 59_999, 0],
    [HOUR, HOUR - 60_000, 1],
    // A day is what the store gives.
    [null, 86_400_000, 0],
    [null, 86_400_000 - 60_000, 1]
  ]) {
    const store = new MemoryStore()
    now = BEGINNING - ((maxAge ?? 86_400_000) - left)
    const cookie = maxAge ? { maxAge } : {}
    await put(store, cookie)
    const use = session(options({ store, integrity: true, touchAfter: 60_000, cookie }))
    now = BEGINNING
    const before = await expiry(store)
    const got = await answer(use, returning(), (req, res) => res.end(String(req.session.views)))
    assert.equal(got.body, '1')
    // Without a max age the record has no expiry to look at, but the store ends it later.
    if (maxAge) assert.equal((await expiry(store)) !== before, expected === 1, `${maxAge} ${left}`)
  }
})

test('with integrity each save begins the time of the session again, however long its request lasts', async () => {
  const saves = {
    save: (own) => Object.assign(own, { views: 2 }).save(),
    updateNow: (own) => own.updateNow('views', (views) => views + 1),
    takeOnce: (own) => own.takeOnce('views'),
    async unlock(own) {
      const lock = await own.lock()
      own.views = 2
      await lock.unlock()
    }
  }
  for (const [name, save] of Object.entries(saves)) {
    const store = new MemoryStore()
    now = BEGINNING
    await put(store, { maxAge: HOUR })
    const use = session(options({ store, integrity: true, cookie: { maxAge: HOUR } }))
    await answer(use, returning(), async (req, res) => {
      // Meanwhile another page of the visitor keeps the session alive.
      for (let page = 0; page < 2; page += 1) {
        now += HOUR - 1
        await answer(use, returning(), (_req, shown) => shown.end())
      }
      await save(req.session)
      res.end()
    })
    now += HOUR - 1
    assert.ok(await get(store), name)
  }
  now = BEGINNING
})

function put(store, cookie) {
  const stored = new session.Session({ sessionID: 'id0' }, { cookie: new session.Cookie(cookie), views: 1 })
  return new Promise((resolve, reject) => store.set('id0', stored, (error) => (error ? reject(error) : resolve())))
}

function get(store) {
  return new Promise((resolve) => store.get('id0', (_error, value) => resolve(value)))
}

async function expiry(store) {
  return String((await get(store)).cookie.expires)
}

test('another touchAfter is refused', () => {
  for (const touchAfter of ['60000', -1, Number.NaN, null]) {
    assert.equal(
      thrown(() => session(options({ touchAfter }))),
      'TypeError: touchAfter option must be a number of milliseconds, 0 or more'
    )
  }
})
