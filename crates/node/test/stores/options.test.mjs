// The options of the native stores, and the errors for unsupported ones.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'

import session from 'express-session-rs'
import stores from 'express-session-rs/stores'
import { sessionOf } from '../../testing/sides.mjs'

const { FileStore, MemcachedStore, MemoryStore, MySqlStore, PostgresStore, RedisStore, SqliteStore } = stores

test('every native store is a store of express-session', () => {
  for (const Store of Object.values(stores)) {
    const store = new Store()
    assert(store instanceof session.Store, Store.name)
    for (const method of ['get', 'set', 'touch', 'destroy', 'all', 'ids', 'length', 'clear', 'regenerate', 'load']) {
      assert.equal(typeof store[method], 'function', `${Store.name}.${method}`)
    }
  }
})

test('an unknown option is refused by its name', () => {
  for (const Store of Object.values(stores)) {
    assert.throws(() => new Store({ prefxi: 'x' }), {
      name: 'TypeError', message: `${Store.name} has no option prefxi`
    })
  }
})

test('an unsupported option is refused with a reason or an alternative', () => {
  const refused = [
    [RedisStore, { client: {} }, 'RedisStore has no option client: the store opens its own connection, use url'],
    [RedisStore, { keyPrefix: 'x' }, 'RedisStore has no option keyPrefix: use prefix'],
    [RedisStore, { connectTimeout: 1 }, /has no option connectTimeout: use timeout/],
    [RedisStore, { sentinels: [] }, /redis\+sentinel:/],
    [RedisStore, { tls: { pfx: 'x' } }, 'RedisStore, tls has no option pfx: use cert and key, as PEM'],
    [RedisStore, { tls: { passphrase: 'x' } }, /tls has no option passphrase: key must not be encrypted/],
    [RedisStore, { socket: { reconnectStrategy() {} } }, /socket has no option reconnectStrategy: /],
    [RedisStore, { url: 'unix:///run/redis.sock', tls: true }, /a socket of this machine has no TLS/],
    [MySqlStore, { connectTimeout: 1 }, /has no option connectTimeout: use timeout/],
    [MySqlStore, { flags: '-FOUND_ROWS' }, /has no option flags: /],
    [PostgresStore, { pool: {} }, /has no option pool: .* use conString or conObject/],
    [PostgresStore, { conObject: { ssl: 'require' } }, /ssl must be true, false or an object/],
    [RedisStore, { username: 'web' }, /username needs password/],
    [SqliteStore, { mode: 1 }, /has no option mode: /],
    [FileStore, { secret: 'x' }, /has no option secret: use sealed, whose records have another form/],
    [MemcachedStore, { secret: 'x' }, /has no option secret: use sealed, whose records have another form/],
    [MemoryStore, { dispose() {} }, /has no option dispose: /]
  ]
  for (const [Store, options, message] of refused) {
    assert.throws(() => new Store(options), { name: 'TypeError', message })
  }
  assert.throws(() => new MySqlStore({}, {}), { name: 'TypeError', message: /takes no connection/ })
})

test('an invalid value is an error that does not contain it', () => {
  const wrong = [
    [RedisStore, { ttl: '5 hunter2' }, 'RedisStore: the option ttl must be a number of seconds or a function'],
    [RedisStore, { scanCount: 0 }, /scanCount must be a positive whole number/],
    [RedisStore, { url: 5 }, /url must be a string/],
    [PostgresStore, { createTableIfMissing: 'yes' }, /createTableIfMissing must be true or false/],
    [PostgresStore, { userIndex: 'yes' }, /userIndex must be true or false/],
    [MySqlStore, { port: 'hunter2' }, /port must be a port/],
    [RedisStore, { url: 'redis://a', host: 'b' }, /url has the address and the login, leave out host/],
    [RedisStore, { url: 'rediss://a', tls: false }, /tls is false, and the URL asks for encryption/],
    [RedisStore, { tls: { cert: 'hunter2' } }, /cert and key need each other/],
    [RedisStore, { tls: { servername: 'hunter2' } }, /servername must be the host of the URL/],
    [RedisStore, { tls: { ca: 5 } }, /ca must be PEM/],
    [RedisStore, { maxWaiting: 0 }, /maxWaiting must be a positive whole number/],
    [MySqlStore, { ssl: 'Amazon RDS' }, /ssl must be { ca }, with the certificates of the profile/],
    [MemoryStore, { maxRecordBytes: 0 }, /maxRecordBytes must be a positive whole number/],
    [MySqlStore, { charset: 'latin1' }, /charset must be one of utf8mb4_bin/],
    [MySqlStore, { schema: { columnNames: { id: 'x' } } }, /schema.columnNames has no option id/],
    [SqliteStore, { dialect: 'mine' }, /dialect must be one of connect-sqlite3, /],
    [FileStore, { reapInterval: -2 }, /reapInterval must be a number of seconds/],
    [MemcachedStore, { hosts: ['a:1', 'b:1'] }, /hosts must be one host/],
    [MemoryStore, { max: 1.5 }, /max must be a positive whole number/],
    [MemoryStore, null, 'MemoryStore: the options must be an object']
  ]
  for (const [Store, options, message] of wrong) {
    assert.throws(() => new Store(options), (error) => {
      assert.equal(error.name, 'TypeError')
      assert.match(error.message, message instanceof RegExp ? message : new RegExp(message))
      return !error.stack.includes('hunter2')
    })
  }
})

