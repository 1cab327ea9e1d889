// The number of round trips of a call, counted by a proxy.

import assert from 'node:assert/strict'
import { describe, test, before, after } from 'node:test'

import stores from 'express-session-rs/stores'
import { proxied } from '../../testing/proxy.mjs'
import { missingServer, urls } from '../../testing/servers.mjs'
import { sessionOf } from '../../testing/sides.mjs'

const { MemcachedStore, MySqlStore, PostgresStore, RedisStore } = stores

const ROWS = [
  // Redis answers a refused update with the current value; the others take another call for it.
  ['redis', (url) => new RedisStore({ url, prefix: 'trips:' }), { conflict: 2 }],
  ['postgres', (url) => new PostgresStore({ url, tableName: 'trips', createTableIfMissing: true })],
  // Every connection prepares its statements, so that one connection is counted.
  ['mysql', (url) => new MySqlStore({ url, schema: { tableName: 'trips' }, connectionLimit: 1 })],
  ['memcached', (url) => new MemcachedStore({ url, prefix: 'trips:' })]
]

for (const [name, open, { conflict = 3 } = {}] of ROWS) {
  describe(name, { skip: missingServer(name) }, () => {
    let proxy
    let store
    let other

    before(async () => {
      proxy = await proxied(urls[name])
      store = open(proxy.url)
      other = open(urls[name])
      // Opens connections, prepares statements and loads scripts.
      for (const sid of ['first', 'second']) {
        await store.set(sid, visit(1))
        await store.get(sid)
        await other.set(sid, visit(2))
        await store.set(sid, visit(3))
        await store.touch(sid, visit(3))
        await store.destroy(sid)
        await store.set(sid, visit(1))
        await other.destroy(sid)
        await store.set(sid, visit(1))
        await other.set(`${sid}-unseen`, visit(1))
        await store.set(`${sid}-unseen`, visit(1))
      }
    })

    after(() => Promise.all([store?.close(), other?.close(), proxy?.shut()]))

    test('most calls take one round trip', async () => {
      for (const [method, ...args] of [
        ['get', 'none'],
        ['set', 'new', visit(1)],
        ['get', 'new'],
        ['set', 'new', visit(2)],
        ['set', 'new', visit(3)],
        ['touch', 'new', visit(3)],
        ['destroy', 'new']
      ]) {
        assert.equal(await proxy.counts(() => store[method](...args)), 1, method)
      }
    })

    test('a save takes another after a write or a destroy of another store', async () => {
      await store.set('shared', visit(1))
      await other.get('shared')
      await other.set('shared', visit(2))
      assert.equal(await proxy.counts(() => store.set('shared', visit(3))), conflict)
      assert.equal((await other.get('shared')).views, 3)
      await other.destroy('shared')
      const ended = await proxy.counts(() => store.set('shared', visit(4)))
      assert(ended <= conflict, `${ended}`)
    })

    test('a save of a session that this store has not read takes three', async () => {
      await other.set('unseen', visit(1))
      const trips = await proxy.counts(() => store.set('unseen', visit(2)))
      assert.equal(trips, 3)
      assert.equal((await other.get('unseen')).views, 2)
    })
  })
}

function visit(views) {
  return sessionOf(3_600_000, views)
}
