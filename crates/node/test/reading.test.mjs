// Reading: the session that a request's cookie names.

import assert from 'node:assert/strict'
import { createHmac, createSecretKey, webcrypto } from 'node:crypto'
import test from 'node:test'

import { cookieOf, options, original, ours, same, thrown } from '../testing/sides.mjs'
import { answer, exchange } from '../testing/wire.mjs'

const NAME = 'connect.sid'
const sign = (id, secret) => `${id}.${createHmac('sha256', secret).update(id).digest('base64').replace(/=+$/, '')}`
const value = (id, secret = 'keyboard cat') => `s:${sign(id, secret)}`
const encoded = (id, secret) => encodeURIComponent(value(id, secret))

// Returns the error, the id that the store is asked for, and the request's id.
function lookUp(session, more, headers, extra) {
  const { req, res } = exchange({ headers, extra })
  let found = 'none'
  const store = new session.MemoryStore()
  store.get = (id) => {
    found = { id }
  }
  return [thrown(() => session(options({ store, ...more }))(req, res, (error) => {
    if (error) found = error.message
  })), found, req.sessionID]
}

// Returns the response to a request, whose new session is stored.
function respond(session, more, request) {
  return answer(session(options({ saveUninitialized: true, ...more })), request, (_req, res) => res.end('x'))
}

const HEADERS = [
  '',
  ';',
  '=',
  `${NAME}=${encoded('one')}`,
  `${NAME}=${value('one')}`,
  `${NAME}="${value('one')}"`,
  ` ${NAME}\t=\t${encoded('one')} ; other=1`,
  `a=b=c; ${NAME}=${encoded('one')}; ${NAME}=${encoded('two')}`,
  `${NAME}=bad; ${NAME}=${encoded('two')}`,
  `${NAME}=s:bad.bad; ${NAME}=${encoded('two')}`,
  `${NAME}; ${NAME}=${encoded('two')}`,
  `${NAME}=`,
  `${NAME}=s:`,
  `${NAME}=s:.`,
  `${NAME}=${encoded('')}`,
  `${NAME}=s%3aone.%zz`,
  `${NAME}=${encoded('a.b.c')}`,
  `${NAME}=${encoded('é✓')}`,
  `${NAME}=${Buffer.from(value('é')).toString('latin1')}`,
  `${NAME}=${value('é')}`,
  `${NAME.toUpperCase()}=${encoded('one')}`,
  `${NAME}=${encoded('one')}=`,
  `${NAME}=${value('one').replace(/.$/, '')}`,
  `${NAME}=${encoded('one', 'old')}`,
  `${NAME}=one`,
  `__proto__=1; ${NAME}=${encoded('one')}`
]

for (const cookie of HEADERS) {
  test(`the header ${JSON.stringify(cookie)} names the same session`, async () => {
    for (const secret of ['keyboard cat', ['keyboard cat', 'old'], 'other']) {
      await same((session) => lookUp(session, { secret }, { cookie }))
    }
  })
}

const EXTRAS = [
  { signedCookies: { [NAME]: 'one' } },
  { signedCookies: { [NAME]: false } },
  { signedCookies: { [NAME]: { an: 'object' } } },
  { signedCookies: {}, cookies: { [NAME]: value('one') } },
  { signedCookies: { [NAME]: '' }, cookies: { [NAME]: 'one' } },
  { cookies: { [NAME]: value('one', 'wrong') } },
  { cookies: { [NAME]: value('') } },
  { cookies: { [NAME]: 's:' } },
  { cookies: { [NAME]: '' } },
  { cookies: { [NAME]: { an: 'object' } } },
  { cookies: { [NAME]: 17 } },
  { cookies: { [NAME]: value('é\ud800') } },
  { signedCookies: { [NAME]: 'one' }, cookies: { [NAME]: value('two') } }
]

for (const extra of EXTRAS) {
  test(`${JSON.stringify(extra)} of cookie-parser names the same session`, async () => {
    for (const cookie of ['a=b', `${NAME}=${encoded('three')}`, `${NAME}=s:bad.bad`]) {
      await same((session) => lookUp(session, {}, { cookie }, extra))
    }
  })
}

test('a secret may have every type that Node accepts', async () => {
  const bytes = Buffer.from('keyboard cat')
  const imported = await webcrypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, true, ['sign'])
  const secrets = [
    'sécrét ✓ \ud800',
    bytes,
    new Uint8Array(bytes),
    new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    new Uint16Array([1, 2, 3]),
    new Uint8Array(bytes).buffer,
    createSecretKey(bytes),
    imported,
    [''],
    ['new', bytes]
  ]
  for (const secret of secrets) {
    const cookie = cookieOf(original, 'one', secret)
    assert.equal(cookieOf(ours, 'one', secret), cookie)
    await same((session) => lookUp(session, { secret }, { cookie }))
  }
})

