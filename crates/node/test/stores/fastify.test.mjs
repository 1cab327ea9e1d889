// The native stores as the store of @fastify/session: they return what it has saved, and its sessions expire.

import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'

import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import fastify from 'fastify'

import { missingServer } from '../../testing/servers.mjs'
import { allStores } from '../../testing/stores.mjs'

const SECRET = 'a secret of at least 32 characters'
const COOKIE = { secure: false, path: '/', sameSite: 'lax', domain: 'localhost', httpOnly: true }

for (const [name, open, server] of allStores('fastify')) {
  describe(name, { skip: missingServer(server) }, () => {
    const opened = []
    after(() => Promise.all([...new Set(opened)].map((store) => store.close())))
    const openOne = () => {
      const store = open()
      opened.push(store)
      return store
    }

    for (const [what, cookie] of [['without an expiry', COOKIE], ['with a maxAge', { ...COOKIE, maxAge: 60_000 }]]) {
      test(`a session ${what} is the same in another process`, async (t) => {
        const visit = application(t, openOne(), { cookie })
        const written = await visit('/write')
        const read = await application(t, openOne(), { cookie, rolling: false })('/', written.cookie)
        assert.deepEqual(read.body.data, { list: [1, { two: null }], text: 'grüße', views: 1 })
        const { expires, originalExpires, ...attributes } = read.body.cookie
        const { expires: expected, ...same } = written.body.cookie
        assert.deepEqual(attributes, same)
        assert.deepEqual(originalExpires ?? null, expected)
        // The plugin starts the time again when it loads a session.
        assert.equal(expires === null, expected === null)
      })
    }

    test('a request without a change moves the expiry, after which the session is new', async (t) => {
      t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
      const store = openOne()
      const visit = application(t, store, { cookie: { ...COOKIE, maxAge: 60_000 } })
      const { cookie, body: { id } } = await visit('/write')
      const first = Date.parse((await store.get(id)).cookie.expires)
      t.mock.timers.tick(40_000)
      assert.equal((await visit('/', cookie)).body.id, id)
      assert.equal(Date.parse((await store.get(id)).cookie.expires), first + 40_000)
      t.mock.timers.tick(40_000)
      assert.equal((await visit('/', cookie)).body.id, id)
      t.mock.timers.tick(61_000)
      assert.notEqual((await visit('/', cookie)).body.id, id)
    })

    test('a regenerated and a destroyed session are gone', async (t) => {
      const store = openOne()
      const visit = application(t, store, { cookie: COOKIE })
      const written = await visit('/write')
      const renewed = await visit('/regenerate', written.cookie)
      assert.notEqual(renewed.body.id, written.body.id)
      assert.equal(await store.get(written.body.id), null)
      assert.deepEqual((await visit('/', renewed.cookie)).body.data, { views: 1 })
      await visit('/destroy', renewed.cookie)
      assert.equal(await store.get(renewed.body.id), null)
    })
  })
}

test('an error of the store is the answer of the request', async (t) => {
  const [[, open]] = allStores('fastify')
  const store = open()
  store.get = (_id, fn) => fn(Object.assign(new Error('down'), { statusCode: 503 }))
  const visit = application(t, store, { cookie: COOKIE })
  const { cookie } = await visit('/write')
  assert.equal((await visit('/', cookie)).status, 503)
})

// Returns a function that visits a page with a cookie.
function application(t, store, options) {
  const app = fastify()
  app.register(fastifyCookie)
  app.register(fastifySession, { secret: SECRET, saveUninitialized: false, store, ...options })
  const show = ({ session }) => {
    const { cookie, ...data } = session
    return { id: session.sessionId, cookie, data }
  }
  app.get('/', async (request) => show(request))
  app.get('/write', async (request) => {
    Object.assign(request.session, { list: [1, { two: null }], text: 'grüße', views: 1 })
    return show(request)
  })
  app.get('/regenerate', async (request) => {
    await request.session.regenerate(['views'])
    return show(request)
  })
  app.get('/destroy', async (request) => {
    await request.session.destroy()
    return {}
  })
  t.after(() => app.close())
  return async (url, cookie) => {
    const response = await app.inject({ url, cookies: cookie ? { sessionId: cookie } : {} })
    const sent = response.cookies.find((one) => one.name === 'sessionId')?.value
    return { status: response.statusCode, cookie: sent ?? cookie, body: response.json() }
  }
}
