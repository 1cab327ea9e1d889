// Departure `saveBeforeResponse`: a response that waits for its save is closed, as one that was sent.

import assert from 'node:assert/strict'
import http from 'node:http'
import net from 'node:net'
import test from 'node:test'
import express from 'express4'

import session from 'express-session-rs'
import { RECORD, cookieOf, options } from '../testing/sides.mjs'
import { answer, exchange, turn } from '../testing/wire.mjs'

const COOKIE = cookieOf(session, 'id0')
const returning = { headers: { cookie: COOKIE } }
const departures = ['saveBeforeResponse', 'reportStoreErrors']

// A store whose `set` is answered by the test.
function heldStore() {
  const store = new session.MemoryStore()
  store.sessions.id0 = RECORD
  store.waiting = []
  store.set = (_id, _session, fn) => store.waiting.push(fn)
  return store
}

// Plays a request up to its end, and then an act while the save is pending. Returns what was sent. Other runtimes than Node
// have no text of the headers, which is `undefined` then.
async function play(act, { error, isOther = false } = {}) {
  const store = heldStore()
  const { req, res, wire } = exchange(returning)
  if (isOther) res._header = undefined
  const use = session(options({ store, departures, rolling: true }))
  const errors = []
  await new Promise((resolve) => use(req, res, (error) => {
    if (error) {
      errors.push(error.message)
      res.statusCode = 503
      res.removeHeader('Location')
      res.setHeader('Content-Length', 3)
      res.end('out')
      return
    }
    req.session.views = 2
    res.statusCode = 302
    res.setHeader('Location', '/next')
    res.setHeader('Content-Length', 5)
    res.end('moved')
    resolve()
  }))
  const acted = await act(res, req)
  assert.equal(wire.text, '')
  store.waiting.shift()(error)
  await turn()
  return { acted, errors, text: wire.text, res }
}

const MOVED = /^HTTP\/1\.1 302 Found\r\nLocation: \/next\r\nContent-Length: 5\r\nSet-Cookie: [^]*\r\n\r\nmoved$/

const SENT = { code: 'ERR_HTTP_HEADERS_SENT' }

test('its headers are sent, and refused, as Node refuses them', async () => {
  // Node's own messages.
  const { res: sent } = exchange()
  sent.flushHeaders()
  for (const [isOther, name, ...args] of [
    ['setHeader', 'X-A', '1'], ['appendHeader', 'X-A', '1'], ['removeHeader', 'Location'], ['writeHead', 200],
    ['setHeaders', new Map([['X-A', '1']])]
  ].filter(([name]) => sent[name]).flatMap((call) => [[false, ...call], [true, ...call]])) {
    const { text } = await play((res) => {
      assert.equal(res.headersSent, true)
      const messages = [sent, res].map((one) => {
        try {
          one[name](...args)
        } catch (error) {
          assert.equal(error.code, SENT.code)
          return error.message
        }
        return 'nothing thrown'
      })
      assert.equal(messages[1], messages[0])
      assert.notEqual(messages[1], 'nothing thrown')
    }, { isOther })
    assert.match(text, MOVED)
  }
})

test('a status, a flush, a second end and a write have no effect', async () => {
  const written = []
  for (const act of [
    (res) => { Object.assign(res, { statusCode: 200, statusMessage: 'Fine' }) },
    (res) => res.flushHeaders(),
    (res) => assert.equal(res.end('another body'), false),
    (res) => assert.equal(res.write('more', (error) => written.push(error.code)), false),
    (res) => { res.write('more', 'utf8') }
  ]) {
    for (const isOther of [false, true]) assert.match((await play(act, { isOther })).text, MOVED)
  }
  assert.deepEqual(written, Array(2).fill('ERR_STREAM_WRITE_AFTER_END'))
})

