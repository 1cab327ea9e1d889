// The boundary itself: who is called back, how often, with which error, and what keeps a process alive.

import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import path from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'

import session from 'express-session-rs'
import stores from 'express-session-rs/stores'
import { proxied } from '../../testing/proxy.mjs'
import { folder, leftOut, urls } from '../../testing/servers.mjs'

const { MemoryStore, RedisStore, SqliteStore } = stores
const PACKAGE = createRequire(import.meta.url).resolve('express-session-rs/stores')
const run = promisify(execFile)

const SESSION = `{ cookie: { originalMaxAge: null, expires: null, httpOnly: true, path: '/' }, views: 1 }`

function visit(views = 1) {
  return new session.Session({ sessionID: 'sid' }, { cookie: new session.Cookie(), views })
}

// Runs a program of JavaScript's, and gives what it printed.
async function program(text, ...args) {
  const script = `'use strict'; const stores = require(${JSON.stringify(PACKAGE)});\n${text}`
  const { stdout } = await run(process.execPath, ['--eval', script, ...args], { timeout: 60_000 })
  return stdout
}

for (const [name, open] of [
  ['memory', () => new MemoryStore()],
  ['sqlite', () => new SqliteStore({ dir: folder() })]
]) {
  describe(name, () => {
    test('a callback is called once, later, and a promise is given without', async () => {
      const store = open()
      const called = []
      const calls = ['get', 'set', 'touch', 'destroy', 'all', 'ids', 'length', 'clear', 'prune', 'close']
      for (const method of calls) {
        const args = { set: ['sid', visit()], touch: ['sid', visit()], get: ['sid'], destroy: ['sid'] }[method] ?? []
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

    test('a callback runs in the context of its call', async () => {
      const store = open()
      const storage = new AsyncLocalStorage()
      const seen = await storage.run('mine', () =>
        new Promise((resolve) => store.get('sid', () => resolve(storage.getStore())))
      )
      assert.equal(seen, 'mine')
    })

    test('what cannot be stored is the error of the call', async () => {
      const store = open()
      const looped = visit()
      looped.looped = looped
      await assert.rejects(store.set('sid', looped), TypeError)
      await assert.rejects(store.set('', visit()), { code: 'ERR_STORE_UNSUITABLE' })
      assert.equal(await store.get('sid'), null)
    })
  })
}

test('what a callback throws is no error of the store, and calls nobody twice', async () => {
  for (const store of ['new stores.MemoryStore()', `new stores.SqliteStore({ db: ':memory:' })`]) {
    const printed = await program(`
      let calls = 0
      process.on('uncaughtException', (error) => console.log(error.message, calls))
      ${store}.get('sid', () => { calls += 1; throw new Error('mine') })
    `)
    assert.equal(printed, 'mine 1\n')
  }
})

test('a panic on another thread is an error', async () => {
  const require = createRequire(import.meta.url)
  const { panicLater } = require('../../lib/native.js')
  const { asked } = require('../../lib/stores/remote.js')
  await assert.rejects(asked((number, mailbox) => panicLater(mailbox, number)), /gives no answer/)
  // And no more than that.
  const store = new SqliteStore({ db: ':memory:' })
  assert.equal(await store.length(), 0)
})

test('a store that is closed says so', async () => {
  const store = new SqliteStore({ dir: folder() })
  await store.set('sid', visit())
  await store.close()
  await store.close()
  await assert.rejects(store.get('sid'), { code: 'ERR_STORE_CLOSED', message: 'the session store is closed' })
})

test('a record that is no session is an error that does not show it, and can be written over', async () => {
  const dir = folder()
  const store = new stores.FileStore({ path: dir })
  const { writeFileSync } = await import('node:fs')
  writeFileSync(path.join(dir, 'sid.json'), '{"hunter2')
  await assert.rejects(store.get('sid'), (error) => {
    assert.equal(error.code, 'ERR_STORE_CORRUPT')
    return !`${error.stack} ${error.cause}`.includes('hunter2')
  })
  await store.set('sid', visit(2))
  assert.equal((await store.get('sid')).views, 2)
})

test('a call that nobody waits for fails in silence', async () => {
  const printed = await program(`
    const store = new stores.RedisStore({ url: 'redis://127.0.0.1:1', timeout: 500 })
    store.set('sid', ${SESSION})
    process.on('exit', (code) => console.log(code))
  `)
  assert.equal(printed, '0\n')
})

test('a process waits for its calls, and for nothing else', async () => {
  const dir = folder()
  const printed = await program(`
    const store = new stores.SqliteStore({ dir: process.argv[1] })
    for (let number = 0; number < 100; number++) store.set('sid-' + number, ${SESSION})
    process.on('exit', () => console.log('ended'))
  `, dir)
  assert.equal(printed, 'ended\n')
  const store = new SqliteStore({ dir })
  assert.equal(await store.length(), 100)
  await store.close()
})

test('a process may end in the middle of its calls', async () => {
  const dir = folder()
  for (let round = 0; round < 5; round++) {
    const printed = await program(`
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

test('stores that nobody holds any more go', async () => {
  const printed = await program(`
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
  // Says what it found, or works until it is ended.
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

  test('each has stores of its own, or shares a file', async () => {
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

  // A call that used the object after it was freed with its thread would end this process.
  test('a process in which nobody else has one outlives them', async () => {
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
    const { stdout } = await run(process.execPath, ['--eval', script], { timeout: 60_000 })
    assert.equal(stdout, '0 7\n')
  })

  test('some may be ended in the middle of their calls, and the stores of others go on', async () => {
    const options = { dir: folder() }
    const store = new SqliteStore(options)
    for (let round = 0; round < 10; round++) {
      const ended = Array.from({ length: 3 }, async () => {
        const worker = work('SqliteStore', options, true)
        await once(worker, 'message')
        await worker.terminate()
      })
      await Promise.all(ended)
      await store.set('mine', visit(round))
      assert.equal((await store.get('mine')).views, round)
    }
    await store.close()
  })
})

describe('a server that is away', { skip: leftOut(urls.redis, 'the server of redis') }, () => {
  test('is an error with a code, and no longer when it is back', async (t) => {
    const proxy = await proxied(urls.redis)
    t.after(() => proxy.shut())
    const store = new RedisStore({ url: proxy.url, prefix: 'away:' })
    await store.set('secret-id', visit())
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

  test('is told as an event, and so is that it is back, to who wants to know', async (t) => {
    const proxy = await proxied(urls.redis)
    t.after(() => proxy.shut())
    const store = new RedisStore({ url: proxy.url, prefix: 'events:', probeInterval: 10 })
    const events = []
    for (const event of ['connect', 'disconnect']) store.on(event, () => events.push(event))
    await store.set('sid', visit())
    await proxy.shut()
    for (let calls = 0; calls < 3; calls++) await assert.rejects(store.get('sid'))
    assert.deepEqual(events, ['disconnect'])
    const back = once(store, 'connect')
    await proxy.open()
    // Nothing but the store's own clock asks; and that one keeps no process alive.
    const alive = setInterval(() => {}, 1000)
    await back
    clearInterval(alive)
    assert.deepEqual(events, ['disconnect', 'connect'])
    assert.equal((await store.get('sid')).views, 1)
    await store.close()
  })
})
