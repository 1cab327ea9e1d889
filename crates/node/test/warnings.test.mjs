// The warnings of the classic mistakes: each is reported once for the wrong code, and not for the right one.

import assert from 'node:assert/strict'
import http from 'node:http'
import { createRequire } from 'node:module'
import test, { after, before, describe } from 'node:test'

import cookieParser from 'cookie-parser'
import session from 'express-session-rs'
import { MemoryStore } from 'express-session-rs/stores'

import { Browser, serve } from '../testing/browser.mjs'
import { openChromium, withoutChromium } from '../testing/chromium.mjs'
import { run } from '../testing/program.mjs'
import { cookieOf, thrown } from '../testing/sides.mjs'
import { warningsOf } from '../testing/warnings.mjs'
import { answer } from '../testing/wire.mjs'

const require = createRequire(import.meta.url)

const SECRET = 'c0VbQ3n8xqT2mZr7LwYk5JfH'
const OPTIONS = { secret: SECRET, resave: false, saveUninitialized: false, warnings: true }

const count = (req, res) => {
  req.session.views = (req.session.views ?? 0) + 1
  res.end(`${req.session.views}`)
}

// Plays requests to a middleware with these options, each twice, and returns the warnings.
function played(options, requests = [{}], handler = count) {
  return warningsOf(async () => {
    const middleware = session({ ...OPTIONS, ...options })
    for (const request of [...requests, ...requests]) await answer(middleware, request, handler)
  })
}

// Checks that a warning is the only one, and has these parts.
function assertTold(warnings, code, ...parts) {
  assert.deepEqual(warnings.map(([code]) => code), [code])
  for (const part of parts) assert.ok(warnings[0][1].includes(part), `${part} in: ${warnings[0][1]}`)
}

test('the right code has no warnings', async () => {
  assert.deepEqual(await played({}), [])
  assert.deepEqual(await played({ cookie: { secure: true } }, [{ encrypted: true }]), [])
  assert.deepEqual(await played({ store: new MemoryStore() }), [])
  assert.deepEqual(await played({ store: new MemoryStore(), integrity: true }), [])
})

test('a secure cookie over plain HTTP: secure auto, or HTTPS', async () => {
  const wrong = await played({ cookie: { secure: true } })
  assertTold(wrong, 'SECURE_OVER_HTTP', 'was not sent', "session({ cookie: { secure: 'auto' } })", "app.set('trust proxy', 1)")
  assert.deepEqual(await played({ cookie: { secure: 'auto' } }), [])
  const trusted = await played({ cookie: { secure: true }, proxy: true })
  assertTold(trusted, 'SECURE_OVER_HTTP', 'let it send X-Forwarded-Proto: https')
  assert.ok(!trusted[0][1].includes('proxy: true'))
})

test("secure: 'auto' of a cookie function needs a departure", async () => {
  const cookie = () => ({ secure: 'auto' })
  assertTold(await played({ cookie }), 'SECURE_OVER_HTTP', "departures: ['cookieFunctionAuto']")
  assert.deepEqual(await played({ cookie, departures: ['cookieFunctionAuto'] }), [])
})

test('a proxy that is not trusted: the option proxy', async () => {
  const requests = [{ headers: { 'x-forwarded-proto': 'HTTPS, http' } }]
  const cookie = { secure: true }
  const wrong = await played({ cookie }, requests)
  assertTold(wrong, 'UNTRUSTED_PROXY', "app.set('trust proxy', 1) in Express, or session({ proxy: true })")
  const refused = await played({ cookie, proxy: false }, requests)
  assertTold(refused, 'UNTRUSTED_PROXY', 'set session({ proxy: true })')
  assert.ok(!refused[0][1].includes('app.set'))
  assert.deepEqual(await played({ cookie, proxy: true }, requests), [])
})

for (const name of ['express4', 'express5']) {
  test(`${name}: a proxy that is not trusted: app.set('trust proxy', 1)`, async (t) => {
    const visit = (settings) => warningsOf(async () => {
      const app = require(name)()
      for (const [name, value] of settings) app.set(name, value)
      app.use(session({ ...OPTIONS, cookie: { secure: true } }))
      app.get('/', count)
      const browser = new Browser(await serve(t, app), { 'x-forwarded-proto': 'https' })
      await browser.open('/')
      await browser.open('/')
    })
    assertTold(await visit([]), 'UNTRUSTED_PROXY', "app.set('trust proxy', 1)")
    assert.deepEqual(await visit([['trust proxy', 1]]), [])
  })
}