test('a number that a store, a timer or a date cannot take is refused by its option', () => {
  const wrong = [
    [PostgresStore, { max: 1e9 }, 'the option max must be at most 65535'],
    [MySqlStore, { connectionLimit: 1e9 }, 'the option connectionLimit must be at most 65535'],
    [MemcachedStore, { poolSize: 1e12 }, 'the option poolSize must be at most 65535'],
    [SqliteStore, { readers: 1e6 }, 'the option readers must be at most 1024'],
    [FileStore, { mode: 2 ** 32 + 0o600 }, 'the option mode must be at most 4095'],
    [RedisStore, { scanCount: 2 ** 32 + 1 }, 'the option scanCount must be at most 4294967295'],
    [RedisStore, { probeInterval: 3e9 }, 'the option probeInterval must be at most 2147483647'],
    [RedisStore, { timeout: 1e300 }, 'the option timeout must be at most 2147483647'],
    [SqliteStore, { cleanupInterval: 1e300 }, 'the option cleanupInterval must be at most 2147483647'],
    [RedisStore, { ttl: 1e13 }, 'the option ttl must be at most 8640000000000 or a function'],
    [MySqlStore, { expiration: 1e16 }, 'the option expiration must be at most 8640000000000000'],
    [MemoryStore, { ttl: 1e16 }, 'the option ttl must be at most 8640000000000000 or a function'],
    [FileStore, { reapInterval: 1e300 }, 'the option reapInterval must be at most 8640000000000']
  ]
  for (const port of [0, 65_536, '99999']) {
    const message = 'the option port must be a port, from 1 to 65535'
    wrong.push([RedisStore, { port }, message], [MySqlStore, { port }, message])
    wrong.push([RedisStore, { socket: { port } }, `RedisStore, socket: ${message}`])
    wrong.push([PostgresStore, { conObject: { port } }, 'PostgresStore, conObject: the option port must be a port'])
  }
  for (const [Store, options, message] of wrong) {
    assert.throws(() => new Store(options), (error) => {
      assert.equal(error.name, 'TypeError')
      assert(error.message.startsWith(message.startsWith(Store.name) ? message : `${Store.name}: ${message}`), error.message)
      return true
    })
  }
  for (const store of [
    new PostgresStore({ max: 65_535 }), new SqliteStore({ readers: 1024 }), new RedisStore({ port: 65_535, ttl: 1e10 }),
    new RedisStore({ probeInterval: 2 ** 31 - 1, timeout: 2 ** 31 - 1 }), new MemoryStore({ maxBytes: 2 ** 40 })
  ]) {
    assert(store instanceof session.Store)
  }
})

test('a function ttl that returns no number of seconds or milliseconds is an error of the call', async () => {
  for (const time of ['60', NaN, undefined, null, Infinity, -Infinity, 1e300, {}]) {
    for (const [Store, unit] of [[RedisStore, 'seconds'], [MemoryStore, 'milliseconds']]) {
      const store = new Store({ ttl: () => time })
      const message = new RegExp(`^${Store.name}: the function ttl must return a number of ${unit}`)
      const expected = { name: 'TypeError', message }
      await assert.rejects(store.set('a', sessionOf()), expected)
      await assert.rejects(store.touch('a', sessionOf()), expected)
    }
  }
  // A session that is over is deleted, as in the npm stores.
  const store = new MemoryStore({ ttl: () => -1 })
  await store.set('a', sessionOf())
  assert.equal(await store.get('a') ?? null, null)
})

