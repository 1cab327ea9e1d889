// Each native store and the npm store that it replaces, with the same options, on the same records.

import assert from 'node:assert/strict'
import path from 'node:path'
import { describe, mock, test, before, after, beforeEach, afterEach } from 'node:test'

import stores from 'express-session-rs/stores'
import { openNpmStore } from '../../testing/npm-store.mjs'
import { folder, missingNpmStores, missingServer, urls } from '../../testing/servers.mjs'
import { sessionOf } from '../../testing/sides.mjs'

const { FileStore, MemcachedStore, MySqlStore, PostgresStore, RedisStore, SqliteStore } = stores

// The time of a test, which is not a whole second. The servers' clocks go on: a store counts by them if this one is seconds
// behind.
let now
const HOUR = 3_600_000

const create = { createTableIfMissing: true }
const byMember = (data) => (data.views > 3 ? 60 : 7200)
const names = { session_id: 'the id', expires: 'until', data: 'json`' }

// `touch` names the stores whose touch rewrites the text of a record: 'none', 'node' (the npm store only), or 'both'.
const ROWS = [
  redis('', {}),
  redis('prefix', { prefix: "it's {é}:" }),
  redis('an empty prefix', { prefix: '' }),
  redis('ttl', { ttl: 600 }),
  redis('ttl, a function', { ttl: byMember }, { ttl: 'by member' }),
  redis('disableTTL', { disableTTL: true }),
  redis('disableTouch', { disableTouch: true }),
  row('connect-pg-simple', '', 'postgres', 'postgres', create),
  row('connect-pg-simple', 'ttl', 'postgres', 'postgres', { ...create, ttl: 600 }),
  row('connect-pg-simple', 'tableName, schemaName', 'postgres', 'postgres', {
    ...create, tableName: 'my "own" table', schemaName: 'App'
  }),
  row('connect-pg-simple', 'disableTouch', 'postgres', 'postgres', { ...create, disableTouch: true }),
  row('express-mysql-session', '', 'mysql', 'mysql', {}),
  row('express-mysql-session', 'expiration', 'mysql', 'mysql', { expiration: 600_000 }),
  row('express-mysql-session', 'schema', 'mysql', 'mysql', { schema: { tableName: 'my table', columnNames: names } }),
  row('express-mysql-session', 'disableTouch', 'mysql', 'mysql', { disableTouch: true }),
  row('connect-sqlite3', '', 'connect-sqlite3', undefined, {}),
  row('connect-sqlite3', 'table', 'connect-sqlite3', undefined, { table: 'visitors' }),
  row('better-sqlite3-session-store', '', 'better-sqlite3-session-store', undefined, {}),
  row('connect-session-knex', '', 'connect-session-knex', undefined, {}),
  row('session-file-store', '', 'file', undefined, {}, { touch: 'both' }),
  row('session-file-store', 'ttl', 'file', undefined, { ttl: 600 }, { touch: 'both' }),
  row('session-file-store', 'fileExtension', 'file', undefined, { fileExtension: '.session' }, { touch: 'both' }),
  row('connect-memcached', '', 'memcached', 'memcached', {}, { touch: 'node' }),
  row('connect-memcached', 'prefix', 'memcached', 'memcached', { prefix: 'shop:' }, { touch: 'node' }),
  row('connect-memcached', 'ttl', 'memcached', 'memcached', { ttl: 600 }, { touch: 'node' })
]

const OPEN = {
  redis: (url, options) => new RedisStore({ url, ...options }),
  postgres: (url, options) => new PostgresStore({ conString: url, ...options }),
  mysql(url, options) {
    const { hostname: host, port, username: user, pathname } = new URL(url)
    return new MySqlStore({ host, port, user, database: pathname.slice(1), ...options })
  },
  file: (place, options) => new FileStore({ path: place, ...options }),
  memcached: (url, options) => new MemcachedStore({ hosts: new URL(url).host, ...options }),
  'connect-sqlite3': sqlite,
  'better-sqlite3-session-store': sqlite,
  'connect-session-knex': sqlite
}

