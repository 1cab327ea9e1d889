// The Node side: an Express application on a port of loopback, with express-session, or with our npm package, its native
// stores and `integrity`.
//
// `node main.mjs '{"store":"redis","url":"…","secret":"…","wait":20,"isOurs":true}'` prints its port and ends with its
// standard input. The routes are those of `src/routes.rs`.

import path from 'node:path'
import { fileURLToPath } from 'node:url'

import express from 'express'
import expressSession from 'express-session'

const { store: kind, url, secret, wait, isOurs } = JSON.parse(process.argv[2])

const session = isOurs ? (await import('../../crates/node/lib/index.js')).default : expressSession
const native = isOurs ? (await import('../../crates/node/lib/stores.js')).default : undefined

const ours = {
  memory: () => new native.MemoryStore(),
  redis: () => new native.RedisStore({ url }),
  'redis-cluster': () => new native.RedisStore({ url }),
  valkey: () => new native.RedisStore({ url }),
  postgres: () => new native.PostgresStore({ url, createTableIfMissing: true }),
  mysql: () => new native.MySqlStore({ url }),
  sqlite() {
    const file = fileURLToPath(url.replace('sqlite:', 'file:'))
    return new native.SqliteStore({ dir: path.dirname(file), db: path.basename(file) })
  },
  file: () => new native.FileStore({ path: fileURLToPath(url) }),
  memcached: () => new native.MemcachedStore({ url })
}

const theirs = {
  memory: () => new session.MemoryStore(),
  async redis() {
    const { createClient } = await import('redis')
    const { RedisStore } = await import('connect-redis')
    return new RedisStore({ client: await createClient({ url }).connect() })
  },
  async postgres() {
    const { default: pg } = await import('pg')
    const { default: connect } = await import('connect-pg-simple')
    const pool = new pg.Pool({ connectionString: url })
    const store = new (connect(session))({ pool, createTableIfMissing: true })
    // The first call creates the table.
    await new Promise((resolve, reject) => {
      store.get('no session', (error) => (error ? reject(error) : resolve()))
    })
    return store
  }
}

// It warns that the memory store is for development.
console.warn = () => {}

const gates = new Map()

function gate(name) {
  if (!gates.has(name)) {
    const made = { arrived: 0, waiting: [] }
    made.opened = new Promise((resolve) => { made.open = resolve })
    gates.set(name, made)
  }
  return gates.get(name)
}

function arrive(name) {
  const at = gate(name)
  at.arrived += 1
  at.waiting = at.waiting.filter(({ count, resolve }) => at.arrived < count || resolve())
}

const sleep = () => new Promise((resolve) => setTimeout(resolve, wait))

const app = express()

app.get('/gate/:name/arrived/:count', async (req, res) => {
  const at = gate(req.params.name)
  const count = Number(req.params.count)
  if (at.arrived < count) await new Promise((resolve) => at.waiting.push({ count, resolve }))
  res.end()
})
app.get('/gate/:name/open', (req, res) => {
  gate(req.params.name).open()
  res.end()
})

const store = await (isOurs ? ours : theirs)[kind]()
const integrity = isOurs ? { integrity: true } : {}
app.use(session({ store, secret, resave: false, saveUninitialized: false, ...integrity }))

app.get('/start', (req, res) => {
  req.session.base = 1
  res.end()
})
app.get('/member/:key', async (req, res) => {
  await sleep()
  req.session[req.params.key] = 1
  res.end()
})
app.get('/count', async (req, res) => {
  const before = req.session.n ?? 0
  await sleep()
  if (isOurs) req.session.update('n', (n = 0) => n + 1)
  else req.session.n = before + 1
  res.end()
})
app.get('/lock', async (req, res) => {
  await sleep()
  const lock = await req.session.lock()
  req.session.n = (req.session.n ?? 0) + 1
  await lock.unlock()
  res.end()
})
app.get('/slow/:gate/:key', async (req, res) => {
  arrive(req.params.gate)
  await Promise.all([sleep(), gate(req.params.gate).opened])
  req.session[req.params.key] = 1
  res.end()
})
app.get('/logout', (req, res, next) => {
  req.session.destroy((error) => (error ? next(error) : res.end()))
})
app.get('/regenerate', (req, res, next) => {
  req.session.regenerate((error) => {
    if (error) return next(error)
    req.session.fresh = 1
    res.end()
  })
})
app.get('/read/:keys', (req, res) => {
  const found = req.params.keys.split(',').filter((key) => req.session[key] !== undefined)
  res.end(JSON.stringify(Object.fromEntries(found.map((key) => [key, req.session[key]]))))
})

app.use((error, req, res, next) => {
  res.status(error.code === 'ERR_STORE_UNSUPPORTED' ? 501 : 500).end(String(error.code ?? error.stack))
})

const server = app.listen(0, '127.0.0.1')
// The client decides when a connection ends.
server.keepAliveTimeout = 0
await new Promise((resolve, reject) => server.on('listening', resolve).on('error', reject))
process.stdout.write(`${server.address().port}\n`)

process.stdin.on('end', () => process.exit()).resume()
