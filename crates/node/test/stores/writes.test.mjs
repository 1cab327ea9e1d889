// Concurrent writes of one session: all succeed, the newest one is stored, and a read sees the writes before it.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { createRequire } from 'node:module'
import { describe, test } from 'node:test'

import session from 'express-session-rs'
import { FileStore } from 'express-session-rs/stores'
import { folder, missingServer } from '../../testing/servers.mjs'
import { sessionOf } from '../../testing/sides.mjs'
import { allStores } from '../../testing/stores.mjs'

const { Writes } = createRequire(import.meta.url)('../../lib/stores/writes.js')

for (const [name, open, server] of allStores('busy', { probeInterval: 10 })) {
  describe(name, { skip: missingServer(server) }, () => {
    test('a thousand concurrent writes of one session succeed, and the newest one is stored', async () => {
      const store = open()
      store.on('disconnect', () => assert.fail('a busy session is no outage'))
      await Promise.all(Array.from({ length: 1000 }, (_, views) => store.set('sid', sessionOf(null, views))))
      assert.equal((await store.get('sid')).views, 999)
      await store.close()
    })

    test('the calls of one session take effect in their order', async () => {
      const store = open()
      store.set('sid', sessionOf(null, 1))
      store.set('sid', sessionOf(null, 2))
      assert.equal((await store.get('sid')).views, 2)
      store.set('sid', sessionOf(null, 3))
      store.destroy('sid')
      assert.equal(await store.get('sid'), null)
      store.destroy('sid')
      store.set('sid', sessionOf(null, 4))
      store.touch('sid', sessionOf(60_000, 4))
      assert((await store.ids()).includes('sid'))
      assert.equal((await store.get('sid')).views, 4)
      await store.destroy('sid')
      await store.close()
    })

    for (const departures of [[], ['saveBeforeResponse']]) {
      for (const keepAlive of [true, false]) {
        const how = `${departures.join() || 'no departures'}, ${keepAlive ? 'one connection' : 'two connections'}`
        test(`a login is there for the page after its response: ${how}`, async (t) => {
          const store = open()
          const visit = await serve(t, session({ ...OPTIONS, store, departures }), keepAlive)
          for (const path of Object.keys(ANSWERS)) {
            const { cookie } = await visit(path)
            assert.equal((await visit('/user', cookie)).body, 'bob', path)
          }
          await store.close()
        })
      }
    }
  })
}

const OPTIONS = { secret: 'keyboard cat', resave: false, saveUninitialized: false }

// The ways to answer a login. A client follows a redirect as soon as it has the headers.
const ANSWERS = {
  '/writeHead': (res) => res.writeHead(302, { Location: '/user' }).end('moved'),
  '/end': (res) => {
    Object.assign(res, { statusCode: 302 }).setHeader('Location', '/user')
    res.end()
  },
  '/length': (res) => {
    res.setHeader('Content-Length', 5)
    res.end('moved')
  }
}

// Starts a server, and returns a function that requests a page and resolves with the headers of the response.
async function serve(t, middleware, keepAlive) {
  const server = http.createServer((req, res) => middleware(req, res, (error) => {
    if (error) return res.writeHead(500).end(String(error.code))
    if (req.url === '/user') return res.end(req.session.user ?? 'nobody')
    req.session.user = 'bob'
    ANSWERS[req.url](res)
  }))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const agent = new http.Agent({ keepAlive })
  t.after(() => {
    agent.destroy()
    server.closeAllConnections()
    server.close()
  })
  return async (path, cookie) => {
    const request = http.get({ port: server.address().port, path, agent, headers: cookie ? { cookie } : {} })
    const [response] = await once(request, 'response')
    const sent = response.headers['set-cookie']?.[0].split(';')[0]
    // The login's body is not waited for.
    if (path !== '/user') return response.resume(), { cookie: sent }
    const parts = await response.setEncoding('utf8').toArray()
    return { body: parts.join('') }
  }
}

test('a newer write replaces those that wait, unless it is refused', async () => {
  const writes = new Writes()
  const made = []
  const make = (name, error) => async () => {
    made.push(name)
    if (error) throw error
    return name
  }
  const answers = await Promise.allSettled([
    writes.replace('sid', make('first')),
    writes.replace('sid', make('second')),
    writes.replace('sid', make('third')),
    writes.adjust('sid', make('touch')),
    writes.replace('sid', make('too large', new Error('refused')))
  ])
  assert.deepEqual(answers.map(({ value, reason }) => value ?? reason.message), [
    'first', 'third', 'third', 'touch', 'refused'
  ])
  assert.deepEqual(made, ['first', 'too large', 'third', 'touch'])
})
