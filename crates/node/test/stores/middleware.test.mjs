// The native stores under express-session itself, and under this package: a view counter, a new id, a logout.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, test } from 'node:test'

import {
  FileStore, MemcachedStore, MemoryStore, MySqlStore, PostgresStore, RedisStore, SqliteStore
} from 'express-session-rs/stores'
import { visit } from '../../testing/counter.mjs'
import { proxied } from '../../testing/proxy.mjs'
import { folder, leftOut, urls } from '../../testing/servers.mjs'
import { original, ours } from '../../testing/sides.mjs'

// The third is the server, for those that have one.
const STORES = [
  ['memory', () => new MemoryStore()],
  ['file', () => new FileStore({ path: folder() })],
  ['sqlite', () => new SqliteStore({ dir: folder() })],
  ['redis', () => new RedisStore({ url: urls.redis, prefix: 'web:' }), 'redis'],
  ['postgres', () => new PostgresStore({ url: urls.postgres, createTableIfMissing: true }), 'postgres'],
  ['mysql', () => new MySqlStore({ url: urls.mysql, schema: { tableName: 'web' } }), 'mysql'],
  ['memcached', () => new MemcachedStore({ url: urls.memcached, prefix: 'web:' }), 'memcached']
]

const SESSIONS = [['express-session', original], ['express-session-rs', ours]]

for (const [middleware, session] of SESSIONS) {
  for (const [name, open, server] of STORES) {
    const skip = leftOut(!server || urls[server], `the server of ${name}`)

    test(`${middleware} with ${name}`, { skip }, async (t) => {
      const store = open()
      const visitor = await visit(t, session({ secret: 'keyboard cat', resave: false, saveUninitialized: false, store }))
      assert.equal(await visitor.text('/'), '1')
      assert.equal(await visitor.text('/'), '2')
      // It is touched only.
      assert.equal(await visitor.text('/look'), '2')
      const before = visitor.jar['connect.sid']
      assert.equal(await visitor.text('/renew'), 'new')
      assert.notEqual(visitor.jar['connect.sid'], before)
      assert.equal(await visitor.text('/'), '1')
      assert.equal(await visitor.text('/reload'), '1')
      assert.equal(await visitor.text('/leave'), 'bye')
      assert.equal(await visitor.text('/look'), 'nothing')
      await store.close()
    })
  }
}

describe('while the store is away', { skip: leftOut(urls.redis, 'the server of redis') }, () => {
  test('express-session goes on without sessions', async (t) => {
    const proxy = await proxied(urls.redis)
    t.after(() => proxy.shut())
    const store = new RedisStore({ url: proxy.url, prefix: 'gone:', probeInterval: 10 })
    const middleware = original({ secret: 'keyboard cat', resave: false, saveUninitialized: false, store })
    const visitor = await visit(t, middleware)
    assert.equal(await visitor.text('/'), '1')
    await proxy.shut()
    assert.match(await visitor.text('/'), /^failed: the session store is unavailable/)
    assert.equal(await visitor.text('/look'), 'no session')
    const back = once(store, 'connect')
    await proxy.open()
    await back
    assert.equal(await visitor.text('/'), '2')
    await store.close()
  })
})
