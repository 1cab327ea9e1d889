// The classic application, as users of express-session write it, on a port of loopback.
//
// `node classic.mjs '{"session":"express-session-rs","store":"native Redis","url":"…"}'` prints its port, and ends
// with its standard input.

import express from 'express'

const { session: name, store, url } = JSON.parse(process.argv[2])

// It warns that the memory store is for development.
console.warn = () => {}

const { default: session } = await import(
  name === 'express-session-rs' ? '../../crates/node/lib/index.mjs' : name
)

const stores = {
  'MemoryStore': () => new session.MemoryStore(),
  'native MemoryStore': async () => new (await native()).MemoryStore(),
  'native RedisStore': async () => new (await native()).RedisStore({ url, prefix: `${name} on native:` }),
  async 'connect-redis'() {
    const { createClient } = await import('redis')
    const { RedisStore } = await import('connect-redis')
    const client = await createClient({ url }).connect()
    return new RedisStore({ client, prefix: `${name} on connect-redis:` })
  }
}

const app = express()
app.use(session({
  secret: 'keyboard cat',
  resave: false,
  saveUninitialized: true,
  cookie: { secure: false },
  store: await stores[store]()
}))
app.get('/', (req, res) => {
  req.session.views = (req.session.views ?? 0) + 1
  res.send(`<p>Number of views: ${req.session.views}</p>`)
})

const server = app.listen(0, '127.0.0.1')
// The client decides when a connection ends.
server.keepAliveTimeout = 0
await new Promise((resolve, reject) => server.on('listening', resolve).on('error', reject))
process.stdout.write(`${server.address().port}\n`)

process.stdin.on('end', () => process.exit()).resume()

function native() {
  return import('../../crates/node/lib/stores.js')
}
