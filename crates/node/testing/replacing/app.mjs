// An application whose package manager installs this package as `express-session`. Prints what it has found.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createRequire } from 'node:module'

import { RedisStore } from 'connect-redis'
import MongoStore from 'connect-mongo'
import express from 'express'
import session, { Cookie, MemoryStore, Session, Store } from 'express-session'
import { MemoryStore as NativeMemoryStore } from 'express-session/stores'
import * as wrapped from './wrapper.cjs'

const require = createRequire(import.meta.url)

// The package's own name says whose express-session it is.
const { name } = require('express-session/package.json')

// The names and the deep imports are the same objects.
assert.equal(require('express-session'), session)
assert.deepEqual([wrapped.Cookie, wrapped.MemoryStore, wrapped.Session, wrapped.Store], [Cookie, MemoryStore, Session, Store])
for (const end of ['', '.js']) {
  assert.equal(require(`express-session/index${end}`), session)
  assert.equal(require(`express-session/session/cookie${end}`), Cookie)
  assert.equal(require(`express-session/session/memory${end}`), MemoryStore)
  assert.equal(require(`express-session/session/session${end}`), Session)
  assert.equal(require(`express-session/session/store${end}`), Store)
  assert.equal((await import(`express-session/session/memory${end}`)).default, MemoryStore)
  assert.equal((await import(`express-session/index${end}`)).Store, Store)
}

// The stores of npm get the same `Store`, each in its own way.
const records = new Map()
const client = {
  get: async (key) => records.get(key) ?? null,
  set: async (key, text) => void records.set(key, text),
  expire: async () => {},
  del: async (keys) => keys.forEach((key) => records.delete(key))
}
const stores = {
  'connect-redis': new RedisStore({ client }),
  'memorystore': new (require('memorystore')(session))({}),
  'session-file-store': new (require('session-file-store')(session))({ path: './sessions', logFn() {} }),
  'native': new NativeMemoryStore()
}
for (const store of Object.values(stores)) assert(store instanceof Store)
assert(MongoStore.prototype instanceof Store)

async function visit(store) {
  const app = express()
  app.use(session({ secret: 'keyboard cat', resave: false, saveUninitialized: false, store }))
  app.get('/login', async (req, res) => {
    await req.session.regenerate()
    req.session.user = 'ada'
    await req.session.save()
    res.send(req.sessionID)
  })
  app.get('/', async (req, res) => {
    req.session.visits = (req.session.visits ?? 0) + 1
    await req.session.save()
    await req.session.reload()
    res.json([req.session.user, req.session.visits])
  })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  let cookie = ''
  const open = async (path) => {
    const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers: { cookie } })
    cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? cookie
    return response.text()
  }
  await open('/')
  const before = cookie
  await open('/login')
  assert.notEqual(cookie, before)
  await open('/')
  const seen = await open('/')
  server.close()
  server.closeAllConnections()
  return seen
}

const pages = {}
for (const [name, store] of Object.entries(stores)) pages[name] = await visit(store)
console.log(JSON.stringify({ name, pages }))
process.exit()
