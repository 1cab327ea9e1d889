// The boundary to Rust: worker threads, the exit of a process, panics and invalid arguments.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import test from 'node:test'
import { Worker } from 'node:worker_threads'

import { run } from '../testing/program.mjs'

const require = createRequire(import.meta.url)
const native = require('../lib/native.js')

const WIRE = new URL('../testing/wire.mjs', import.meta.url)

const VISIT = `
  const session = require('express-session-rs')
  const wire = import(${JSON.stringify(WIRE)})
  const use = session({ secret: 'keyboard cat', resave: false, saveUninitialized: true, warnings: false })
  async function visit(then) {
    const { req, res } = (await wire).exchange()
    use(req, res, () => {
      req.session.views = 1
      res.on('finish', () => then(res.getHeader('set-cookie')))
      res.end('ok')
    })
  }`

test('worker threads have sessions one after the other and concurrently', async () => {
  const code = `${VISIT}
    visit(([cookie]) => require('node:worker_threads').parentPort.postMessage(cookie))`
  const runWorker = () => new Promise((resolve, reject) => {
    const worker = new Worker(code, { eval: true })
    let cookie
    worker.on('message', (message) => {
      cookie = message
    })
    worker.on('error', reject)
    worker.on('exit', () => resolve(cookie))
  })
  const cookies = [
    await runWorker(),
    ...(await Promise.all([runWorker(), runWorker(), runWorker()])),
    await runWorker()
  ]
  assert.equal(new Set(cookies).size, 5)
  for (const cookie of cookies) assert.match(cookie, /^connect\.sid=s%3A/)
})

test('a worker can be terminated during requests', async () => {
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

test('a process can exit during a request', () => {
  const { status, signal, stderr } = run(`${VISIT} visit(() => {}); visit(() => process.exit(7)); visit(() => {})`)
  assert.deepEqual([status, signal, stderr], [7, null, ''])
})

test('a panic is thrown as an error, and the addon keeps working', () => {
  assert.throws(() => native.panic('on purpose'), /on purpose/)
  assert.match(native.newId(), /^[A-Za-z0-9_-]{32}$/)
})

test('invalid arguments are errors', () => {
  const { Signer } = native
  assert.throws(() => new Signer().read('x'))
  assert.throws(() => new Signer('name', 'secret', 8))
  assert.throws(() => new Signer('name', [], 8), /^Error: secret option: /)
  const signer = new Signer('name', [Buffer.from('k')], 8)
  for (const method of ['read', 'verify', 'setCookie']) {
    assert.throws(() => signer[method](Symbol('x')), method)
    assert.throws(() => signer[method].call({}, 'x', 0), method)
  }
  assert.throws(() => native.rules())
  assert.throws(() => native.rules({}))
})
