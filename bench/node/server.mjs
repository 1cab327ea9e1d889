// The view counter on Express, on a port of loopback.
//
// `node server.mjs classic|bare LIBRARY STORE URL` prints its port, and ends with its standard input. The classic
// application is as users of express-session write it. In the bare one, everything that an application can switch off
// is off, because only the work with sessions is measured; with the store `none`, it has no sessions.

import express from 'express'

const [application, library, store, url] = process.argv.slice(2)
const isClassic = application === 'classic'

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

const server = app.listen(0, '127.0.0.1')
// The client decides when a connection ends.
server.keepAliveTimeout = 0
await new Promise((resolve, reject) => server.on('listening', resolve).on('error', reject))
process.stdout.write(`${server.address().port}\n`)

process.stdin.on('end', () => process.exit()).resume()

async function sessions() {
  const { default: session } = await import(
    library === 'express-session-rs' ? '../../crates/node/lib/index.mjs' : library
  )
  const native = () => import('../../crates/node/lib/stores.js')
  const stores = {
    'MemoryStore': () => new session.MemoryStore(),
    'native MemoryStore': async () => new (await native()).MemoryStore(),
    'native RedisStore': async () => new (await native()).RedisStore({ url, prefix: `${library} on native:` }),
    async 'connect-redis'() {
      const { createClient } = await import('redis')
      const { RedisStore } = await import('connect-redis')
      const client = await createClient({ url }).connect()
      return new RedisStore({ client, prefix: isClassic ? `${library} on connect-redis:` : 'sess:' })
    }
  }
  return session({
    secret: 'keyboard cat',
    resave: false,
    saveUninitialized: isClassic,
    cookie: { secure: false },
    // Of express-session-rs, as in production.
    warnings: false,
    store: await stores[store]()
  })
}
