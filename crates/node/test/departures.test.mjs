// The departures from express-session. The judge plays them with every kind of request; these tests cover what it
// cannot see.

import assert from 'node:assert/strict'
import test from 'node:test'

import session from 'express-session-rs'
import { RECORD, cookieOf, options, recordCalls } from '../testing/sides.mjs'
import { answer, exchange, turn } from '../testing/wire.mjs'

const COOKIE = cookieOf(session, 'id0')
const EXPIRED = 'connect.sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly'

function setUp(departures, more, methods) {
  const store = Object.assign(new session.MemoryStore(), methods)
  store.sessions.id0 = RECORD
  const calls = recordCalls(store)
  const verbs = () => calls.map(([verb]) => verb)
  return { store, verbs, use: session(options({ store, departures, ...more })) }
}

const returning = { headers: { cookie: COOKIE } }

// A handler that changes the session.
function change(req, res) {
  req.session.views = 2
  res.end('ok')
}

test('saveBeforeResponse: nothing is sent before the session is saved', async () => {
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

test('saveBeforeResponse: a store may call back synchronously, and twice', async () => {
  const { store, use } = setUp(['saveBeforeResponse'])
  store.set = (_id, _session, fn) => {
    fn()
    fn(new Error('second'))
  }
  const got = await answer(use, {}, change)
  assert.deepEqual([got.status[0], got.body, got.cookies.length, got.late], [200, 'ok', 1, []])
})

test('saveBeforeResponse with reportStoreErrors: a failed save is reported, and not repeated', async () => {
  const { use, verbs } = setUp(['saveBeforeResponse', 'reportStoreErrors'], {}, {
    set: (_id, _session, fn) => setImmediate(fn, new Error('out'))
  })
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
      change(req, res)
    })
  })
  assert.deepEqual(errors, ['out'])
  assert.deepEqual(verbs(), ['get', 'set'])
  assert.match(wire.text, /^HTTP\/1\.1 503 [^]*try again/)
  assert.deepEqual(wire.cookies, [])
})

test('saveBeforeResponse without reportStoreErrors: a failed save is reported after the response', async () => {
  const { store, use } = setUp(['saveBeforeResponse'])
  store.set = (_id, _session, fn) => setImmediate(fn, new Error('out'))
  const got = await answer(use, returning, change)
  assert.deepEqual([got.status[0], got.late], [200, ['out']])
})

test('reportStoreErrors: a failed regenerate or save leaves the session unchanged', async () => {
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

test('reportStoreErrors: an unreadable record is not destroyed', async () => {
  for (const [departures, expected] of [[[], ['get', 'destroy']], [['reportStoreErrors'], ['get']]]) {
    const { store, use, verbs } = setUp(departures, { unset: 'destroy' })
    store.sessions.id0 = '{"views":1}'
    await answer(use, returning, () => assert.fail('the handler runs without a session'))
    assert.deepEqual(verbs(), expected)
  }
})

test('clearCookie: the browser deletes the cookie of a session that was destroyed or unset', async () => {
  const destroy = (req, res) => req.session.destroy(() => res.end())
  const unset = (req, res) => {
    req.session = null
    res.end()
  }
  for (const [request, handler, expected] of [
    [returning, destroy, [EXPIRED]],
    [returning, unset, [EXPIRED]],
    [{}, destroy, []]
  ]) {
    const { use } = setUp(['clearCookie'], { unset: 'destroy' })
    assert.deepEqual((await answer(use, request, handler)).cookies, expected)
  }
})

test('singleWrite: the login in the README writes the new session once', async () => {
  for (const [departures, expected] of [[[], 2], [['singleWrite'], 1]]) {
    const { use, verbs } = setUp(departures)
    await answer(use, returning, (req, res) => {
      req.session.regenerate(() => {
        req.session.user = 'ada'
        req.session.save(() => res.end())
      })
    })
    assert.equal(verbs().filter((verb) => verb === 'set').length, expected)
  }
})

test('singleDestroy: a session that was never stored is not destroyed', async () => {
  const { use, verbs } = setUp(['singleDestroy'], { unset: 'destroy' })
  for (const end of ['destroy', 'regenerate']) {
    await answer(use, {}, async (req, res) => {
      const { id } = req.session
      await req.session[end]()
      assert.notEqual(req.session?.id, id)
      req.session = null
      res.end()
    })
  }
  assert.deepEqual(verbs(), [])
  await answer(use, returning, (req, res) => req.session.destroy(() => res.end()))
  assert.deepEqual(verbs(), ['get', 'destroy'])
})

test('cookieChangesSaved: a change of the cookie alone is saved', async () => {
  const { store, use, verbs } = setUp(['cookieChangesSaved'])
  const got = await answer(use, returning, (req, res) => {
    req.session.cookie.maxAge = 60000
    res.end()
  })
  assert.deepEqual(verbs(), ['get', 'set'])
  assert.match(got.cookies[0], /; Expires=/)
  assert.equal(JSON.parse(store.sessions.id0).cookie.originalMaxAge, 60000)
  const unchanged = await answer(use, returning, (_req, res) => res.end())
  assert.deepEqual([unchanged.cookies, verbs().slice(2)], [[], ['get', 'touch']])
})

test('skipUnreachableSessions: a session whose cookie cannot be sent is not stored', async () => {
  const changeLate = (req, res) => {
    res.write('x')
    change(req, res)
  }
  for (const [cookie, handler] of [[{ secure: true }, change], [{}, changeLate]]) {
    const { store, use } = setUp(['skipUnreachableSessions'], { cookie })
    await answer(use, {}, handler)
    assert.deepEqual(Object.keys(store.sessions), ['id0'])
  }
})

test('saveSendsCookie: an empty session that is saved explicitly gets its cookie', async () => {
  for (const [departures, count] of [[[], 0], [['saveSendsCookie'], 1]]) {
    const { use } = setUp(departures)
    const got = await answer(use, {}, (req, res) => req.session.save(() => res.end()))
    assert.equal(got.cookies.length, count)
  }
})

test('pathMatch: paths match as in browsers', () => {
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

test('duplicateCookies: a foreign cookie of the same name does not log out', async () => {
  const headers = { cookie: `connect.sid=s%3Aforeign.cookie; ${COOKIE}` }
  for (const [departures, expected] of [[[], undefined], [['duplicateCookies'], 1]]) {
    const { use } = setUp(departures)
    await answer(use, { headers }, (req, res) => {
      assert.equal(req.session.views, expected)
      res.end()
    })
  }
})

test('cookieFunctionAuto: `auto` is resolved if the cookie option is a function', async () => {
  const { use } = setUp(['cookieFunctionAuto'], {
    saveUninitialized: true,
    cookie: () => ({ secure: 'auto', sameSite: 'auto' })
  })
  const end = (_req, res) => res.end()
  assert.match((await answer(use, {}, end)).cookies[0], /; HttpOnly; SameSite=Lax$/)
  assert.match((await answer(use, { encrypted: true }, end)).cookies[0], /; Secure; SameSite=None$/)
})