test('supported options are accepted', () => {
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
    new RedisStore({ host: 'cache', port: '6380', username: 'default', password: 'p@ss/', db: 2, tls: {}, maxWaiting: 9 }),
    new RedisStore({ url: 'redis://cache', tls: { rejectUnauthorized: false, servername: 'cache' } }),
    new RedisStore({ path: '/run/redis.sock', password: 'p&ss', database: 1 }),
    new RedisStore({ socket: { host: 'cache', port: 6380, tls: true, rejectUnauthorized: false }, username: 'a', password: 'b' }),
    new RedisStore({ url: 'rediss://default:p%40ss@cache:6380/0?family=6' }),
    new MySqlStore({ uri: 'mysql://web@localhost/shop', ssl: { rejectUnauthorized: false }, timezone: 'Z', maxWaiting: 9 }),
    new MySqlStore({ host: 'db', ssl: {}, charset: 'utf8mb4', multipleStatements: true, dateStrings: true }),
    new MySqlStore({ socketPath: '/run/mysqld/mysqld.sock', user: 'web', database: 'shop' }),
    new MySqlStore({ url: 'mysql://web@db/shop?ssl={"rejectUnauthorized":true}' }),
    new PostgresStore({ conObject: { host: 'db', ssl: { rejectUnauthorized: false } } }),
    new PostgresStore({ conString: 'postgres://web@db/shop', ssl: true }),
    new MemcachedStore({ maxWaiting: 9 }),
    new PostgresStore({ conString: 'postgres://web@localhost/shop', maxWaiting: 9, prepareStatements: false }),
    new PostgresStore({ userIndex: true }),
    new SqliteStore({ userIndex: true }),
    new RedisStore({ userIndex: true }),
    new MemoryStore({ maxRecordBytes: 1000 }),
    new MemoryStore({ ttl: () => 1 }),
    new MemoryStore({ max: undefined, ttl: null })
  ]) {
    assert(store instanceof session.Store)
  }
})

test('a call beyond maxWaiting fails immediately', async () => {
  // A server that never answers.
  const server = net.createServer(() => {}).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const host = `127.0.0.1:${server.address().port}`
  const options = { maxWaiting: 1, timeout: 200 }
  for (const store of [
    new RedisStore({ url: `redis://${host}`, ...options }),
    new PostgresStore({ conString: `postgres://web@${host}/shop`, ...options }),
    new MySqlStore({ url: `mysql://web@${host}/shop`, ...options }),
    new MemcachedStore({ url: `memcached://${host}`, ...options })
  ]) {
    const [waiting, further] = await Promise.allSettled([store.get('a'), store.get('b')])
    assert.match(further.reason.message, /max_waiting is 1/)
    assert.equal(further.reason.code, 'ERR_STORE_UNAVAILABLE')
    assert.doesNotMatch(waiting.reason.message, /max_waiting/)
    await store.close()
  }
  server.unref()
})

test('an invalid URL is an error without its password', () => {
  for (const make of [
    () => new RedisStore({ url: 'redis://:hunter2@local host' }),
    () => new PostgresStore({ conString: 'postgres://user:hunter2@localhost:port/db' }),
    () => new MySqlStore({ url: 'mysql://user:hunter2@localhost:port/db' }),
    () => new MySqlStore({ url: 'mysql://user:hunter2@localhost/db?connectTimeout=5' }),
    () => new RedisStore({ url: 'redis://:hunter2@localhost?keyPrefix=hunter2' }),
    () => new RedisStore({ url: 'rediss://localhost', tls: { ca: 'hunter2' } }),
    () => new MySqlStore({ host: 'localhost', password: 'hunter2', ssl: { ca: 'hunter2' } }),
    () => new MemcachedStore({ url: 'memcached://user:hunter2@localhost:1' })
  ]) {
    assert.throws(make, (error) => {
      assert.match(error.code, /^ERR_STORE_/)
      return !`${error.stack} ${error.cause}`.includes('hunter2')
    })
  }
})
