// HTTP/2, where express-session fails with `res._implicitHeader is not a function`: every kind of response arrives
// whole, with its cookie, and the session is saved.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import { describe, test } from 'node:test'

import session from 'express-session-rs'
import { MemoryStore } from 'express-session-rs/stores'
import { original } from '../testing/sides.mjs'

const OPTIONS = { secret: 'keyboard cat', resave: false, saveUninitialized: false }

const MODES = {
  "with express-session's store": () => ({ store: new session.MemoryStore() }),
  'with a native store': () => ({ store: new MemoryStore() }),
  'with integrity': () => ({ store: new MemoryStore(), integrity: true })
}

// Each way to end a response, and what arrives.
const RESPONSES = {
  'in one piece': [(res) => res.end('hello'), 'hello'],
  'in one piece of a known length': [(res) => {
    res.setHeader('Content-Length', 5)
    res.end('hello')
  }, 'hello'],
  'with a head of its own': [(res) => res.writeHead(201, { 'Content-Length': 5 }).end('hello'), 'hello', 201],
  'in chunks': [(res) => {
    res.write('hel')
    res.write('lo')
    res.end()
  }, 'hello'],
  'in chunks, with a last one': [(res) => {
    res.write('hel')
    res.end(Buffer.from('lo'))
  }, 'hello'],
  'after its headers': [(res) => {
    res.flushHeaders()
    setImmediate(() => res.end('hello'))
  }, 'hello'],
  'as a redirect': [(res) => res.writeHead(302, { location: '/next' }).end(), '', 302],
  'without content': [(res) => {
    res.statusCode = 204
    res.end()
  }, '', 204],
  'without a body': [(res) => res.end(''), '']
}

for (const [mode, more] of Object.entries(MODES)) {
  describe(mode, () => {
    for (const method of ['GET', 'HEAD']) {
      for (const [name, [respond, body, status = 200]] of Object.entries(RESPONSES)) {
        test(`${method}: a response ${name} has its cookie, and the session is saved`, async (t) => {
          const store = more()
          const fetch = await serve(t, session({ ...OPTIONS, ...store }), (req, res) => {
            req.session.views = (req.session.views ?? 0) + 1
            respond(res)
          })
          const first = await fetch({ ':method': method })
          assert.deepEqual([first[':status'], first.body], [status, method === 'HEAD' ? '' : body])
          const [cookie] = first['set-cookie']
          const again = await fetch({ ':method': method, cookie: cookie.split(';')[0] })
          assert.deepEqual([again[':status'], again.body, again['set-cookie']], [status, first.body, undefined])
          const [{ views }] = Object.values(await new Promise((resolve, reject) => {
            store.store.all((error, all) => (error ? reject(error) : resolve(all)))
          }))
          assert.equal(views, 2)
        })
      }
    }

    test('a login and a logout work over one connection, and responses overlap', async (t) => {
      const store = more()
      const fetch = await serve(t, session({ ...OPTIONS, ...store }), async (req, res) => {
        switch (req.url) {
          case '/login':
            await req.session.regenerate()
            req.session.user = 'ada'
            await req.session.save()
            return res.writeHead(302, { location: '/' }).end()
          case '/logout':
            await req.session.destroy()
            return res.writeHead(302, { location: '/' }).end()
          default:
            return res.end(`hello, ${req.session.user ?? 'guest'}`)
        }
      })
      const login = await fetch({ ':path': '/login' })
      assert.deepEqual([login[':status'], login.location], [302, '/'])
      const headers = { cookie: login['set-cookie'][0].split(';')[0] }
      const pages = await Promise.all(Array.from({ length: 10 }, () => fetch(headers)))
      assert.deepEqual(new Set(pages.map(({ body }) => body)), new Set(['hello, ada']))
      await fetch({ ':path': '/logout', ...headers })
      assert.equal((await fetch(headers)).body, 'hello, guest')
    })
  })
}

test('express-session itself fails', async (t) => {
  const fetch = await serve(t, original({ ...OPTIONS, store: new MemoryStore() }), (req, res) => {
    req.session.views = 1
    assert.throws(() => res.end('hello'), /res\._implicitHeader is not a function/)
    req.stream.close()
  })
  await assert.rejects(fetch())
})

test('integrity: overlapping requests of one connection lose nothing', async (t) => {
  const store = new MemoryStore()
  const fetch = await serve(t, session({ ...OPTIONS, store, integrity: true }), async (req, res) => {
    req.session.update('views', (views = 0) => views + 1)
    await new Promise((resolve) => setImmediate(resolve))
    res.end(String(req.session.views))
  })
  const first = await fetch()
  const headers = { cookie: first['set-cookie'][0].split(';')[0] }
  await Promise.all(Array.from({ length: 20 }, () => fetch(headers)))
  assert.equal((await fetch(headers)).body, '22')
})

test('integrity: the error handler answers a request with a failed save, and Node warns of nothing', async (t) => {
  const warnings = []
  const warn = (warning) => warnings.push(warning.message)
  process.on('warning', warn)
  t.after(() => process.off('warning', warn))
  const store = new MemoryStore({ maxRecordBytes: 300 })
  const fetch = await serve(t, session({ ...OPTIONS, store, integrity: true }), (req, res) => {
    req.session.text = 'x'.repeat(1000)
    res.setHeader('Content-Length', 2)
    res.end('ok')
  })
  const answer = await fetch()
  assert.deepEqual([answer[':status'], answer.body], [500, 'ERR_STORE_UNSUITABLE'])
  assert.deepEqual(warnings, [])
})

test('integrity: a request whose stream was reset does not keep the lock', async (t) => {
  const store = new MemoryStore()
  let locked
  const isLocked = new Promise((resolve) => (locked = resolve))
  const fetch = await serve(t, session({ ...OPTIONS, store, integrity: true }), async (req, res) => {
    if (req.url === '/reset') {
      const closed = once(req.stream, 'close')
      req.stream.close(http2.constants.NGHTTP2_CANCEL)
      await closed
      await req.session.lock()
      return locked()
    }
    req.session.views = 1
    await req.session.lock({ wait: 100 })
    return res.end('locked')
  })
  const first = await fetch()
  const headers = { cookie: first['set-cookie'][0].split(';')[0] }
  await fetch({ ':path': '/reset', ...headers }).catch(() => {})
  await isLocked
  assert.equal((await fetch(headers)).body, 'locked')
})

// Serves with HTTP/2 until the test ends, and returns a function that fetches over one connection.
async function serve(t, use, handle) {
  const server = http2.createServer((req, res) => {
    use(req, res, async (error) => {
      if (!error) return handle(req, res)
      res.statusCode = 500
      res.removeHeader('Content-Length')
      res.end(error.code ?? error.message)
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const client = http2.connect(`http://127.0.0.1:${server.address().port}`)
  t.after(() => new Promise((resolve) => {
    client.destroy()
    server.close(resolve)
  }))
  return (headers = {}) => new Promise((resolve, reject) => {
    const stream = client.request({ ':path': '/', ...headers }, { endStream: true })
    let answer
    let body = ''
    stream.on('response', (response) => (answer = response))
    stream.setEncoding('utf8').on('data', (chunk) => (body += chunk))
    stream.on('error', reject)
    stream.on('close', () => (answer ? resolve({ ...answer, body }) : reject(new Error('no response'))))
  })
}
