// The classic application, for requests.mjs.

import { createRequire } from 'node:module'
import express from 'express5'

import { urls } from '../testing/servers.mjs'

const [middleware, kind] = process.argv.slice(2)
const { default: session } = await import(middleware)
const native = await import('express-session-rs/stores')
// The npm stores are those of the interop task.
const npm = createRequire(new URL('../../../interop/node/package.json', import.meta.url))

const stores = {
  classic: () => new session.MemoryStore(),
  memory: () => new native.MemoryStore(),
  redis: () => new native.RedisStore({ url: urls.redis, prefix: 'native:' }),
  async 'connect-redis'() {
    const { createClient } = npm('redis')
    const { RedisStore } = npm('connect-redis')
    return new RedisStore({ client: await createClient({ url: urls.redis }).connect(), prefix: 'npm:' })
  },
  postgres: () => new native.PostgresStore({ url: urls.postgres, tableName: 'native', createTableIfMissing: true }),
  'connect-pg-simple': () => {
    const Store = npm('connect-pg-simple')(session)
    return new Store({ conString: urls.postgres, tableName: 'npm', createTableIfMissing: true })
  }
}

try {
  const store = await stores[kind]()
  const app = express()
  app.use(session({ secret: 'keyboard cat', resave: false, saveUninitialized: true, cookie: { secure: false }, store }))
  app.get('/', (req, res) => {
    req.session.views = (req.session.views ?? 0) + 1
    res.send(`<p>Number of views: ${req.session.views}</p>`)
  })
  const server = app.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
} catch (error) {
  process.send({ error: String(error) })
}

process.on('message', () => {
  const { user, system } = process.cpuUsage()
  process.send({ cpu: user + system })
})
process.on('disconnect', () => process.exit())
