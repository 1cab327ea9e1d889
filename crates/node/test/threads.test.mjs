// The boundary to Rust: threads, the end of a process, and what goes wrong.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'

const require = createRequire(import.meta.url)
const native = require('../lib/native.js')

const VISIT = `
  const { IncomingMessage, ServerResponse } = require('node:http')
  const { Writable } = require('node:stream')
  const session = require('express-session-rs')
  const use = session({ secret: 'keyboard cat', resave: false, saveUninitialized: true })
  function visit(then) {
    const socket = new Writable({ write: (chunk, encoding, done) => done() })
    const req = new IncomingMessage(socket)
    Object.assign(req, { headers: {}, url: '/', httpVersionMajor: 1, httpVersionMinor: 1 })
    const res = new ServerResponse(req)
    res.assignSocket(socket)
    use(req, res, () => {
      req.session.views = 1
      res.on('finish', () => then(res.getHeader('set-cookie')))
      res.end('ok')
    })
  }`

test('threads each have it, one after the other and at once', async () => {
  const code = `${VISIT}
    visit(([cookie]) => require('node:worker_threads').parentPort.postMessage(cookie))`
  const run = () => new Promise((resolve, reject) => {
    const worker = new Worker(code, { eval: true })
    let cookie
    worker.on('message', (message) => {
      cookie = message
    })
    worker.on('error', reject)
    worker.on('exit', () => resolve(cookie))
  })
  const cookies = [await run(), ...(await Promise.all([run(), run(), run()])), await run()]
  assert.equal(new Set(cookies).size, 5)
  for (const cookie of cookies) assert.match(cookie, /^connect\.sid=s%3A/)
})

test('a thread is ended in the middle of requests', async () => {
  const worker = new Worker(`${VISIT}
    const { parentPort } = require('node:worker_threads')
    let count = 0
    const again = () => {
      if (++count === 10) parentPort.postMessage('running')
      visit(again)
    }
    again()`, { eval: true })
  await new Promise((resolve) => worker.once('message', resolve))
  assert.equal(await worker.terminate(), 1)
})

test('a process ends in the middle of a request', () => {
  const { status, signal, stderr } = spawnSync(
    process.execPath,
    ['-e', `${VISIT} visit(() => {}); visit(() => process.exit(7)); visit(() => {})`],
    { cwd: fileURLToPath(new URL('..', import.meta.url)), encoding: 'utf8' }
  )
  assert.deepEqual([status, signal, stderr], [7, null, ''])
})

test('a panic is an error', () => {
  assert.throws(() => native.panic('on purpose'), /on purpose/)
  // And no more than that.
  assert.match(native.newId(), /^[A-Za-z0-9_-]{32}$/)
})

test('wrong arguments are errors', () => {
  const { Signer } = native
  assert.throws(() => new Signer().read('x'))
  assert.throws(() => new Signer('name', 'secret', 8))
  assert.throws(() => new Signer('name', [], 8))
  const signer = new Signer('name', [Buffer.from('k')], 8)
  for (const method of ['read', 'verify', 'setCookie', 'expireCookie']) {
    assert.throws(() => signer[method](Symbol('x')), method)
    assert.throws(() => signer[method].call({}, 'x', 0), method)
  }
  assert.throws(() => native.rules())
  assert.throws(() => native.rules({}))
})
