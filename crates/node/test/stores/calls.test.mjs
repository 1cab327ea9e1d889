// Calls of native stores: callbacks and promises, errors, the life of the process, worker threads and outages.

import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'

import stores from 'express-session-rs/stores'
import { run } from '../../testing/program.mjs'
import { proxied } from '../../testing/proxy.mjs'
import { folder, missingServer, urls } from '../../testing/servers.mjs'
import { sessionOf } from '../../testing/sides.mjs'

const { MemoryStore, RedisStore, SqliteStore } = stores
const require = createRequire(import.meta.url)
const PACKAGE = require.resolve('express-session-rs/stores')

const SESSION = `{ cookie: { originalMaxAge: null, expires: null, httpOnly: true, path: '/' }, views: 1 }`

// Runs a program with the stores, and returns what it prints.
function program(text, ...args) {
  const script = `'use strict'; const stores = require('express-session-rs/stores');\n${text}`
  const { status, signal, stdout, stderr } = run(script, { args })
  assert.deepEqual([status, signal], [0, null], stderr)
  return stdout
}

for (const [name, open] of [
  ['memory', () => new MemoryStore()],
  ['sqlite', () => new SqliteStore({ dir: folder() })]
]) {
  describe(name, () => {
    test('a callback is called once and later, and without one a promise is returned', async () => {
      const store = open()
      const called = []
      const calls = ['get', 'set', 'touch', 'destroy', 'all', 'ids', 'length', 'clear', 'prune', 'close']
      for (const method of calls) {
        const [sid, stored] = ['sid', sessionOf()]
        const args = { set: [sid, stored], touch: [sid, stored], get: [sid], destroy: [sid] }[method] ?? []
        await new Promise((resolve) => {
          let isLater = false
          const given = store[method](...args, (error) => {
            assert.equal(error, null)
            assert(isLater)
            called.push(method)
            resolve()
          })
          assert.equal(given, undefined)
          isLater = true
        })
        if (method !== 'close') assert(store[method](...args) instanceof Promise)
      }
      await new Promise(setImmediate)
      assert.deepEqual(called, calls)
    })

    test('a callback runs in the async context of its call', async () => {
      const store = open()
      const storage = new AsyncLocalStorage()
      const seen = await storage.run('mine', () =>
        new Promise((resolve) => store.get('sid', () => resolve(storage.getStore())))
      )
      assert.equal(seen, 'mine')
    })

    test('a session that cannot be stored is an error of the call', async () => {
      const store = open()
      const looped = sessionOf()
      looped.looped = looped
      await assert.rejects(store.set('sid', looped), TypeError)
      await assert.rejects(store.set('', sessionOf()), { code: 'ERR_STORE_UNSUITABLE' })
      assert.equal(await store.get('sid'), null)
    })
  })
}

test('an exception of a callback is uncaught, and the callback is not called again', () => {
  for (const store of ['new stores.MemoryStore()', `new stores.SqliteStore({ db: ':memory:' })`]) {
    const printed = program(`
      let calls = 0
      process.on('uncaughtException', (error) => console.log(error.message, calls))
      ${store}.get('sid', () => { calls += 1; throw new Error('mine') })
    `)
    assert.equal(printed, 'mine 1\n')
  }
})

test('a panic on another thread is an error, and the stores keep working', async () => {
  const { panicLater } = require('../../lib/native.js')
  const { callNative } = require('../../lib/stores/remote.js')
  await assert.rejects(callNative((number, mailbox) => panicLater(mailbox, number)), /gives no answer/)
  const store = new SqliteStore({ db: ':memory:' })
  assert.equal(await store.length(), 0)
})

test('calls of a closed store fail', async () => {
  const store = new SqliteStore({ dir: folder() })
  await store.set('sid', sessionOf())
  await store.close()
  await store.close()
  await assert.rejects(store.get('sid'), { code: 'ERR_STORE_CLOSED', message: 'the session store is closed' })
})

test('a corrupt record is an error without its text, and can be overwritten', async () => {
  const dir = folder()
  const store = new stores.FileStore({ path: dir })
  writeFileSync(path.join(dir, 'sid.json'), '{"hunter2')
  await assert.rejects(store.get('sid'), (error) => {
    assert.equal(error.code, 'ERR_STORE_CORRUPT')
    return !`${error.stack} ${error.cause}`.includes('hunter2')
  })
  await store.set('sid', sessionOf(null, 2))
  assert.equal((await store.get('sid')).views, 2)
})

test('a failed call without a callback does not end the process', () => {
  const printed = program(`
    const store = new stores.RedisStore({ url: 'redis://127.0.0.1:1', timeout: 500 })
    store.set('sid', ${SESSION})
    process.on('exit', (code) => console.log(code))
  `)
  assert.equal(printed, '0\n')
})

test('a process waits for its calls, and then exits without closing the store', async () => {
  const dir = folder()
  const printed = program(`
    const store = new stores.SqliteStore({ dir: process.argv[1] })
    for (let number = 0; number < 100; number++) store.set('sid-' + number, ${SESSION})
    process.on('exit', () => console.log('ended'))
  `, dir)
  assert.equal(printed, 'ended\n')
  const store = new SqliteStore({ dir })
  assert.equal(await store.length(), 100)
  await store.close()
})

