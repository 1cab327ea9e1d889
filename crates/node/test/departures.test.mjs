// What is done better than in express-session, where it is asked for. The judge plays these too, with every
// kind of request: here is what it cannot see.

import assert from 'node:assert/strict'
import test from 'node:test'

import session from 'express-session-rs'
import { cookieOf, options } from '../testing/sides.mjs'
import { answer, exchange, turn } from '../testing/wire.mjs'

const COOKIE = cookieOf(session, 'id0')
const RECORD = '{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"views":1}'
const EXPIRED = 'connect.sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly'

function setUp(departures, more) {
  const store = new session.MemoryStore()
  store.sessions.id0 = RECORD
  const calls = []
  for (const verb of ['get', 'set', 'touch', 'destroy']) {
    const real = store[verb]
    store[verb] = function (...args) {
      calls.push(verb)
      return real.apply(store, args)
    }
  }
  return { store, calls, use: session(options({ store, departures, ...more })) }
}

const returning = { headers: { cookie: COOKIE } }

test('saveBeforeResponse: nothing leaves before the session is saved', async () => {
  const { store, use } = setUp(['saveBeforeResponse'])
  let answerNow
  store.set = (_id, _session, fn) => {
    answerNow = fn
  }
  const { req, res, wire } = exchange(returning)
  let result
  await new Promise((resolve) => use(req, res, () => {
    req.session.views = 2
    res.statusCode = 302
    res.setHeader('Content-Length', 5)
    result = res.end('moved')
    resolve()
  }))
  await turn()
  assert.equal(result, true)
  assert.equal(wire.text, '')
  answerNow()
  await turn()
  assert.match(wire.text, /^HTTP\/1\.1 302 [^]*\r\n\r\nmoved$/)
})

test('saveBeforeResponse: a store that answers at once, or twice', async () => {
  const { store, use } = setUp(['saveBeforeResponse'])
  store.set = (_id, _session, fn) => {
    fn()
    fn(new Error('second'))
  }
  const got = await answer(use, {}, (req, res) => {
    req.session.a = 1
    res.end('ok')
  })
  assert.deepEqual([got.status[0], got.body, got.cookies.length, got.late], [200, 'ok', 1, []])
})

test('saveBeforeResponse with reportStoreErrors: a failed save is told, and not saved again', async () => {
  const { store, use, calls } = setUp(['saveBeforeResponse', 'reportStoreErrors'])
  store.set = (_id, _session, fn) => {
    calls.push('set')
    setImmediate(fn, new Error('out'))
  }
  const { req, res, wire } = exchange(returning)
  const errors = []
  await new Promise((resolve) => {
    res.on('finish', resolve)
    use(req, res, (error) => {
      if (error) {
        errors.push(error.message)
        res.statusCode = 503
        res.end('try again')
        return
      }
      req.session.views = 2
      res.end('ok')
    })
  })
  assert.deepEqual(errors, ['out'])
  assert.deepEqual(calls, ['get', 'set'])
  assert.match(wire.text, /^HTTP\/1\.1 503 [^]*try again/)
  assert.deepEqual(wire.cookies, [])
})

test('without reportStoreErrors a failed save is told late', async () => {
  const { store, use } = setUp(['saveBeforeResponse'])
  store.set = (_id, _session, fn) => setImmediate(fn, new Error('out'))
  const got = await answer(use, returning, (req, res) => {
    req.session.views = 2
    res.end('ok')
  })
  assert.deepEqual([got.status[0], got.late], [200, ['out']])
})

test('reportStoreErrors: what fails leaves the session as it was', async () => {
  const { store, use } = setUp(['reportStoreErrors'])
  const out = new Error('out')
  store.destroy = (_id, fn) => setImmediate(fn, out)
  const { set } = store
  store.set = (_id, _session, fn) => setImmediate(fn, out)
  const { req, res } = exchange(returning)
  await new Promise((resolve) => use(req, res, resolve))
  const before = req.session
  await assert.rejects(req.session.regenerate(), out)
  assert.equal(req.session, before)
  req.session.views = 2
  await assert.rejects(req.session.save(), out)
  store.set = set
  await new Promise((resolve) => {
    res.on('finish', resolve)
    res.end()
  })
  assert.equal(JSON.parse(store.sessions.id0).views, 2)
})

test('reportStoreErrors: a record that cannot be read is not destroyed', async () => {
  for (const [departures, expected] of [[[], ['get', 'destroy']], [['reportStoreErrors'], ['get']]]) {
    const { store, use, calls } = setUp(departures, { unset: 'destroy' })
    store.sessions.id0 = '{"views":1}'
    await answer(use, returning, () => assert.fail('no session, no handler'))
    assert.deepEqual(calls, expected)
  }
})

