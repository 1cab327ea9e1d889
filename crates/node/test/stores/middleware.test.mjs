// The native stores with express-session and with this package: a view counter, a renewal, a reload and a logout.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'

import {
  FileStore, MemcachedStore, MemoryStore, MySqlStore, PostgresStore, RedisStore, SqliteStore
} from 'express-session-rs/stores'
import { visit } from '../../testing/counter.mjs'
import { proxied } from '../../testing/proxy.mjs'
import { folder, missingServer, urls } from '../../testing/servers.mjs'
import { original, ours } from '../../testing/sides.mjs'

// [name, open, server]
const STORES = [
  ['memory', () => new MemoryStore()],
  ['file', () => new FileStore({ path: folder() })],
  ['sqlite', () => new SqliteStore({ dir: folder() })],
  ['redis', () => new RedisStore({ url: urls.redis, prefix: 'web:' }), 'redis'],
  ['postgres', () => new PostgresStore({ url: urls.postgres, createTableIfMissing: true }), 'postgres'],
  ['mysql', () => new MySqlStore({ url: urls.mysql, schema: { tableName: 'web' } }), 'mysql'],
  ['memcached', () => new MemcachedStore({ url: urls.memcached, prefix: 'web:' }), 'memcached']
]

const OPTIONS = { secret: 'keyboard cat', resave: false, saveUninitialized: false }

const SESSIONS = [['express-session', original], ['express-session-rs', ours]]

for (const [middleware, session] of SESSIONS) {
  for (const [name, open, server] of STORES) {
    test(`the counter works on ${middleware} with ${name}`, { skip: missingServer(server) }, async (t) => {
      const store = open()
      const visitor = await visit(t, session({ ...OPTIONS, store }))
      assert.equal(await visitor.text('/'), '1')
      assert.equal(await visitor.text('/'), '2')
      // This request touches the session only.
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

test('express-session handles requests without sessions while the store is unavailable', {
  skip: missingServer('redis')
}, async (t) => {
  const proxy = await proxied(urls.redis)
  t.after(() => proxy.shut())
  const store = new RedisStore({ url: proxy.url, prefix: 'gone:', probeInterval: 10 })
  const middleware = original({ ...OPTIONS, store })
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
