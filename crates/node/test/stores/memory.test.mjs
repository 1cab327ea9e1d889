// The native memory store: memorystore's interface, without leaks.

import assert from 'node:assert/strict'
import { afterEach, mock, test } from 'node:test'

import session from 'express-session-rs'
import stores from 'express-session-rs/stores'
import { sessionOf } from '../../testing/sides.mjs'

const { MemoryStore } = stores
const HOUR = 3_600_000

afterEach(() => mock.timers.reset())

test('is not session.MemoryStore', () => {
  assert.notEqual(session.MemoryStore, MemoryStore)
})

test('returns what was set until it is destroyed or cleared, and null for an unknown id', async () => {
  const store = new MemoryStore()
  const set = sessionOf(HOUR, 7)
  await store.set('a', set)
  assert.deepEqual(await store.get('a'), JSON.parse(JSON.stringify(set)))
  assert.equal(await store.get('b'), null)
  await assert.rejects(store.get(''), { code: 'ERR_STORE_UNSUITABLE' })
  assert.deepEqual(await store.ids(), ['a'])
  assert.equal(await store.length(), 1)
  assert.equal((await store.all()).a.views, 7)
  await store.destroy('a')
  await store.destroy('a')
  assert.equal(await store.length(), 0)
  await store.set('a', set)
  await store.clear()
  assert.deepEqual(await store.all(), {})
})

test('ttl overrides the cookie, and without either a session lasts a day', async () => {
  const now = Date.now()
  for (const [options, maxAge, lifetime] of [
    [{}, null, 24 * HOUR],
    [{}, HOUR, HOUR],
    [{ ttl: 60_000 }, null, 60_000],
    [{ ttl: 60_000 }, HOUR, 60_000],
    [{ ttl: (options, data, sid) => (sid === 'sid' ? data.views * 1000 : options.ttl) }, HOUR, 5000]
  ]) {
    mock.timers.enable({ apis: ['Date'], now })
    const store = new MemoryStore(options)
    await store.set('sid', sessionOf(maxAge, 5))
    mock.timers.setTime(now + lifetime - 1)
    assert(await store.get('sid'), `${lifetime}`)
    mock.timers.setTime(now + lifetime)
    assert.equal(await store.get('sid'), null)
    mock.timers.reset()
  }
})

test('a touch resets the expiry, and creates no session', async () => {
  const now = Date.now()
  mock.timers.enable({ apis: ['Date'], now })
  const store = new MemoryStore()
  await store.set('sid', sessionOf(HOUR))
  mock.timers.setTime(now + HOUR - 1)
  const touched = sessionOf(HOUR, 100)
  await store.touch('sid', touched)
  mock.timers.setTime(now + HOUR)
  const record = await store.get('sid')
  assert.equal(record.views, 1)
  assert.equal(record.cookie.expires, touched.cookie.expires.toISOString())
  await store.touch('other', touched)
  assert.equal(await store.length(), 1)
})

test('beyond the limit, the least recently used session is evicted', async () => {
  const store = new MemoryStore({ max: 100 })
  for (let number = 0; number < 1000; number++) await store.set(`sid-${number}`, sessionOf(HOUR, number))
  assert.equal(await store.length(), 100)
  assert.equal(await store.get('sid-0'), null)
  assert.equal((await store.get('sid-999')).views, 999)
})

test('a session beyond maxRecordBytes is refused', async () => {
  const store = new MemoryStore({ maxRecordBytes: 200 })
  await store.set('small', sessionOf(HOUR))
  const large = Object.assign(sessionOf(HOUR), { text: 'x'.repeat(200) })
  await assert.rejects(store.set('large', large), { code: 'ERR_STORE_UNSUITABLE' })
  assert.deepEqual(await store.ids(), ['small'])
})

test('prune removes expired sessions', async () => {
  const now = Date.now()
  mock.timers.enable({ apis: ['Date'], now })
  const store = new MemoryStore()
  for (let number = 0; number < 2000; number++) await store.set(`old-${number}`, sessionOf(HOUR))
  mock.timers.setTime(now + 2 * HOUR)
  await store.prune()
  assert.equal(await store.length(), 0)
})

test('many calls leak no memory', async () => {
  const calls = Number(process.env.SESSION_TEST_CALLS ?? 20_000)
  const store = new MemoryStore()
  const round = async (count) => {
    for (let call = 0; call < count; call++) {
      const sid = `sid-${call % 100}`
      const [method, ...args] = [['set', sid, sessionOf(HOUR, call)], ['get', sid], ['destroy', sid]][call % 3]
      await new Promise((resolve, reject) => {
        store[method](...args, (error) => (error ? reject(error) : resolve()))
      })
    }
  }
  await round(calls)
  const before = process.memoryUsage.rss()
  await round(calls)
  await round(calls)
  const grown = process.memoryUsage.rss() - before
  // A hundred sessions are a few kilobytes; one byte lost with each of a million calls would be a megabyte.
  assert(grown < 48 * 2 ** 20, `${Math.round(grown / 2 ** 20)} MB more`)
})
