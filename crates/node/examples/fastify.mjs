// Fastify with a native store in @fastify/session: `node examples/fastify.mjs`.

import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import fastify from 'fastify'

import { MemoryStore } from 'express-session-rs/stores'

const app = fastify()
app.register(fastifyCookie)
app.register(fastifySession, {
  secret: process.env.SECRET ?? 'only for this example, and 32 long',
  cookie: { secure: 'auto' },
  saveUninitialized: false,
  store: new MemoryStore() // or RedisStore, PostgresStore, …
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
  session.views = (session.views ?? 0) + 1
  return { user: session.user, views: session.views }
})

console.log(await app.listen({ port: process.env.PORT ?? 3000 }))
