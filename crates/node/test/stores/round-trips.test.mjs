// How often a call waits for the server, counted on the wire.

import assert from 'node:assert/strict'
import { describe, test, before, after } from 'node:test'

import session from 'express-session-rs'
import stores from 'express-session-rs/stores'
import { proxied } from '../../testing/proxy.mjs'
import { leftOut, urls } from '../../testing/servers.mjs'

const { MemcachedStore, MySqlStore, PostgresStore, RedisStore } = stores

const ROWS = [
  ['redis', (url) => new RedisStore({ url, prefix: 'trips:' })],
  ['postgres', (url) => new PostgresStore({ url, tableName: 'trips', createTableIfMissing: true })],
  // A statement is prepared once for each connection.
  ['mysql', (url) => new MySqlStore({ url, schema: { tableName: 'trips' }, connectionLimit: 1 })],
  // What is there instead of what was expected, no answer of memcached's says.
  ['memcached', (url) => new MemcachedStore({ url, prefix: 'trips:' }), { conflict: 3 }]
]

for (const [name, open, { conflict = 2 } = {}] of ROWS) {
  describe(name, { skip: leftOut(urls[name], `the server of ${name}`) }, () => {
    let proxy
    let store
    let other

    before(async () => {
      proxy = await proxied(urls[name])
      store = open(proxy.url)
      other = open(urls[name])
      // Connections, statements and scripts.
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

    test('most calls take one', async () => {
      assert.equal(await proxy.counts(() => store.get('none')), 1)
      assert.equal(await proxy.counts(() => store.set('new', visit(1))), 1)
      assert.equal(await proxy.counts(() => store.get('new')), 1)
      assert.equal(await proxy.counts(() => store.set('new', visit(2))), 1)
      assert.equal(await proxy.counts(() => store.set('new', visit(3))), 1)
      assert.equal(await proxy.counts(() => store.touch('new', visit(3))), 1)
      assert.equal(await proxy.counts(() => store.destroy('new')), 1)
    })

    test('a save takes another where somebody else wrote, or ended it, after it was read', async () => {
      await store.set('shared', visit(1))
      await other.get('shared')
      await other.set('shared', visit(2))
      assert.equal(await proxy.counts(() => store.set('shared', visit(3))), conflict)
      assert.equal((await other.get('shared')).views, 3)
      await other.destroy('shared')
      const ended = await proxy.counts(() => store.set('shared', visit(4)))
      assert(ended <= conflict, `${ended}`)
    })

    test('a save of a session that was never read here takes three', async () => {
      await other.set('unseen', visit(1))
      const trips = await proxy.counts(() => store.set('unseen', visit(2)))
      assert.equal(trips, 3)
      assert.equal((await other.get('unseen')).views, 2)
    })
  })
}

function visit(views) {
  return new session.Session({ sessionID: 'sid' }, { cookie: new session.Cookie({ maxAge: 3_600_000 }), views })
}