test('it is open for the error handler after the save has failed', async () => {
  const { res: open } = exchange()
  for (const isOther of [false, true]) {
    const { errors, text, res } = await play(() => {}, { error: new Error('out'), isOther })
    assert.deepEqual(errors, ['out'])
    assert.match(text, /^HTTP\/1\.1 503 [^]*\r\nContent-Length: 3\r\n[^]*\r\n\r\nout$/)
    assert(!text.includes('Location'))
    for (const name of ['setHeader', 'removeHeader', 'flushHeaders', 'write']) assert.equal(res[name], open[name])
  }
})

test('a wrapper that another middleware has set is there again', async () => {
  const store = heldStore()
  const { req, res, wire } = exchange(returning)
  const { setHeader } = res
  const own = (res.setHeader = function (...args) { return setHeader.apply(this, args) })
  await new Promise((resolve) => session(options({ store, departures }))(req, res, resolve))
  req.session.views = 2
  res.end('ok')
  assert.throws(() => res.setHeader('X-A', '1'), SENT)
  store.waiting.shift()()
  assert.equal(res.setHeader, own)
  await turn()
  assert.match(wire.text, /ok/)
})

test('a handler that answers twice sends its first answer, and a keep-alive client keeps its place', async (t) => {
  const app = express()
  const store = new session.MemoryStore()
  app.use(session(options({ store, departures })))
  const second = []
  app.get('/twice', (req, res) => {
    req.session.views = 1
    res.redirect('/next')
    for (const again of [() => res.send('a longer body than the first'), () => res.json({}), () => res.redirect('/x')]) {
      assert.throws(again, SENT)
      second.push(res.headersSent)
    }
  })
  app.get('/next', (_req, res) => res.send('next page'))
  const server = http.createServer(app).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await new Promise((resolve) => server.on('listening', resolve))
  const text = await new Promise((resolve, reject) => {
    const socket = net.connect(server.address().port, '127.0.0.1')
    let text = ''
    socket.setEncoding('latin1').on('data', (more) => (text += more)).on('end', () => resolve(text)).on('error', reject)
    socket.write('GET /twice HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  })
  assert.match(text, /^HTTP\/1\.1 302 Found[^]*Found. Redirecting to \/nextHTTP\/1\.1 200 OK[^]*next page$/)
  assert.deepEqual(second, [true, true, true])
})

test('a page about a failed save that the application writes itself is sent', async () => {
  for (const save of [
    (req, fn) => req.session.save(fn),
    (req, fn) => req.session.save().then(() => fn(), fn),
    (req, fn) => req.session.regenerate(fn),
    (req, fn) => req.session.regenerate().then(() => fn(), fn)
  ]) {
    const store = new session.MemoryStore()
    store.sessions.id0 = RECORD
    const out = (...args) => setImmediate(args.at(-1), new Error('out'))
    Object.assign(store, { set: out, touch: out, destroy: out })
    const got = await answer(session(options({ store, departures })), returning, (req, res) => {
      req.session.views = 2
      save(req, (error) => {
        res.statusCode = error ? 503 : 200
        res.end('our own page')
      })
    })
    assert.deepEqual([got.status[0], got.body.includes('our own page'), got.cookies, got.late], [503, true, [], []])
  }
})

test('a failure at the end after a save that has succeeded is reported', async () => {
  const store = new session.MemoryStore()
  store.sessions.id0 = RECORD
  const { set } = store
  const fail = (_id, _session, fn) => setImmediate(fn, new Error('out'))
  const { req, res, wire } = exchange(returning)
  await new Promise((resolve) => session(options({ store, departures }))(req, res, (error) => {
    if (error) {
      res.end(error.message)
      resolve()
      return
    }
    void (async () => {
      store.set = fail
      await assert.rejects(req.session.save(), /out/)
      store.set = set
      await req.session.save()
      store.set = fail
      req.session.views = 3
      res.end('ok')
    })()
  }))
  await turn()
  assert.match(wire.text, /\r\n\r\n3\r\nout\r\n|out$/)
})
