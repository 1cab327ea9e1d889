// What the stores may be told, and what is said about the rest.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import session from 'express-session-rs'
import stores from 'express-session-rs/stores'

const { FileStore, MemcachedStore, MemoryStore, MySqlStore, PostgresStore, RedisStore, SqliteStore } = stores

test('stores are stores of express-session', () => {
  for (const Store of Object.values(stores)) {
    const store = new Store()
    assert(store instanceof session.Store, Store.name)
    for (const method of ['get', 'set', 'touch', 'destroy', 'all', 'ids', 'length', 'clear', 'regenerate', 'load']) {
      assert.equal(typeof store[method], 'function', `${Store.name}.${method}`)
    }
  }
})

test('an unknown option is named', () => {
  for (const Store of Object.values(stores)) {
    assert.throws(() => new Store({ prefxi: 'x' }), {
      name: 'TypeError', message: `${Store.name} has no option prefxi`
    })
  }
})

test('an option that is to be said otherwise says how', () => {
  const refused = [
    [RedisStore, { client: {} }, 'RedisStore has no option client: the store makes its own connection, say url'],
    [PostgresStore, { pool: {} }, /has no option pool: .* say conString or conObject/],
    [PostgresStore, { conObject: { ssl: true } }, /conObject has no option ssl: .*sslmode/],
    [SqliteStore, { mode: 1 }, /has no option mode: /],
    [FileStore, { secret: 'x' }, /has no option secret: nothing is encrypted/],
    [MemcachedStore, { secret: 'x' }, /has no option secret: nothing is encrypted/],
    [MemoryStore, { dispose() {} }, /has no option dispose: /]
  ]
  for (const [Store, options, message] of refused) {
    assert.throws(() => new Store(options), { name: 'TypeError', message })
  }
  assert.throws(() => new MySqlStore({}, {}), { name: 'TypeError', message: /takes no connection/ })
})

test('a value that an option cannot have is an error that does not show it', () => {
  const wrong = [
    [RedisStore, { ttl: '5 hunter2' }, 'RedisStore: the option ttl is not a number of seconds or a function'],
    [RedisStore, { scanCount: 0 }, /scanCount is not a positive whole number/],
    [RedisStore, { url: 5 }, /url is not a string/],
    [PostgresStore, { createTableIfMissing: 'yes' }, /createTableIfMissing is not true or false/],
    [MySqlStore, { port: 'hunter2' }, /port is not a port/],
    [MySqlStore, { charset: 'latin1' }, /charset is not one of utf8mb4_bin/],
    [MySqlStore, { schema: { columnNames: { id: 'x' } } }, /schema.columnNames has no option id/],
    [SqliteStore, { dialect: 'mine' }, /dialect is not one of connect-sqlite3, /],
    [FileStore, { reapInterval: -2 }, /reapInterval is not a number of seconds/],
    [MemcachedStore, { hosts: ['a:1', 'b:1'] }, /hosts is not one host/],
    [MemoryStore, { max: 1.5 }, /max is not a positive whole number/],
    [MemoryStore, null, 'MemoryStore: the options are no object']
  ]
  for (const [Store, options, message] of wrong) {
    assert.throws(() => new Store(options), (error) => {
      assert.equal(error.name, 'TypeError')
      assert.match(error.message, message instanceof RegExp ? message : new RegExp(message))
      return !error.stack.includes('hunter2')
    })
  }
})

test('options that are understood make a store', () => {
  for (const store of [
    new RedisStore({ url: 'redis://127.0.0.1:1/2', prefix: '', ttl: 60, scanCount: 10, timeout: 500 }),
    new RedisStore({ ttl: () => 60, serializer: JSON, disableTTL: true, disableTouch: true, probeInterval: 1000 }),
    new PostgresStore({ conString: 'postgres://web@localhost/shop', tableName: 'a', schemaName: 'b' }),
    new PostgresStore({ conObject: { host: '::1', user: 'a b', password: 'x@y/z', database: 'é', max: 3 } }),
    new PostgresStore({ ttl: 60, disableTouch: true, pruneSessionInterval: false, pruneSessionRandomizedInterval: false }),
    new MySqlStore({ host: 'localhost', port: '3306', user: 'web', password: 'p@ss', database: 'shop' }),
    new MySqlStore({ schema: { tableName: 'a', columnNames: { data: 'b' } }, clearExpired: false, charset: 'utf8mb4_bin' }),
    new MySqlStore({ expiration: 1000, checkExpirationInterval: 1000, connectionLimit: 2, waitForConnections: true }),
    new SqliteStore({ db: ':memory:', dialect: 'connect-session-knex', synchronous: 'full', cleanupInterval: false }),
    new FileStore({ path: './nowhere', ttl: 60, reapInterval: -1, retries: 0, logFn() {}, fileExtension: '' }),
    new MemcachedStore({ hosts: ['127.0.0.1:11211'], prefix: 'a', ttl: 60, poolSize: 2 }),
    new MemoryStore({ checkPeriod: 86400000, max: 10, maxBytes: 1000, ttl: 60_000 }),
    new MemoryStore({ ttl: () => 1 }),
    new MemoryStore({ max: undefined, ttl: null })
  ]) {
    assert(store instanceof session.Store)
  }
})

test('an address that is none is an error without its password', () => {
  for (const make of [
    () => new RedisStore({ url: 'redis://:hunter2@local host' }),
    () => new PostgresStore({ conString: 'postgres://user:hunter2@localhost:port/db' }),
    () => new MySqlStore({ url: 'mysql://user:hunter2@localhost:port/db' }),
    () => new MemcachedStore({ url: 'memcached://user:hunter2@localhost:1' })
  ]) {
    assert.throws(make, (error) => {
      assert.match(error.code, /^ERR_STORE_/)
      return !`${error.stack} ${error.cause}`.includes('hunter2')
    })
  }
})
