// connect-flash and csurf, which keep their data in the session, with `integrity` and a login.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'

import express from 'express5'
import session from 'express-session-rs'
import { MemoryStore } from 'express-session-rs/stores'
import { missingNpmStores } from '../testing/servers.mjs'
import { options } from '../testing/sides.mjs'

const skip = missingNpmStores()
const MINUTE = 60_000

// A visitor of an application with both.
async function open(t) {
  const require = createRequire(new URL('../../../interop/node/main.mjs', import.meta.url))
  const [flash, csurf] = [require('connect-flash'), require('csurf')]
  const app = express()
  app.set('env', 'test')
  const store = new MemoryStore()
  app.use(session({ ...options({ store, integrity: true, idleTimeout: 30 * MINUTE }), genid: undefined }))
  app.use(flash(), csurf())
  app.get('/token', (req, res) => res.send(req.csrfToken()))
  app.post('/pay', (req, res) => res.send('paid'))
  app.post('/login', async (req, res) => {
    req.flash('info', 'welcome')
    await req.session.login('bob', { keep: ['flash'] })
    res.send('hello')
  })
  app.get('/say/:message', async (req, res) => {
    // The form of connect-flash, without a loss between overlapping requests.
    req.session.update('flash', ({ info = [], ...others } = {}) => ({ ...others, info: [...info, req.params.message] }))
    await meeting?.()
    res.send('said')
  })
  app.get('/hear', (req, res) => res.json(req.flash('info')))
  const server = app.listen(0)
  t.after(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  let cookie = ''
  let meeting
  return {
    async visit(method, path, token) {
      const headers = { cookie, connection: 'close', ...(token && { 'csrf-token': token }) }
      const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { method, headers })
      cookie = response.headers.get('set-cookie')?.split(';')[0] ?? cookie
      return [response.status, await response.text()]
    },
    meet(count) {
      let go
      const all = new Promise((resolve) => (go = resolve))
      meeting = () => {
        count -= 1
        if (count === 0) go()
        return all
      }
    }
  }
}

test('a token of csurf is valid in its session alone, and a login makes it void', { skip }, async (t) => {
  const { visit } = await open(t)
  const [, token] = await visit('GET', '/token')
  assert.deepEqual(await visit('POST', '/pay', token), [200, 'paid'])
  assert.equal((await visit('POST', '/pay', `x${token}`))[0], 403)
  assert.deepEqual(await visit('POST', '/login', token), [200, 'hello'])
  assert.equal((await visit('POST', '/pay', token))[0], 403)
  const [, fresh] = await visit('GET', '/token')
  assert.deepEqual(await visit('POST', '/pay', fresh), [200, 'paid'])
})

test('a message of connect-flash outlives the login that keeps it, and is shown once', { skip }, async (t) => {
  const { visit } = await open(t)
  const [, token] = await visit('GET', '/token')
  await visit('POST', '/login', token)
  assert.deepEqual(await visit('GET', '/hear'), [200, '["welcome"]'])
  assert.deepEqual(await visit('GET', '/hear'), [200, '[]'])
})

test('messages of overlapping requests that use update are all shown', { skip }, async (t) => {
  const { visit, meet } = await open(t)
  await visit('GET', '/token')
  meet(3)
  await Promise.all(['a', 'b', 'c'].map((message) => visit('GET', `/say/${message}`)))
  const [, heard] = await visit('GET', '/hear')
  assert.deepEqual(JSON.parse(heard).sort(), ['a', 'b', 'c'])
})
