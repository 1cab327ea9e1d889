// The package within test runners: Jest and Vitest give each file of tests a realm of its own, in which an error of Node or
// of the addon is no `Error`, and tests replace the timers.

import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'

import { PACKAGE } from '../testing/commands.mjs'
import { openRealm } from '../testing/realm.mjs'
import { folder } from '../testing/servers.mjs'
import { options } from '../testing/sides.mjs'
import { exchange } from '../testing/wire.mjs'

const LIB = path.join(PACKAGE, 'lib')

// Nothing listens there.
const NOWHERE = { url: 'redis://127.0.0.1:1', timeout: 1000 }

test('a store of another realm reports what has failed', async () => {
  const { load } = openRealm()
  const { FileStore, RedisStore } = load('lib/stores.js')
  const session = load('lib/index.js')
  const record = { cookie: new session.Cookie(), views: 1 }
  const redis = new RedisStore(NOWHERE)
  const calls = {
    get: () => redis.get('a'),
    set: () => redis.set('a', record),
    touch: () => redis.touch('a', record),
    destroy: () => redis.destroy('a'),
    length: () => redis.length(),
    file: () => new FileStore({ path: '/dev/null/none' }).set('a', record)
  }
  for (const [name, call] of Object.entries(calls)) {
    const [error] = await Promise.allSettled([call()])
    assert.equal(error.status, 'rejected', name)
    assert.match(error.reason.code, /^ERR_STORE_/, name)
  }
})

test('a session of another realm that cannot be saved says so', async () => {
  const { load } = openRealm()
  const { RedisStore } = load('lib/stores.js')
  const use = load('lib/index.js')(options({ store: new RedisStore(NOWHERE), integrity: true }))
  const { req, res } = exchange()
  await new Promise((resolve) => use(req, res, resolve))
  req.session.views = 1
  await assert.rejects(req.session.save(), { code: 'ERR_STORE_UNAVAILABLE' })
})

const TIMERS = ['clearTimeout', 'setImmediate', 'setInterval', 'setTimeout']

test('sessions need no timer that a test has replaced', async () => {
  const { globals, load } = openRealm()
  const session = load('lib/index.js')
  const { MemoryStore, SqliteStore } = load('lib/stores.js')
  // As `jest.useFakeTimers()`: nothing is called until the test moves its clock.
  for (const name of TIMERS) globals[name] = () => ({ unref() {} })
  globals.process.nextTick = () => {}
  const sqlite = new SqliteStore({ dir: folder() })
  const departures = ['saveBeforeResponse', 'reportStoreErrors']
  for (const [name, more] of Object.entries({
    'session.MemoryStore': {},
    'session.MemoryStore, with departures': { departures },
    'MemoryStore': { store: new MemoryStore() },
    'MemoryStore, integrity': { store: new MemoryStore(), integrity: true },
    'SqliteStore': { store: sqlite },
    'SqliteStore, integrity': { store: sqlite, integrity: true, genid: () => 'tracked' }
  })) {
    const use = session(options(more))
    const views = await within(visitTwice(use), name)
    assert.equal(views, 2, name)
  }
})

// Visits twice, with a save, a reload and a regeneration. Returns the views that the second visit has counted.
async function visitTwice(use) {
  let cookie
  let views
  for (let visit = 0; visit < 2; visit += 1) {
    const { req, res, wire } = exchange(cookie && { headers: { cookie } })
    await new Promise((resolve) => use(req, res, resolve))
    views = req.session.views = (req.session.views ?? 0) + 1
    await req.session.save()
    await req.session.reload()
    await new Promise((resolve) => {
      res.on('finish', resolve)
      res.end('ok')
    })
    cookie ??= wire.cookies[0].split(';')[0]
    if (visit === 1) await req.session.destroy()
  }
  return views
}

async function within(promise, name) {
  let timer
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${name} hangs`)), 10_000)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

const sources = readdirSync(LIB, { recursive: true })
  .filter((file) => file.endsWith('.js'))
  .map((file) => [file, readFileSync(path.join(LIB, file), 'utf8').replace(/\/\/.*$/gm, '')])

test('every timer of the package comes from lib/timers.js', () => {
  const USE = /(?<![\w.])(?:set|clear)(?:Immediate|Interval|Timeout)\b|\bqueueMicrotask\b|\bnextTick\b/g
  for (const [file, source] of sources) {
    if (file === 'timers.js') continue
    assert(!/node:timers|process\.nextTick|globalThis/.test(source), file)
    const imported = /const \{ ([^}]*) \} = require\('\.\.?\/timers'\)/.exec(source)?.[1].split(', ') ?? []
    const used = [...new Set(source.match(USE))]
    assert.deepEqual(used.filter((name) => !imported.includes(name)), [], `lib/${file}`)
  }
})

test('no module asks whether a value of another realm is of a class of its own realm', () => {
  const CLASSES = /instanceof (?:Error|TypeError|Promise|Map|Set|RegExp|Array|Object|Function|Uint8Array|Buffer|URL|Date)\b/g
  const found = sources.flatMap(([file, source]) => (source.match(CLASSES) ?? []).map((use) => `${file}: ${use}`))
  // `cookie.js` is as express-session, and `base.js` also takes what it does not recognize.
  assert.deepEqual(found.sort(), [
    'cookie.js: instanceof Date', 'cookie.js: instanceof Date', 'stores/base.js: instanceof Date'
  ])
})
