// The view counter on Express, on a port of loopback.
//
// `node server.mjs classic|bare LIBRARY STORE URL` prints its port, and ends with its standard input. The classic
// application is as users of express-session write it. In the bare one, everything that an application can switch off
// is off, because only the work with sessions is measured; with the store `none`, it has no sessions. The library
// `integrity` is ours with that option. `/delay` answers with the delay of the event loop since it was last asked.

import { createServer } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'

import express from 'express'

const [application, library, store, url] = process.argv.slice(2)
const isClassic = application === 'classic'
const isOurs = library === 'express-session-rs' || library === 'integrity'

// express-session warns that the memory store is for development.
console.warn = () => {}

const app = express()
if (!isClassic) app.disable('x-powered-by').disable('etag')
if (store !== 'none') app.use(await sessions())

const shared = { views: 0 }
app.get('/', (req, res) => {
  const counter = req.session ?? shared
  counter.views = (counter.views ?? 0) + 1
  const page = `<p>Number of views: ${counter.views}</p>`
  if (isClassic) return res.send(page)
  res.setHeader('Content-Type', 'text/html; charset=utf-8')
  res.end(page)
})

const delay = monitorEventLoopDelay({ resolution: 1 })
const server = createServer((req, res) => (req.url === '/delay' ? answerDelay(res) : app(req, res)))
server.listen(0, '127.0.0.1')
// The client decides when a connection ends.
server.keepAliveTimeout = 0
await new Promise((resolve, reject) => server.on('listening', resolve).on('error', reject))
process.stdout.write(`${server.address().port}\n`)

process.stdin.on('end', () => process.exit()).resume()

// In microseconds. The histogram runs from the first question on: its timer costs processor time.
function answerDelay(res) {
  delay.enable()
  res.end(JSON.stringify({ p50: delay.percentile(50) / 1000, p99: delay.percentile(99) / 1000 }))
  delay.reset()
}

async function sessions() {
  const { default: session } = await import(isOurs ? '../../crates/node/lib/index.mjs' : library)
  const native = () => import('../../crates/node/lib/stores.js')
  // The servers of one database have tables of their own.
  const tableName = library.replaceAll('-', '_')
  const stores = {
    'MemoryStore': () => new session.MemoryStore(),
    'native MemoryStore': async () => new (await native()).MemoryStore(),
    'native RedisStore': async () => new (await native()).RedisStore({ url, prefix: `${library} on native:` }),
    async 'native PostgresStore'() {
      return new (await native()).PostgresStore({ url, tableName: `${tableName}_native`, createTableIfMissing: true })
    },
    async 'connect-redis'() {
      const { createClient } = await import('redis')
      const { RedisStore } = await import('connect-redis')
      const client = await createClient({ url }).connect()
      return new RedisStore({ client, prefix: isClassic ? `${library} on connect-redis:` : 'sess:' })
    },
    async 'connect-pg-simple'() {
      const { default: connectPgSimple } = await import('connect-pg-simple')
      const PgStore = connectPgSimple(session)
      return new PgStore({ conString: url, tableName, createTableIfMissing: true })
    }
  }
  return session({
    secret: 'keyboard cat',
    resave: false,
    saveUninitialized: isClassic,
    cookie: { secure: false },
    store: await stores[store](),
    // Of express-session-rs: the warnings as in production.
    ...(isOurs && { warnings: false, integrity: library === 'integrity' })
  })
}
