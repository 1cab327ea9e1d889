// Requests leave nothing behind. LEAK_REQUESTS=1000000 makes a long run of it.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import test from 'node:test'
import { fileURLToPath } from 'node:url'

const REQUESTS = Number(process.env.LEAK_REQUESTS ?? 20_000)

const CODE = `
  import session from 'express-session-rs'
  import { cookieOf, options } from './testing/sides.mjs'
  import { exchange } from './testing/wire.mjs'

  const store = new session.MemoryStore()
  // A store of one session, that keeps nothing.
  store.get = (_id, fn) => setImmediate(fn, null, { cookie: { originalMaxAge: 60000, expires: null }, views: 1 })
  store.set = store.touch = store.destroy = (...args) => setImmediate(args.at(-1))
  const use = session({ ...options({ store, saveUninitialized: true }), genid: undefined })
  const requests = [{}, { headers: { cookie: cookieOf(session, 'id') } }, { headers: { cookie: 'connect.sid=s:a.b' } }]

  async function play(count) {
    for (let i = 0; i < count; i++) {
      const { req, res } = exchange(requests[i % requests.length])
      await new Promise((resolve) => {
        res.on('finish', resolve)
        use(req, res, () => {
          req.session.views = i
          res.end('ok')
        })
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

test(`${REQUESTS} requests leave nothing behind`, (t) => {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--expose-gc', '--input-type=module', '-e', CODE],
    { cwd: fileURLToPath(new URL('..', import.meta.url)), encoding: 'utf8' }
  )
  assert.equal(status, 0, stderr)
  const { heap, rss } = JSON.parse(stdout)
  t.diagnostic(`${heap} bytes of JavaScript, ${rss} bytes in all`)
  // A request that left a number behind would have left more than this.
  assert.ok(heap < 500_000, `${heap} bytes of JavaScript`)
  // What the allocators keep is no leak; a text for each request would be more in a long run.
  assert.ok(rss < 30_000_000 + 30 * REQUESTS, `${rss} bytes in all`)
})
