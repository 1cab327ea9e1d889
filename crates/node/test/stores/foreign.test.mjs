// Ids, sessions and cookies that are not those of the middleware.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import session from 'express-session-rs'
import stores from 'express-session-rs/stores'
import { folder, missingServer, urls } from '../../testing/servers.mjs'
import { sessionOf } from '../../testing/sides.mjs'

const { FileStore, MemcachedStore, MemoryStore, MySqlStore, PostgresStore, RedisStore, SqliteStore } = stores

const ROWS = [
  ['memory', undefined, () => new MemoryStore()],
  ['sqlite', undefined, () => new SqliteStore({ dir: folder() })],
  ['file', undefined, () => new FileStore({ path: folder() })],
  ['redis', 'redis', () => new RedisStore({ url: urls.redis, prefix: 'foreign:' })],
  ['postgres', 'postgres', () => new PostgresStore({
    conString: urls.postgres, tableName: 'foreign_sessions', createTableIfMissing: true
  })],
  ['mysql', 'mysql', () => new MySqlStore({ url: urls.mysql, schema: { tableName: 'foreign_sessions' } })],
  ['memcached', 'memcached', () => new MemcachedStore({ url: urls.memcached, prefix: 'foreign:' })]
]

const HOUR = 3_600_000
// Returns the middleware's session for a record.
const restored = (record) => new session.MemoryStore().createSession({ sessionID: 'sid' }, record)
const unsuitable = { name: 'Error', code: 'ERR_STORE_UNSUITABLE' }

for (const [name, server, open] of ROWS) {
  describe(name, { skip: missingServer(server) }, () => {
    test('an id that is no text, empty, or has a NUL is an error with a code, from every method', async () => {
      const store = open()
      for (const id of [undefined, null, 17, {}, ['sid'], Symbol('sid'), '', 'a\0b']) {
        for (const call of [
          () => store.get(id), () => store.set(id, sessionOf()), () => store.touch(id, sessionOf()), () => store.destroy(id)
        ]) {
          await assert.rejects(call(), unsuitable)
        }
      }
      await store.close()
    })

    test('an id of any length is stored, or an error with a code', async () => {
      const store = open()
      const id = 'x'.repeat(100_000)
      for (const call of [
        () => store.set(id, sessionOf()), () => store.get(id), () => store.touch(id, sessionOf()), () => store.destroy(id)
      ]) {
        await call().catch((error) => {
          assert.match(error.code, /^ERR_STORE_/)
          assert(!`${error.stack} ${error.cause}`.includes('xxx'))
        })
      }
      await store.close()
    })

    test('a session that is no object is an error with a code', async () => {
      const store = open()
      for (const given of [undefined, null, 'text', 1]) await assert.rejects(store.set('sid', given), unsuitable)
      await store.close()
    })

    test('a touch without a whole cookie keeps the attributes that are stored', async () => {
      const store = open()
      const stored = sessionOf(HOUR)
      Object.assign(stored.cookie, { secure: true, sameSite: 'strict', domain: 'shop.example' })
      await store.set('sid', stored)
      for (const given of [null, undefined, {}, { cookie: null }, { cookie: {} }, { cookie: { path: '/' } }]) {
        await store.touch('sid', given)
        const found = restored(await store.get('sid'))
        const { secure, sameSite, domain, path, originalMaxAge } = found.cookie
        assert.deepEqual([secure, sameSite, domain, path], [true, 'strict', 'shop.example', '/'])
        assert.equal(originalMaxAge, HOUR)
        assert(found.cookie.maxAge > HOUR - 60_000, `${found.cookie.maxAge}`)
        assert.equal(found.views, 1)
      }
      await store.touch('none', null)
      assert.equal(await store.get('none'), null)
      await store.destroy('sid')
      await store.close()
    })
  })
}

test('a touch with some attributes changes only those', async () => {
  const store = new MemoryStore()
  const stored = sessionOf(HOUR)
  stored.cookie.secure = true
  await store.set('sid', stored)
  await store.touch('sid', { cookie: { maxAge: 2 * HOUR, sameSite: 'lax' } })
  const { secure, sameSite, originalMaxAge } = (await store.get('sid')).cookie
  assert.deepEqual([secure, sameSite, originalMaxAge], [true, 'lax', 2 * HOUR])
  const expires = new Date(Date.now() + 3 * HOUR).toISOString()
  await store.touch('sid', { cookie: { expires } })
  assert.equal((await store.get('sid')).cookie.expires, expires)
})

test('a touch of a record without a cookie changes no text', async () => {
  const store = new MemoryStore()
  await store.set('sid', { views: 1 })
  await store.touch('sid', null)
  assert.deepEqual(await store.get('sid'), { views: 1 })
})
