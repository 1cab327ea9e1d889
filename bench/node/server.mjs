// The view counter on Express, on a port of loopback.
//
// `node server.mjs '{"sessions":"redis","url":"…","secret":"…"}'` prints its port, and ends with its standard
// input. The measurement is of its work with sessions: everything else that an application can switch off is off.

import express from 'express'
import session from 'express-session'

const { sessions, url, secret } = JSON.parse(process.argv[2])

// It warns that the memory store is for development.
console.warn = () => {}

const app = express()
app.disable('x-powered-by')
app.disable('etag')

if (sessions === 'none') {
  let views = 0
  app.get('/', (req, res) => answer(res, ++views))
} else {
  app.use(session({ store: await open(), secret, resave: false, saveUninitialized: false }))
  app.get('/', (req, res) => {
    req.session.views = (req.session.views ?? 0) + 1
    answer(res, req.session.views)
  })
}

const server = app.listen(0, '127.0.0.1')
// The client decides when a connection ends.
server.keepAliveTimeout = 0
await new Promise((resolve, reject) => server.on('listening', resolve).on('error', reject))
process.stdout.write(`${server.address().port}\n`)

process.stdin.on('end', () => process.exit()).resume()

async function open() {
  if (sessions === 'memory') return new session.MemoryStore()
  const { createClient } = await import('redis')
  const { RedisStore } = await import('connect-redis')
  return new RedisStore({ client: await createClient({ url }).connect() })
}

function answer(res, views) {
  res.setHeader('Content-Type', 'text/html; charset=utf-8')
  res.end(`<p>Number of views: ${views}</p>`)
}
