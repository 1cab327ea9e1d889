// Memory after many requests. LEAK_REQUESTS=1000000 makes a long run.

import assert from 'node:assert/strict'
import test from 'node:test'

import { run } from '../testing/program.mjs'

const REQUESTS = Number(process.env.LEAK_REQUESTS ?? 20_000)

const PLAIN = `
  const store = new session.MemoryStore()
  // A store of one session, which keeps nothing.
  store.get = (_id, fn) => setImmediate(fn, null, { cookie: { originalMaxAge: 60000, expires: null }, views: 1 })
  store.set = store.touch = store.destroy = (...args) => setImmediate(args.at(-1))
  const use = session({ ...options({ store, saveUninitialized: true }), genid: undefined })
  const visit = (req, res, i) => {
    req.session.views = i
    res.end('ok')
  }`

// Every second request is never answered: its client has gone.
const INTEGRITY = `
  const store = new MemoryStore({ max: 100 })
  await store.set('id', { cookie: new session.Cookie(), views: 1 })
  const use = session({ ...options({ store, integrity: true }), genid: undefined })
  const visit = (req, res, i, done) => {
    req.session.update('views', (views) => views + 1)
    if (i % 2) res.end('ok')
    else done()
  }`

const code = (setUp) => `
  import session from 'express-session-rs'
  import { MemoryStore } from 'express-session-rs/stores'
  import { cookieOf, options } from './testing/sides.mjs'
  import { exchange } from './testing/wire.mjs'

  ${setUp}
  const requests = [{}, { headers: { cookie: cookieOf(session, 'id') } }, { headers: { cookie: 'connect.sid=s:a.b' } }]

  async function play(count) {
    for (let i = 0; i < count; i++) {
      const { req, res } = exchange(requests[i % requests.length])
      await new Promise((resolve) => {
        res.on('finish', resolve)
        use(req, res, () => visit(req, res, i, resolve))
      })
    }
    gc()
    const { heapUsed, external, rss } = process.memoryUsage()
    return { heap: heapUsed + external, rss }
  }

  await play(10_000)
  const before = await play(10_000)
  const after = await play(${REQUESTS})
  console.log(JSON.stringify({ heap: after.heap - before.heap, rss: after.rss - before.rss }))`

for (const [name, setUp] of [['', PLAIN], [' with integrity', INTEGRITY]]) {
  test(`${REQUESTS} requests${name} leak no memory`, (t) => leak(t, setUp))
}

function leak(t, setUp) {
  const flags = ['--expose-gc', '--input-type=module']
  const { stdout, stderr, status } = run(code(setUp), { flags, timeout: undefined })
  assert.equal(status, 0, stderr)
  const { heap, rss } = JSON.parse(stdout)
  t.diagnostic(`${heap} bytes of JavaScript, ${rss} bytes in total`)
  // One leaked number for each request would be more than this.
  assert.ok(heap < 500_000, `${heap} bytes of JavaScript`)
  // Allocators keep some freed memory. In a long run, a leaked string for each request would be more than this.
  assert.ok(rss < 30_000_000 + 30 * REQUESTS, `${rss} bytes in total`)
}
