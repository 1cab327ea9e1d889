// A plain server with sessions: `node examples/plain-http.mjs`. Overlapping requests of a visitor lose no visit.

import http from 'node:http'
import { setTimeout } from 'node:timers/promises'

import session from 'express-session-rs'
import { MemoryStore } from 'express-session-rs/stores'

const use = session({
  secret: process.env.SECRET ?? 'only for this example',
  resave: false,
  saveUninitialized: false,
  store: new MemoryStore(), // or RedisStore, PostgresStore, …
  integrity: true
})

const routes = {
  async 'POST /login'(req) {
    await req.session.regenerate()
    req.session.user = 'ada'
  },
  async 'POST /logout'(req) {
    await req.session.destroy()
  },
  async 'GET /'(req) {
    const views = req.session.update('views', (views = 0) => views + 1)
    await setTimeout(20) // Other requests run meanwhile.
    return { user: req.session.user, views }
  }
}

const server = http.createServer((req, res) => {
  use(req, res, async (error) => {
    try {
      if (error) throw error
      const answer = await routes[`${req.method} ${req.url}`]?.(req)
      res.setHeader('Content-Type', 'application/json')
      res.end(JSON.stringify(answer ?? {}))
    } catch (error) {
      console.error(error)
      res.statusCode = 500
      res.end()
    }
  })
})
server.listen(process.env.PORT ?? 3000, () => console.log(`http://localhost:${server.address().port}`))
