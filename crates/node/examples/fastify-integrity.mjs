// Fastify with the sessions of this package: `node examples/fastify-integrity.mjs`. Overlapping requests of a visitor
// lose no visit.

import { setTimeout } from 'node:timers/promises'

import fastify from 'fastify'
import session from 'express-session-rs'
import { MemoryStore } from 'express-session-rs/stores'

const use = session({
  secret: process.env.SECRET ?? 'only for this example',
  resave: false,
  saveUninitialized: false,
  store: new MemoryStore(), // or RedisStore, PostgresStore, …
  integrity: true
})

const app = fastify({ logger: { level: 'error', stream: process.stderr } })
app.decorateRequest('session', {
  getter() {
    return this.raw.session
  }
})
app.addHook('onRequest', (request, reply, done) => {
  // Fastify writes the headers before the session is saved, so that a save that fails then can only be logged.
  use(request.raw, reply.raw, (error) => (reply.sent ? request.log.error(error) : done(error)))
})

app.post('/login', async (request) => {
  await request.session.regenerate()
  request.session.user = 'ada'
  return {}
})
app.post('/logout', async (request) => {
  await request.session.destroy()
  return {}
})
app.get('/', async ({ session }) => {
  const views = session.update('views', (views = 0) => views + 1)
  await setTimeout(20) // Other requests run meanwhile.
  return { user: session.user, views }
})

console.log(await app.listen({ port: process.env.PORT ?? 3000 }))
