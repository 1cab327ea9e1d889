// The Cookie object: its properties, its stored form, and the lines that it prints.

import assert from 'node:assert/strict'
import test from 'node:test'
import { inspect } from 'node:util'

import { ours, same, thrown } from '../testing/sides.mjs'

const NOW = 1_700_000_000_123

let now = NOW
Date.now = () => now

const SETTINGS = [
  undefined,
  null,
  {},
  { maxAge: 60000 },
  { maxAge: 0 },
  { maxAge: -1000 },
  { maxAge: 1500.7 },
  { maxAge: NaN },
  { maxAge: Infinity },
  { maxAge: null },
  { maxAge: false },
  { expires: new Date(NOW + 5000) },
  { expires: new Date(NaN) },
  { expires: false },
  { expires: 'soon' },
  { expires: 17 },
  { expires: new Date(NOW + 5000), maxAge: 1000 },
  { maxAge: 1000, expires: new Date(NOW + 5000) },
  { maxAge: 1000, expires: null },
  { originalMaxAge: 5, maxAge: 10 },
  { maxAge: 10, originalMaxAge: 5 },
  { path: '/admin', domain: 'example.com', httpOnly: false, secure: true, sameSite: true },
  { path: '', domain: '', sameSite: false, priority: '' },
  { path: null, httpOnly: null, secure: undefined },
  { sameSite: 'LAX', priority: 'High', partitioned: true },
  { sameSite: 'none', priority: 'low' },
  { sameSite: 'strict', priority: 'medium' },
  { data: 1, other: 'a property that is not stored' },
  { path: '/; HttpOnly' },
  { path: '/é' },
  { path: 17 },
  { domain: 'a..b' },
  { domain: '.example.com' },
  { domain: ['a.example'] },
  { sameSite: 'other' },
  { sameSite: 1 },
  { priority: 'other' },
  { priority: true },
  { path: ';', domain: 'a b', sameSite: 'x', priority: 'y', expires: new Date(NaN) },
  { expires: new Date(NaN), sameSite: 'x', priority: 'y' },
  { priority: 'y', sameSite: 'x' },
  { expires: new Date(8.64e15) },
  { expires: new Date(-8.64e15) },
  { expires: new Date(-1) }
]

// Everything that a program can see of a cookie.
function view(cookie) {
  let line
  return {
    keys: Object.keys(cookie),
    all: allKeys(cookie),
    json: JSON.stringify(cookie),
    data: inspect(cookie.data),
    dataKeys: Object.keys(cookie.data),
    maxAge: cookie.maxAge,
    originalMaxAge: cookie.originalMaxAge,
    expires: inspect(cookie.expires),
    printed: thrown(() => (line = cookie.serialize('name', 'a b/+é✓%'))),
    line
  }
}

function allKeys(object) {
  const keys = []
  for (const key in object) keys.push(key)
  return keys
}

for (const settings of SETTINGS) {
  test(`a cookie made of ${inspect(settings)} is the same`, async () => {
    await same((session) => view(new session.Cookie(settings)))
  })
}

test('a cookie made of another cookie is the same', async () => {
  await same((session) => view(new session.Cookie(new session.Cookie({ maxAge: 1000, secure: true }))))
})

test('invalid settings, names and values throw the same errors', async () => {
  const texts = await same(({ Cookie }) => [
    thrown(() => new Cookie('text')),
    thrown(() => new Cookie(() => ({}))),
    thrown(() => new Cookie({ maxAge: '1000' })),
    thrown(() => new Cookie({ maxAge: {} })),
    thrown(() => Cookie({})),
    thrown(() => new Cookie().serialize('a b', 'x')),
    thrown(() => new Cookie().serialize('', 'x')),
    thrown(() => new Cookie().serialize('name', '\ud800')),
    thrown(() => new Cookie({ path: ';' }).serialize('a b', 'x'))
  ])
  assert.equal(new Set(texts).size, 5)
})

test('unusual names and values are printed the same', async () => {
  await same(({ Cookie }) => [
    new Cookie().serialize('__Host-a', ''),
    new Cookie().serialize('!#$%&\'*+-.^_`|~', 17),
    new Cookie().serialize('name', undefined),
    new Cookie().serialize('name', null)
  ])
})

test('a cookie is the same after changes of its expiry', async () => {
  await same(({ Cookie }) => {
    const cookie = new Cookie({ maxAge: 60000 })
    const seen = [view(cookie)]
    now = NOW + 1000
    seen.push(view(cookie))
    cookie.maxAge = 5000
    seen.push(view(cookie))
    cookie.expires = new Date(NOW)
    seen.push(view(cookie))
    cookie.expires = false
    seen.push(view(cookie))
    cookie.maxAge = undefined
    seen.push(view(cookie))
    now = NOW
    return seen
  })
})

test('a touch does not shorten originalMaxAge, even if the clock ticks', () => {
  const cookie = new ours.Cookie({ maxAge: 60000 })
  const stopped = Date.now
  Date.now = () => now++
  try {
    for (let touch = 0; touch < 10; touch++) cookie.maxAge = cookie.originalMaxAge
  } finally {
    Date.now = stopped
  }
  assert.equal(cookie.originalMaxAge, 60000)
})