test('a weak secret: the reason, and a random one from the environment', async () => {
  for (const [secret, reason] of [
    ['keyboard cat', 'published in documentation'],
    ['hunter2', 'shorter than 16 bytes'],
    [Buffer.from('passwordpassword'), 'easy to guess'],
    [[SECRET, 'top secret'], 'published in documentation']
  ]) {
    const warnings = await warningsOf(() => session({ ...OPTIONS, secret }))
    assertTold(warnings, 'WEAK_SECRET', reason, 'session({ secret: process.env.SESSION_SECRET })')
    for (const text of [secret].flat()) assert.ok(!warnings[0][1].includes(`${text}`), 'the secret is not named')
  }
  assert.deepEqual(await warningsOf(() => session({ ...OPTIONS, secret: [SECRET, `${SECRET}x`] })), [])
})

test('a weak secret that is there later, or in cookie-parser, is found too', async () => {
  const secret = [SECRET]
  const middleware = session({ ...OPTIONS, secret })
  assert.deepEqual(await warningsOf(() => answer(middleware, {}, count)), [])
  secret.unshift('keyboard cat')
  assertTold(await warningsOf(() => answer(middleware, {}, count)), 'WEAK_SECRET')
  const parse = cookieParser('keyboard cat')
  const bare = session({ ...OPTIONS, secret: undefined })
  const use = (req, res, next) => parse(req, res, () => bare(req, res, next))
  assertTold(await warningsOf(() => answer(use, {}, count)), 'WEAK_SECRET')
})

test('an unusable secret stays an error of the request that needs it', async () => {
  assert.deepEqual(await warningsOf(() => session({ ...OPTIONS, secret: [SECRET, 7] })), [])
})

test('a cookie that browsers drop: the rule, and the attribute', async () => {
  const encrypted = [{ encrypted: true }]
  for (const [name, cookie, requests, ...parts] of [
    ['sid', { sameSite: 'none' }, [{}], 'SameSite=None', "secure: true } }), and serve HTTPS; or", "sameSite: 'lax'"],
    ['sid', { partitioned: true }, [{}], 'Partitioned', 'secure: true'],
    ['__Secure-sid', {}, [{}], '__Secure-', 'secure: true'],
    ['__Host-sid', { secure: true, domain: 'example.com' }, encrypted, '__Host-', 'Leave cookie.domain out'],
    ['__Host-sid', { secure: true, path: '/' + 'a' }, [{ encrypted: true, path: '/a' }], '__Host-', "path: '/'"],
    ['__Http-sid', { secure: true, httpOnly: false }, encrypted, '__Http-', 'httpOnly: true']
  ]) {
    assertTold(await played({ name, cookie }, requests), 'DROPPED_COOKIE', ...parts)
  }
  for (const [name, cookie] of [
    ['sid', { sameSite: 'none', secure: true }],
    ['sid', { sameSite: 'auto', secure: 'auto' }],
    ['__Secure-sid', { secure: true, domain: 'example.com' }],
    ['__Host-sid', { secure: true }]
  ]) {
    assert.deepEqual(await played({ name, cookie }, encrypted), [])
  }
  assert.deepEqual(await played({ cookie: { sameSite: 'auto' } }), [])
})

test('a cookie that a handler changes is checked as it is sent', async () => {
  const warnings = await played({}, [{}, {}], (req, res) => {
    if (req.url === '/') req.session.cookie.sameSite = 'none'
    count(req, res)
  })
  assertTold(warnings, 'DROPPED_COOKIE', 'SameSite=None')
})

test('a middleware after the headers: before what responds', async () => {
  const late = (options) => warningsOf(async () => {
    const middleware = session({ ...OPTIONS, ...options })
    const respond = (req, res, next) => {
      res.write('begun')
      middleware(req, res, next)
    }
    await answer(respond, {}, count)
    await answer(respond, {}, count)
  })
  assertTold(await late({}), 'LATE_MIDDLEWARE', 'gets no cookie', 'Put app.use(session(…)) before')
  assert.deepEqual(await late({ warnings: false }), [])
})

test('a route before the middleware is no mistake that is seen', async (t) => {
  const warnings = await warningsOf(async () => {
    const app = require('express5')()
    app.get('/health', (req, res) => res.send(`${req.session}`))
    app.use(session(OPTIONS))
    app.get('/', count)
    const browser = new Browser(await serve(t, app))
    assert.deepEqual([await browser.open('/health'), await browser.open('/')], ['undefined', '1'])
  })
  assert.deepEqual(warnings, [])
})