test('a process can exit during calls', () => {
  const dir = folder()
  for (let round = 0; round < 5; round++) {
    const printed = program(`
      const store = new stores.SqliteStore({ dir: process.argv[1] })
      const memory = new stores.MemoryStore()
      for (let number = 0; number < 200; number++) {
        store.set('sid-' + number, ${SESSION}, () => {})
        memory.set('sid-' + number, ${SESSION}, () => {})
      }
      store.get('sid-0', () => { console.log('ends'); process.exit(0) })
    `, dir)
    assert.equal(printed, 'ends\n')
  }
})

test('unreachable stores are garbage collected', () => {
  const printed = program(`
    require('node:v8').setFlagsFromString('--expose-gc')
    const gc = require('node:vm').runInNewContext('gc')
    void (async () => {
      for (let round = 0; round < 20; round++) {
        await new stores.SqliteStore({ db: ':memory:' }).get('sid')
        await new stores.MemoryStore().get('sid')
        new stores.PostgresStore({ url: 'postgres://a@127.0.0.1:1/b' })
        await new stores.MySqlStore({ url: 'mysql://a@127.0.0.1:1/b' }).get('sid').catch(() => {})
        await new stores.MemcachedStore({ hosts: '127.0.0.1:1' }).get('sid').catch(() => {})
        new stores.RedisStore({ url: 'redis://127.0.0.1:1' })
      }
      gc()
      setImmediate(() => { gc(); console.log('gone') })
    })()
  `)
  assert.equal(printed, 'gone\n')
})

describe('worker threads', () => {
  // Starts a worker that posts the number of sessions, and ends, or works until it is terminated.
  const work = (kind, options, isEndless) => new Worker(`
    const { parentPort, workerData: { lib, kind, options, isEndless } } = require('node:worker_threads')
    const store = new (require(lib)[kind])(options)
    const session = ${SESSION}
    void (async () => {
      let number = 0
      do {
        await store.set('sid-' + number % 50, session)
        await store.get('sid-' + number++ % 50)
        if (number === 50) parentPort.postMessage(await store.length())
      } while (isEndless || number < 50)
      await store.close()
    })()
  `, { eval: true, workerData: { lib: PACKAGE, kind, options, isEndless } })

  test('each worker has its own memory store, and workers can share a file', async () => {
    const options = { dir: folder() }
    const workers = [work('MemoryStore', {}), work('SqliteStore', options), work('SqliteStore', options)]
    for (const [found] of await Promise.all(workers.map((worker) => once(worker, 'message')))) {
      assert(found > 0 && found <= 50, `${found}`)
    }
    await Promise.all(workers.map((worker) => worker.terminate()))
    const store = new SqliteStore(options)
    assert.equal(await store.length(), 50)
    await store.close()
  })

  // If a call used an object of a thread that has ended, the process would crash.
  test('workers with a store can end one after another', () => {
    const thread = `
      const { SqliteStore } = require(${JSON.stringify(PACKAGE)})
      new SqliteStore({ db: ':memory:' }).set('sid', ${SESSION}).then(() => process.exit(7))`
    const script = `
      const { Worker } = require('node:worker_threads')
      const begin = (left) => {
        const worker = new Worker(${JSON.stringify(thread)}, { eval: true })
        worker.on('exit', (code) => (left && code === 7 ? begin(left - 1) : console.log(left, code)))
      }
      begin(3)`
    assert.equal(run(script).stdout, '0 7\n')
  })

  test('workers can be terminated during calls, and other stores keep working', async () => {
    const options = { dir: folder() }
    const store = new SqliteStore(options)
    for (let round = 0; round < 10; round++) {
      const ended = Array.from({ length: 3 }, async () => {
        const worker = work('SqliteStore', options, true)
        await once(worker, 'message')
        await worker.terminate()
      })
      await Promise.all(ended)
      await store.set('mine', sessionOf(null, round))
      assert.equal((await store.get('mine')).views, round)
    }
    await store.close()
  })
})

describe('an unavailable server', { skip: missingServer('redis') }, () => {
  test('is an error with a code, until it is available again', async (t) => {
    const proxy = await proxied(urls.redis)
    t.after(() => proxy.shut())
    const store = new RedisStore({ url: proxy.url, prefix: 'away:' })
    await store.set('secret-id', sessionOf())
    await proxy.shut()
    await assert.rejects(store.get('secret-id'), (error) => {
      assert.equal(error.code, 'ERR_STORE_UNAVAILABLE')
      assert.match(error.message, /^the session store is unavailable: /)
      return !`${error.stack} ${error.cause}`.includes('secret-id')
    })
    await proxy.open()
    assert.equal((await store.get('secret-id')).views, 1)
    await store.close()
  })

  test('makes a store with probeInterval emit disconnect, and connect when it is available again', async (t) => {
    const proxy = await proxied(urls.redis)
    t.after(() => proxy.shut())
    const store = new RedisStore({ url: proxy.url, prefix: 'events:', probeInterval: 10 })
    const events = []
    for (const event of ['connect', 'disconnect']) store.on(event, () => events.push(event))
    await store.set('sid', sessionOf())
    await proxy.shut()
    for (let calls = 0; calls < 3; calls++) await assert.rejects(store.get('sid'))
    assert.deepEqual(events, ['disconnect'])
    const back = once(store, 'connect')
    await proxy.open()
    // Only the store's timer probes the server, and it does not keep the process alive.
    const alive = setInterval(() => {}, 1000)
    await back
    clearInterval(alive)
    assert.deepEqual(events, ['disconnect', 'connect'])
    assert.equal((await store.get('sid')).views, 1)
    await store.close()
  })
})
