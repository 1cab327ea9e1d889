// A store with many writers of one session: one of our npm package, or the npm store beside it.
//
// `node contention.mjs STORE ours|npm URL FOLDER` opens the store, serves an application with its sessions, and prints
// the port. Each line of its standard input is a measurement, `writes` or `loads`, which it answers with the time in
// milliseconds and the number of failures, as JSON. visitor.mjs makes the requests.

import path from 'node:path'
import express from 'express'
import original from 'express-session'
import ours from '../../crates/node/lib/index.mjs'
import native from '../../crates/node/lib/stores.js'
import { done, stores as npm } from '../../interop/node/stores.mjs'
import { answer, inTurn, measure } from './measure.mjs'

const WRITES = 1000
const LOADS = 20

// [the store's name in interop, its options, our store]. Options that both have are the defaults, but for names.
const STORES = {
  memory: ['memory', {}, () => new native.MemoryStore()],
  redis: ['redis', {}, (url) => new native.RedisStore({ url })],
  postgres: ['postgres', { createTableIfMissing: true }, (url) =>
    new native.PostgresStore({ url, createTableIfMissing: true })],
  mysql: ['mysql', {}, (url) => new native.MySqlStore({ url })],
  sqlite: ['connect-sqlite3', {}, (file) =>
    new native.SqliteStore({ dir: path.dirname(file), db: path.basename(file) })],
  // The tests of interop switch off the wait for a missing file. Here it has the default of session-file-store.
  file: ['file', { retries: 5 }, (path) => new native.FileStore({ path })],
  memcached: ['memcached', { prefix: 'npm:' }, (url) => new native.MemcachedStore({ url, prefix: 'ours:' })]
}
npm.memory = { prepare() {}, open: () => ({ store: new original.MemoryStore() }) }

// express-session warns that the memory store is for development.
console.warn = () => {}

const [name, side, server, folder] = process.argv.slice(2)
const [kind, options, openOurs] = STORES[name]
// A database of its own for each side.
const place = { url: server, folder, place: side === 'ours' ? 1 : 2, options }
const url = await npm[kind].prepare(place)
const session = side === 'ours' ? ours : original
const store = side === 'ours' ? openOurs(url) : (await npm[kind].open({ ...place, url, session })).store

const others = Array.from({ length: LOADS }, (_, number) => `other${number}`)
await Promise.all(others.map((id) => set(id, 0)))

const app = express()
// A failed request is counted and not printed.
app.set('env', 'test')
app.use(session({ store, secret: 'keyboard cat', resave: false, saveUninitialized: false, cookie: { maxAge: 3_600_000 } }))
app.get('/', (req, res) => {
  req.session.views = (req.session.views ?? 0) + 1
  res.send(String(req.session.views))
})
app.get('/login', (req, res) => {
  req.session.user = 'bob'
  res.redirect('/user')
})
app.get('/user', (req, res) => res.send(req.session.user ?? 'a stranger'))
const listener = app.listen(0, '127.0.0.1')
// The client decides when a connection ends.
listener.keepAliveTimeout = 0
await new Promise((resolve, reject) => listener.on('listening', resolve).on('error', reject))
process.stdout.write(`${listener.address().port}\n`)

await answer({
  writes: () => measure(writes),
  // The first load begins together with the writes. The end of the writes is not part of the time.
  async loads() {
    const busy = writes()
    const measured = await measure(() => inTurn(others, load))
    await busy
    return measured
  }
})

function writes() {
  return Promise.allSettled(Array.from({ length: WRITES }, (_, views) => set('busy', views)))
}

function set(id, views) {
  return done((callback) => store.set(id, { cookie: new session.Cookie({ maxAge: 3_600_000 }), views }, callback))
}

async function load(id) {
  const found = await done((callback) => store.get(id, callback))
  if (!found) throw new Error(`${id} is missing`)
}