test('a new session that is first changed after the headers: before the first output', async () => {
  const wrong = (req, res) => {
    res.write('begun')
    count(req, res)
  }
  for (const departures of [[], ['skipUnreachableSessions'], ['saveBeforeResponse']]) {
    const warnings = await played({ departures }, [{}], wrong)
    assertTold(warnings, 'LATE_SESSION', 'its cookie was not sent', 'Change req.session before res.write(…)')
  }
  const right = (req, res) => {
    req.session.views = 1
    res.write('begun')
    count(req, res)
  }
  assert.deepEqual(await played({}, [{}], right), [])
  const unchanged = (_req, res) => res.write('begun') && res.end()
  for (const departures of [[], ['skipUnreachableSessions']]) {
    assert.deepEqual(await played({ departures }, [{}], unchanged), [])
  }
})

test('a session that exists may be changed after the headers', async () => {
  const store = new session.MemoryStore()
  let id
  await answer(session({ ...OPTIONS, store }), {}, (req, res) => {
    id = req.sessionID
    count(req, res)
  })
  const headers = { cookie: cookieOf(session, id, SECRET) }
  const warnings = await played({ store }, [{ headers }], (req, res) => {
    res.write('begun')
    assert.ok(req.session.views > 0)
    count(req, res)
  })
  assert.deepEqual(warnings, [])
})

test('two middlewares on one request: their names and paths', async () => {
  const first = session({ ...OPTIONS, name: 'shop.sid', cookie: { path: '/' } })
  const second = session({ ...OPTIONS, name: 'admin.sid', cookie: { path: '/admin' } })
  const both = (one, other) => (req, res, next) => one(req, res, () => other(req, res, next))
  const wrong = await warningsOf(async () => {
    for (let i = 0; i < 2; i++) await answer(both(first, second), { path: '/admin' }, count)
  })
  assertTold(
    wrong, 'SECOND_MIDDLEWARE', '"admin.sid" (cookie.path "/admin") did nothing', '"shop.sid" (cookie.path "/") ran before',
    "app.use('/admin', session(…))"
  )
  const one = session(OPTIONS)
  assert.deepEqual(await warningsOf(() => answer(both(one, one), {}, count)), [], 'the same middleware does no harm')
  const own = session({ ...OPTIONS, name: 'own.sid', cookie: () => ({}) })
  const other = (req, _res, next) => {
    req.session = {}
    next()
  }
  const foreign = await warningsOf(() => answer(both(other, own), {}, count))
  assertTold(foreign, 'SECOND_MIDDLEWARE', '"own.sid" (cookie.path by a function)', 'req.session was set before it ran')
})

test('a cookie that never comes back: 20 new sessions of one client', async () => {
  const headers = { 'user-agent': 'Robot of Ada' }
  const twenty = Array(10).fill({ headers })
  const warnings = await played({}, twenty)
  assertTold(warnings, 'LOST_COOKIE', '20 new sessions', "{ credentials: 'include' }", 'cookie.domain or cookie.path', 'plain HTTP')
  assert.ok(!warnings[0][1].includes('Ada'), 'the client is not named')
  assert.deepEqual(await played({}, Array(9).fill({ headers })), [], '18 are not enough')
  const clients = Array.from({ length: 15 }, (_, i) => ({ headers: { 'user-agent': `Robot ${i}` } }))
  assert.deepEqual(await played({}, clients), [], 'many clients')
  assert.deepEqual(await played({}, twenty, (_req, res) => res.end()), [], 'no sessions, no cookies')
})

test('a cookie that comes back, or is refused, is not lost', async () => {
  const store = new session.MemoryStore()
  let id
  await answer(session({ ...OPTIONS, store }), {}, (req, res) => {
    id = req.sessionID
    count(req, res)
  })
  const cookie = cookieOf(session, id, SECRET)
  const mixed = [...Array(10).fill({}), { headers: { cookie } }, ...Array(9).fill({})]
  assert.deepEqual(await played({ store }, mixed.slice(0, 19)), [])
  const refused = Array(10).fill({ headers: { cookie: 'connect.sid=s%3Aid.bad' } })
  assert.deepEqual(await played({}, refused), [])
})

test('the clients that are counted are bounded', async () => {
  const clients = Array.from({ length: 70 }, (_, i) => ({ headers: { 'user-agent': `Robot ${i}` } }))
  // The 70 others come between two visits of each, and the count begins again.
  assert.deepEqual(await played({}, Array(11).fill(clients).flat()), [])
})

