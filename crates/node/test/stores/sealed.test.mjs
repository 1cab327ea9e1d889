// The option `sealed`: records are encrypted before they reach their store, as those of the Rust SealedStore.

import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { describe, test } from 'node:test'

import session from 'express-session-rs'
import {
  FileStore, MemcachedStore, MemoryStore, MySqlStore, PostgresStore, RedisStore, SqliteStore
} from 'express-session-rs/stores'
import { folder, missingServer } from '../../testing/servers.mjs'
import { cookieOf, options, sessionOf, thrown } from '../../testing/sides.mjs'
import { allStores } from '../../testing/stores.mjs'
import { answer } from '../../testing/wire.mjs'

const VECTORS = JSON.parse(
  readFileSync(new URL('../../../../conformance/vectors/sealed.json', import.meta.url), 'utf8')
)
const [OLD, NEW] = VECTORS.map(({ key }) => key)
const HOUR = 3_600_000

describe('the vectors', () => {
  for (const { key, id, record, name, atRest } of VECTORS) {
    test(`a record that another implementation has sealed is opened: ${name}`, async () => {
      const path = folder()
      const [plain, sealed] = [new FileStore({ path }), new FileStore({ path, sealed: { keys: [key] } })]
      await plain.set(name, JSON.parse(atRest))
      const { __lastAccess: _, ...found } = await sealed.get(id)
      assert.equal(JSON.stringify(found), record)
      // And what is sealed here has that name, and that form.
      await sealed.destroy(id)
      await sealed.set(id, JSON.parse(record))
      assert.deepEqual(readdirSync(path).filter((file) => file.endsWith('.json')), [`${name}.json`])
      const { sealed: text } = await plain.get(name)
      assert.equal(text.split('.').slice(0, 2).join('.'), JSON.parse(atRest).sealed.split('.').slice(0, 2).join('.'))
      await Promise.all([plain.close(), sealed.close()])
    })
  }
})