test('an unusable secret is an error when it is needed, and not earlier', async () => {
  const secrets = [17, {}, true, [null], [undefined, 'x'], ['keyboard cat', 17], [17, 'keyboard cat'], ['x', null]]
  const cookies = ['', 'a=b', `${NAME}=one`, `${NAME}=${encoded('one')}`, `${NAME}=${encoded('one', 'wrong')}`]
  for (const secret of secrets) {
    for (const cookie of cookies) {
      await same((session) => lookUp(session, { secret }, { cookie }))
    }
    await same((session) => respond(session, { secret }))
  }
})

test('a list of secrets may change while the server runs', async () => {
  const seen = await same((session) => {
    const secret = ['one']
    const store = new session.MemoryStore()
    const ids = []
    store.get = (id) => ids.push(id)
    const use = session(options({ secret, store }))
    const play = (key) => {
      const { req, res } = exchange({ headers: { cookie: `${NAME}=${encoded('id', key)}` } })
      const before = ids.length
      use(req, res, () => {})
      return ids.length > before
    }
    const seen = [play('one'), play('two')]
    secret.unshift('two')
    seen.push(play('one'), play('two'))
    secret.pop()
    seen.push(play('one'), play('two'))
    secret.pop()
    seen.push(play('two'))
    return seen
  })
  assert.deepEqual(seen, [true, false, true, true, false, true, false])
})

test('without a secret, the secret of cookie-parser is used', async () => {
  const cookie = `${NAME}=${encoded('one')}`
  for (const secret of [undefined, '', null]) {
    for (const extra of [{}, { secret: 'keyboard cat' }, { secret: 'other' }]) {
      await same((session) => lookUp(session, { secret }, { cookie }, extra))
    }
  }
})

test('the name of the cookie is `name`, then `key`, then `connect.sid`', async () => {
  const cookie = `a=${encoded('1')}; b=${encoded('2')}; ${NAME}=${encoded('3')}`
  for (const names of [{ name: 'a', key: 'b' }, { key: 'b' }, { name: '', key: 'b' }, {}]) {
    await same((session) => lookUp(session, names, { cookie }))
    await same((session) => respond(session, names))
  }
  await same((session) => respond(session, { name: 'a b' }))
})

test('ids are distinct, and have the format of express-session', () => {
  const { req, res } = exchange()
  const ids = new Set()
  for (let i = 0; i < 1000; i++) {
    delete req.session
    ours({ secret: 'k', resave: false, saveUninitialized: false })(req, res, () => ids.add(req.sessionID))
  }
  assert.equal(ids.size, 1000)
  for (const id of ids) assert.match(id, /^[A-Za-z0-9_-]{32}$/)
})

test('genid gets the request, and any result is the id', async () => {
  for (const id of ['', 'x', 17, null, undefined, {}, '\ud800', 'a;b=c']) {
    await same((session) => respond(session, { genid: (req) => (assert.ok(req.headers), id) }))
  }
  await same((session) => lookUp(session, { genid: () => { throw new Error('no id') } }, {}))
})

test('the cookie option may be a function', async () => {
  const seen = await same(async (session) => {
    let calls = 0
    const cookie = (req) => {
      calls++
      return { path: '/', domain: req.headers.host, secure: req.secure ? 'auto' : false }
    }
    const seen = [await respond(session, { cookie }), calls]
    seen.push(lookUp(session, { cookie: () => { throw new Error('no settings') } }, {}))
    seen.push(lookUp(session, { cookie: () => undefined }, {}))
    seen.push(lookUp(session, { cookie: () => 'text' }, {}))
    seen.push(lookUp(session, { cookie: 'text' }, {}))
    seen.push(await respond(session, { cookie: () => ({ sameSite: 'auto' }) }))
    return seen
  })
  assert.equal(seen[1], 2)
})

test('HTTPS is detected the same', async () => {
  const requests = [
    [{}, {}],
    [{ 'x-forwarded-proto': 'https' }, {}],
    [{ 'x-forwarded-proto': 'HTTPS , http' }, {}],
    [{ 'x-forwarded-proto': 'http,https' }, {}],
    [{ 'x-forwarded-proto': '' }, {}],
    [{}, { secure: true }],
    [{}, { secure: 1 }],
    [{ 'x-forwarded-proto': 'https' }, { secure: false }]
  ]
  const cookies = [{ secure: true }, { secure: 'auto' }, { sameSite: 'auto' }, { secure: 'auto', sameSite: 'auto' }]
  for (const [headers, extra] of requests) {
    for (const encrypted of [false, true]) {
      for (const proxy of [undefined, true, false, 1]) {
        for (const cookie of cookies) {
          await same((session) => respond(session, { proxy, cookie }, { headers, encrypted, extra }))
        }
      }
    }
  }
})