ROWS.forEach((row, at) => {
  const { name, variant, kind, server, options, npmOptions, touch } = row
  const skip = missingNpmStores() || missingServer(server)

  describe(`${name}${variant && `: ${variant}`}`, { skip }, () => {
    let node
    let native

    before(async () => {
      // A database of its own. Redis has sixteen, and its first is that of other tests.
      const place = { url: urls[server], place: at + 1, folder: folder(), options: npmOptions }
      node = await openNpmStore(kind, place)
      native = OPEN[kind](node.url, options)
      // The first call connects and creates the table.
      await native.get('none')
    })

    beforeEach(async () => {
      await node.empty()
      now = Math.floor(Date.now() / 1000) * 1000 + 123
      mock.timers.enable({ apis: ['Date'], now })
    })

    afterEach(() => mock.timers.reset())

    after(() => Promise.all([native?.close(), node?.close()]))

    for (const [what, maxAge] of [['an expiry', HOUR], ['no expiry', null]]) {
      test(`both write the same record for a cookie with ${what}`, async () => {
        await node.set('by-node', sessionOf(maxAge))
        await native.set('by-native', sessionOf(maxAge))
        const [theirs, ours] = [await node.raw('by-node'), await node.raw('by-native')]
        assert(theirs)
        assert.equal(ours.text, theirs.text)
        assert.equal(ours.flags, theirs.flags)
        assertExpiry(ours, theirs)
      })

      test(`each reads the other's record of a cookie with ${what}`, async () => {
        await node.set('by-node', sessionOf(maxAge))
        await native.set('by-native', sessionOf(maxAge))
        const expected = JSON.parse(JSON.stringify(sessionOf(maxAge)))
        assert.deepEqual(await native.get('by-node'), expected)
        const { __lastAccess: _, ...theirs } = await node.get('by-native')
        assert.deepEqual(theirs, expected)
      })
    }

    test('the last write wins, from either store', async () => {
      await native.set('sid', sessionOf(HOUR, 1))
      await node.set('sid', sessionOf(HOUR, 2))
      await native.set('sid', sessionOf(HOUR, 3))
      assert.equal((await node.get('sid')).views, 3)
      await node.set('sid', sessionOf(HOUR, 2))
      assert.equal((await native.get('sid')).views, 2)
    })

    test('saving a destroyed session stores it again', async () => {
      await native.set('sid', sessionOf(HOUR, 1))
      await node.destroy('sid')
      assert.equal(await native.get('sid'), null)
      await native.set('sid', sessionOf(HOUR, 2))
      await native.destroy('sid')
      assert(!(await node.raw('sid')))
      await native.set('sid', sessionOf(HOUR, 3))
      assert.equal((await native.get('sid')).views, 3)
    })

    test('a touch resets the expiry as in the npm store', async () => {
      for (const sid of ['by-node', 'by-native']) await native.set(sid, sessionOf(HOUR))
      mock.timers.setTime(now + 60_000)
      const touched = sessionOf(2 * HOUR)
      await node.touch('by-node', touched)
      await native.touch('by-native', touched)
      const [theirs, ours] = [await node.raw('by-node'), await node.raw('by-native')]
      assertExpiry(ours, theirs)
      if (touch !== 'node') assert.equal(ours.text, theirs.text)
      const isKept = JSON.parse(ours.text).cookie.originalMaxAge === HOUR
      assert.equal(isKept, touch !== 'both')
    })

    test('a touch does not restore a destroyed session', async () => {
      await native.touch('sid', sessionOf(HOUR))
      assert(!(await node.raw('sid')))
    })

    test('an expired session is not returned', async () => {
      await native.set('sid', sessionOf(HOUR))
      await node.expire('sid', now - 10_000)
      assert.equal(await native.get('sid'), null)
    })

    test('ids, length, all and clear have the sessions of both stores', async () => {
      const sids = Array.from({ length: 25 }, (_, number) => `sid-${String(number).padStart(2, '0')}`)
      for (const [number, sid] of sids.entries()) {
        if (number % 2) await native.set(sid, sessionOf(HOUR, number))
        else await node.set(sid, sessionOf(HOUR, number))
      }
      assert.deepEqual((await native.ids()).sort(), sids)
      assert.equal(await native.length(), sids.length)
      const all = await native.all()
      const views = Array.isArray(all)
        ? all.map(({ id, views }) => [id, views])
        : Object.entries(all).map(([id, { views }]) => [id, views])
      assert.deepEqual(views.sort(), sids.map((sid, number) => [sid, number]))
      await native.clear()
      assert.equal(await native.length(), 0)
      assert.deepEqual(await native.all(), Array.isArray(all) ? [] : {})
      assert.deepEqual(await node.ids(), [])
    })

    test('concurrent writers leave one of their records', async () => {
      await native.set('sid', sessionOf(HOUR, 0))
      const writers = Array.from({ length: 10 }, (_, at) => at + 1)
      await Promise.all(writers.map((views) => native.set('sid', sessionOf(HOUR, views))))
      assert((await native.get('sid')).views > 0)
    })

    test('any text is returned unchanged', async () => {
      const texts = ['', '"\\\u0000\u001f', 'é€😀', '\ud800 alone', '\u2028', 'x'.repeat(100_000)]
      await native.set('sid', { ...sessionOf(HOUR), texts })
      const expected = JSON.parse(JSON.stringify(texts))
      assert.deepEqual((await native.get('sid')).texts, expected)
      assert.deepEqual((await node.get('sid')).texts, expected)
    })
  })
})

function redis(variant, options, { ttl } = {}) {
  return row('connect-redis', variant, 'redis', 'redis', options, { npmOptions: ttl ? { ...options, ttl } : options })
}

function row(name, variant, kind, server, options, { npmOptions = options, touch = 'none' } = {}) {
  return { name, variant, kind, server, options, npmOptions, touch }
}

function sqlite(file, options) {
  return new SqliteStore({ dir: path.dirname(file), db: path.basename(file), ...options })
}

// Compares the expiries, with a tolerance for the server's clock, which the test cannot stop.
function assertExpiry(ours, theirs) {
  if (theirs.expires === null) assert.equal(ours.expires, null)
  else assert(Math.abs(ours.expires - theirs.expires) <= 2000, `${ours.expires} and ${theirs.expires}`)
}