describe('in Chromium', { skip: withoutChromium() }, () => {
  let browser

  before(async () => {
    browser = await openChromium()
  })

  after(() => browser?.close())

  // Serves the counter, opens it several times, and returns the warnings, the views and the cookies.
  async function visit(t, options, times = 2) {
    await browser.restore([])
    const views = []
    const warnings = await warningsOf(async () => {
      const use = session({ ...OPTIONS, ...options })
      const url = await serve(t, (req, res) => {
        if (req.url !== '/') return res.writeHead(404).end()
        use(req, res, () => count(req, res))
      })
      for (let i = 0; i < times; i++) views.push(await browser.open(url))
    })
    return { warnings, views, cookies: await browser.cookies() }
  }

  test('a secure cookie over plain HTTP', async (t) => {
    const wrong = await visit(t, { cookie: { secure: true } })
    assert.deepEqual([wrong.views, wrong.cookies], [['1', '1'], []])
    assertTold(wrong.warnings, 'SECURE_OVER_HTTP')
    const right = await visit(t, { cookie: { secure: 'auto' } })
    assert.deepEqual([right.views, right.warnings], [['1', '2'], []])
  })

  test('SameSite=None without Secure', async (t) => {
    const wrong = await visit(t, { cookie: { sameSite: 'none' } })
    assert.deepEqual([wrong.views, wrong.cookies], [['1', '1'], []])
    assertTold(wrong.warnings, 'DROPPED_COOKIE', 'SameSite=None')
    const right = await visit(t, { cookie: { sameSite: 'lax' } })
    assert.deepEqual([right.views, right.warnings], [['1', '2'], []])
  })

  test('a name that begins with __Host-, without Secure', async (t) => {
    const wrong = await visit(t, { name: '__Host-sid' })
    assert.deepEqual([wrong.views, wrong.cookies], [['1', '1'], []])
    assertTold(wrong.warnings, 'DROPPED_COOKIE', '__Host-')
  })

  test('a cookie whose domain is another one never comes back', async (t) => {
    const wrong = await visit(t, { cookie: { domain: 'example.com' } }, 20)
    assert.deepEqual([wrong.views, wrong.cookies], [Array(20).fill('1'), []])
    assertTold(wrong.warnings, 'LOST_COOKIE', 'cookie.domain')
  })

  test('fetch from another origin without credentials', async (t) => {
    const fetched = async (request) => {
      await browser.restore([])
      let views
      const warnings = await warningsOf(async () => {
        const use = session(OPTIONS)
        const page = await serve(t, (_req, res) => res.end('<p>page</p>'))
        const api = await serve(t, http.createServer((req, res) => {
          res.setHeader('Access-Control-Allow-Origin', page)
          res.setHeader('Access-Control-Allow-Credentials', 'true')
          use(req, res, () => count(req, res))
        }))
        await browser.open(page)
        views = await browser.run(`(async () => {
          let views
          for (let i = 0; i < 25; i++) views = await (await fetch('${api}', ${request})).text()
          return views
        })()`)
      })
      return { views, warnings }
    }
    const wrong = await fetched('{}')
    assert.equal(wrong.views, '1')
    assertTold(wrong.warnings, 'LOST_COOKIE', "{ credentials: 'include' }")
    assert.deepEqual(await fetched("{ credentials: 'include' }"), { views: '25', warnings: [] })
  })
})

const WEAK = `require('express-session-rs')({ secret: 'keyboard cat', resave: false, saveUninitialized: false`

test('warnings are on outside of production and tests, and the option decides', () => {
  const stderr = (env, options = '') => {
    const { stdout, stderr, status } = run(`${WEAK}${options} })`, { env: { PATH: process.env.PATH, ...env } })
    assert.deepEqual([stdout, status], ['', 0])
    return stderr
  }
  const TOLD = /\[EXPRESS_SESSION_WEAK_SECRET\] ExpressSessionWarning: a secret is published/
  assert.match(stderr({}), TOLD)
  assert.match(stderr({ NODE_ENV: 'development' }), TOLD)
  assert.equal(stderr({ NODE_ENV: 'test' }), '')
  assert.doesNotMatch(stderr({ NODE_ENV: 'production' }), /ExpressSessionWarning/)
  assert.equal(stderr({}, ', warnings: false'), '')
  assert.match(stderr({ NODE_ENV: 'test' }, ', warnings: true'), TOLD)
  assert.match(stderr({ NODE_ENV: 'production' }, ', warnings: true'), TOLD)
  assert.equal(stderr({ NODE_NO_WARNINGS: '1' }), '')
})

test('another value of the option is refused', () => {
  assert.equal(thrown(() => session({ ...OPTIONS, warnings: 'on' })), 'TypeError: warnings option must be a boolean')
})

test('an application that makes a middleware for each request gets ten of a code', () => {
  const { stderr } = run(`for (let i = 0; i < 50; i++) ${WEAK} })`, { env: { PATH: process.env.PATH } })
  assert.equal(stderr.match(/ExpressSessionWarning/g).length, 10)
})