const stores = allStores('sealed').filter(([name]) => name !== 'memory')
for (const [name, , server] of stores) {
  describe(name, { skip: missingServer(server) }, () => {
    // Opens the store with these keys, or plain, always over the same records.
    const opened = []
    const path = folder()
    const open = (sealed) => {
      const [, openOne] = allStores('sealed', {}, { path, sealed }).find(([other]) => other === name)
      const store = openOne()
      opened.push(store)
      return store
    }
    const close = () => Promise.all(opened.splice(0).map((store) => store.close()))

    test('the store has neither the id nor the data, and the application has both', async () => {
      const [store, plain] = [open({ keys: [OLD] }), open()]
      await store.clear()
      await store.set('visitor', sessionOf(HOUR))
      assert.equal((await store.get('visitor')).user.name, 'bob')
      assert.deepEqual(await store.ids(), ['visitor'])
      const [at] = await plain.ids()
      const raw = JSON.stringify(await plain.get(at))
      assert.match(raw, /^\{("__lastAccess":\d+,)?"cookie":\{"originalMaxAge":3600000,.*\},"sealed":"v1\./)
      for (const secret of ['visitor', 'bob', 'views']) assert.ok(!`${at} ${raw}`.includes(secret))
      assert.equal(await store.get(at) ?? null, null)
      await store.touch('visitor', sessionOf(2 * HOUR))
      await store.destroy('visitor')
      assert.deepEqual(await plain.ids(), [])
      await close()
    })

    test('sessions with integrity are merged, locked and ended', async () => {
      const store = open({ keys: [OLD] })
      await store.clear()
      const isLocking = name !== 'memcached'
      const use = session(options({ store, integrity: true, idleTimeout: HOUR, cookie: { maxAge: HOUR } }))
      const headers = { cookie: cookieOf(session, 'id1') }
      await answer(use, {}, (req, res) => {
        req.session.views = 1
        res.end()
      })
      await answer(use, { headers }, async (req, res) => {
        req.session.update('views', (views) => views + 1)
        await answer(use, { headers }, async (other, shown) => {
          const lock = isLocking && (await other.session.lock())
          other.session.update('views', (views) => views + 1)
          if (lock) await lock.unlock()
          shown.end()
        })
        res.end()
      })
      assert.equal((await store.get('id1')).views, 3)
      await answer(use, { headers }, async (req, res) => {
        await req.session.logout()
        res.end()
      })
      assert.equal(await store.get('id1') ?? null, null)
      await close()
    })

    test('plain sessions become sealed ones, and move to another key, and no visitor is logged out', async () => {
      const plain = open()
      await plain.clear()
      await plain.set('visitor', sessionOf(HOUR, 1))
      const first = open({ keys: [OLD], acceptPlain: true })
      assert.equal((await first.get('visitor')).views, 1)
      assert.equal((await plain.get('visitor')).views, 1)
      assert.deepEqual(await first.upgrade(), { moved: 1, unreadable: 0 })
      assert.equal(await plain.get('visitor') ?? null, null)
      assert.deepEqual(await first.upgrade(), { moved: 0, unreadable: 0 })

      const rotated = open({ keys: [NEW, OLD] })
      assert.equal((await rotated.get('visitor')).views, 1)
      await rotated.set('visitor', sessionOf(HOUR, 2))
      assert.equal((await open({ keys: [OLD, NEW] }).get('visitor')).views, 2)
      assert.deepEqual(await rotated.upgrade(), { moved: 1, unreadable: 0 })
      assert.equal((await open({ keys: [NEW] }).get('visitor')).views, 2)
      assert.equal(await open({ keys: [OLD] }).get('visitor') ?? null, null)
      assert.deepEqual(await open({ keys: [OLD] }).upgrade(), { moved: 0, unreadable: 1 })
      await close()
    })
  })
}

test('a record that was changed, or that no key opens, is corrupt, and the error names neither its id nor its key', async () => {
  const path = folder()
  const { key, id, name, atRest } = VECTORS[0]
  const plain = new FileStore({ path })
  const forged = JSON.parse(atRest)
  forged.sealed = forged.sealed.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'))
  await plain.set(name, forged)
  const store = new FileStore({ path, sealed: { keys: [key] } })
  await assert.rejects(store.get(id), (error) => {
    assert.equal(error.code, 'ERR_STORE_CORRUPT')
    return ![key, id, name].some((secret) => `${error.stack}${error.cause?.stack}`.includes(secret))
  })
  await Promise.all([plain.close(), store.close()])
})

test('keys that are none are refused, and are not in the error', () => {
  const long = 'hunter2'.repeat(8)
  for (const [sealed, message] of [
    [{}, 'there must be at least one key'],
    [{ keys: [] }, 'there must be at least one key'],
    [{ keys: [OLD, 'hunter2'] }, 'key 2 is shorter than 32 bytes'],
    [{ keys: [long] }, 'key 1 is easy to guess'],
    [{ keys: [OLD, Buffer.from(OLD)] }, 'key 2 is there twice'],
    [{ keys: 'hunter2' }, ': the option keys must be an array of secrets'],
    [{ keys: [7] }, ': the option keys must be an array of strings or Buffers'],
    [{ keys: [OLD], acceptPlain: 'hunter2' }, ': the option acceptPlain must be true or false'],
    [{ keys: [OLD], plain: true }, ' has no option plain'],
    ['hunter2', ': the options must be an object']
  ]) {
    for (const Store of [FileStore, MemcachedStore, MySqlStore, PostgresStore, RedisStore, SqliteStore]) {
      const text = thrown(() => new Store({ sealed }))
      const colon = /^[: ]/.test(message) ? '' : ': '
      assert.equal(text, `TypeError: ${Store.name}, sealed${colon}${message}`)
    }
  }
  assert.equal(
    thrown(() => new MemoryStore({ sealed: { keys: [OLD] } })),
    'TypeError: MemoryStore has no option sealed: its records do not leave the process'
  )
})

test('a store that is not sealed has nothing to upgrade', async () => {
  for (const store of [new MemoryStore(), new FileStore({ path: folder() })]) {
    await assert.rejects(store.upgrade(), { code: 'ERR_STORE_UNSUPPORTED' })
    await store.close()
  }
})
