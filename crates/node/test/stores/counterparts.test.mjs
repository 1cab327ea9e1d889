// The members of the npm stores beside express-session's interface: each exists, or says what to use.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import stores, { RedisStore as Named } from 'express-session-rs/stores'
import { folder } from '../../testing/servers.mjs'
import { sessionOf } from '../../testing/sides.mjs'

const { FileStore, MemcachedStore, MemoryStore, MySqlStore, PostgresStore, RedisStore, SqliteStore } = stores

// From the sources of the npm stores: the methods, and what does not exist here.
const MEMBERS = [
  [RedisStore, 'connect-redis', ['prefix', 'ttl', 'scanCount', 'serializer', 'disableTTL', 'disableTouch'], ['client']],
  [PostgresStore, 'connect-pg-simple', ['close', 'pruneSessions', 'quotedTable'], [
    'query', 'getPruneDelay', 'pool', 'pruneTimer'
  ]],
  [MySqlStore, 'express-mysql-session', ['close', 'closeStore', 'clearExpiredSessions', 'onReady'], [
    'query', 'setExpirationInterval', 'clearExpirationInterval', 'createDatabaseTable', 'connection'
  ]],
  [SqliteStore, 'connect-sqlite3', ['table'], ['db', 'client']],
  [SqliteStore, 'better-sqlite3-session-store', ['clearExpiredSessions'], ['startInterval', 'createDb', 'client']],
  [SqliteStore, 'connect-session-knex', ['dbCleanup'], ['knex', 'nextDbCleanup']],
  [FileStore, 'session-file-store', ['list', 'expired'], ['stopInterval', 'reapIntervalObject']],
  [MemcachedStore, 'connect-memcached', ['getKey', 'prefix', 'ttl'], ['client']],
  [MemoryStore, 'memorystore', ['startInterval', 'stopInterval', 'prune', 'options'], ['store']]
]

for (const [Store, npmStore, there, missing] of MEMBERS) {
  test(`${Store.name} has the members of ${npmStore}, or says what to use`, () => {
    const store = new Store()
    for (const name of there) assert(name in store && (store[name], true), name)
    for (const name of missing) {
      assert(name in store, name)
      assert.throws(() => store[name](), (error) => {
        assert.equal(error.code, 'ERR_STORE_UNSUPPORTED')
        assert.match(error.message, new RegExp(`^${Store.name} has no ${name}(\\(\\))?: .*use `))
        return true
      })
    }
    assert(!Object.keys(store).includes('prefix'))
  })
}

test('the options that connect-redis shows are those given, or the defaults', () => {
  const shown = ({ prefix, ttl, scanCount, serializer, disableTTL, disableTouch }) => {
    return [prefix, ttl, scanCount, serializer, disableTTL, disableTouch]
  }
  assert.deepEqual(shown(new RedisStore()), ['sess:', 86_400, 100, JSON, false, false])
  const given = { prefix: '', ttl: 60, scanCount: 7, serializer: { ...JSON, parse: JSON.parse, stringify: JSON.stringify } }
  assert.deepEqual(shown(new RedisStore({ ...given, disableTTL: true, disableTouch: true })), [
    ...Object.values(given), true, true
  ])
  assert.equal(Named, RedisStore)
})

test('names and keys are those of the npm stores', () => {
  assert.equal(new PostgresStore().quotedTable(), '"session"')
  assert.equal(new PostgresStore({ schemaName: 'App', tableName: 'my "own"' }).quotedTable(), '"App"."my ""own"""')
  assert.equal(new MemcachedStore({ prefix: 'shop:' }).getKey('sid'), 'shop:sid')
  assert.equal(new SqliteStore({ dir: folder(), table: 'visits' }).table, 'visits')
})

test('FileStore lists its files, and tells which sessions have expired', async () => {
  const store = new FileStore({ path: folder(), fileExtension: '.txt' })
  await store.set('sid', sessionOf())
  assert.deepEqual(await store.list(), ['sid.txt'])
  assert.deepEqual([await store.expired('sid'), await store.expired('none')], [false, true])
  await assert.rejects(store.expired(undefined), { code: 'ERR_STORE_UNSUITABLE' })
  await store.close()
})

test('expired sessions are removed under the names of the npm stores', async () => {
  for (const method of ['clearExpiredSessions', 'dbCleanup']) {
    const store = new SqliteStore({ db: ':memory:' })
    assert.equal(await store[method](), null)
    await store.close()
  }
  const store = new MemoryStore()
  store.startInterval()
  store.stopInterval()
  assert.equal(await store.prune(), null)
})