test('clearCookie: the browser forgets a session that has ended', async () => {
  const { use } = setUp(['clearCookie'], { unset: 'destroy' })
  const destroyed = await answer(use, returning, async (req, res) => {
    await req.session.destroy()
    res.end()
  })
  assert.deepEqual(destroyed.cookies, [EXPIRED])
  const { use: again } = setUp(['clearCookie'], { unset: 'destroy' })
  const unset = await answer(again, returning, (req, res) => {
    req.session = null
    res.end()
  })
  assert.deepEqual(unset.cookies, [EXPIRED])
  const stranger = await answer(again, {}, (req, res) => req.session.destroy(() => res.end()))
  assert.deepEqual(stranger.cookies, [])
})

test('singleWrite: the login of the README writes once', async () => {
  for (const [departures, expected] of [[[], 2], [['singleWrite'], 1]]) {
    const { use, calls } = setUp(departures)
    await answer(use, returning, (req, res) => {
      req.session.regenerate(() => {
        req.session.user = 'ada'
        req.session.save(() => res.end())
      })
    })
    assert.equal(calls.filter((call) => call === 'set').length, expected)
  }
})

test('singleDestroy: what was never stored is not destroyed', async () => {
  const { use, calls } = setUp(['singleDestroy'], { unset: 'destroy' })
  for (const end of ['destroy', 'regenerate']) {
    await answer(use, {}, async (req, res) => {
      const { id } = req.session
      await req.session[end]()
      assert.notEqual(req.session?.id, id)
      req.session = null
      res.end()
    })
  }
  assert.deepEqual(calls, [])
  await answer(use, returning, (req, res) => req.session.destroy(() => res.end()))
  assert.deepEqual(calls, ['get', 'destroy'])
})

test('cookieChangesSaved: a change of the cookie alone is kept', async () => {
  const { store, use, calls } = setUp(['cookieChangesSaved'])
  const got = await answer(use, returning, (req, res) => {
    req.session.cookie.maxAge = 60000
    res.end()
  })
  assert.deepEqual(calls, ['get', 'set'])
  assert.match(got.cookies[0], /; Expires=/)
  assert.equal(JSON.parse(store.sessions.id0).cookie.originalMaxAge, 60000)
  const unchanged = await answer(use, returning, (_req, res) => res.end())
  assert.deepEqual([unchanged.cookies, calls.slice(2)], [[], ['get', 'touch']])
})

test('skipUnreachableSessions: no record without a cookie', async () => {
  const { store, use } = setUp(['skipUnreachableSessions'], { cookie: { secure: true } })
  await answer(use, {}, (req, res) => {
    req.session.a = 1
    res.end()
  })
  assert.deepEqual(Object.keys(store.sessions), ['id0'])
  const { store: other, use: late } = setUp(['skipUnreachableSessions'])
  await answer(late, {}, (req, res) => {
    res.write('x')
    req.session.a = 1
    res.end()
  })
  assert.deepEqual(Object.keys(other.sessions), ['id0'])
})

test('saveSendsCookie: who saves an empty session finds it again', async () => {
  for (const [departures, count] of [[[], 0], [['saveSendsCookie'], 1]]) {
    const { use } = setUp(departures)
    const got = await answer(use, {}, (req, res) => req.session.save(() => res.end()))
    assert.equal(got.cookies.length, count)
  }
})

test('pathMatch: a path is within another as browsers see it', () => {
  const seen = (departures, path, cookiePath) => {
    const { req, res } = exchange({ path })
    setUp(departures, { cookie: { path: cookiePath } }).use(req, res, () => {})
    return 'session' in req
  }
  for (const [path, cookiePath, before, after] of [
    ['/administrator', '/admin', true, false],
    ['/admin', '/admin', true, true],
    ['/admin/x', '/admin', true, true],
    ['/admin/x', '/admin/', true, true],
    ['/admin', '/admin/', false, false],
    ['/x', '/', true, true]
  ]) {
    assert.equal(seen([], path, cookiePath), before)
    assert.equal(seen(['pathMatch'], path, cookiePath), after)
  }
})

test('duplicateCookies: a foreign cookie of the name does not log out', async () => {
  const headers = { cookie: `connect.sid=s%3Aforeign.cookie; ${COOKIE}` }
  for (const [departures, expected] of [[[], undefined], [['duplicateCookies'], 1]]) {
    const { use } = setUp(departures)
    await answer(use, { headers }, (req, res) => {
      assert.equal(req.session.views, expected)
      res.end()
    })
  }
})

test('cookieFunctionAuto: `auto` is resolved also where a function says so', async () => {
  const { use } = setUp(['cookieFunctionAuto'], {
    saveUninitialized: true,
    cookie: () => ({ secure: 'auto', sameSite: 'auto' })
  })
  const end = (_req, res) => res.end()
  assert.match((await answer(use, {}, end)).cookies[0], /; HttpOnly; SameSite=Lax$/)
  assert.match((await answer(use, { encrypted: true }, end)).cookies[0], /; Secure; SameSite=None$/)
})
