// The preset for an audit.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import test from 'node:test'

import session from 'express-session-rs'
import { MemoryStore } from 'express-session-rs/stores'
import { thrown } from '../testing/sides.mjs'
import { answer } from '../testing/wire.mjs'

const secret = randomBytes(32).toString('hex')
const MINUTE = 60_000

const clock = { now: 1_700_000_000_000 }
Date.now = () => clock.now

// Visits over HTTPS, and returns the response's cookies.
async function visit(use, cookie, handler) {
  const headers = cookie ? { cookie } : {}
  const got = await answer(use, { headers, encrypted: true }, async (req, res) => {
    await handler(req)
    res.end('ok')
  })
  return got.cookies
}

test('the cookie is for HTTPS, this host and this site, and a session has both timeouts', async () => {
  const use = session.hardened({ secret, store: new MemoryStore() })
  assert.deepEqual(await visit(use, undefined, () => {}), [])
  const [line] = await visit(use, undefined, (req) => req.session.login('bob'))
  assert.match(line, /^__Host-sid=s%3A[^;]+; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
  let [cookie] = line.split(';')
  const user = async () => {
    let found
    const [renewed] = await visit(use, cookie, (req) => {
      found = req.session.loggedInUser()
    })
    // Every 15 minutes, the id is another one.
    if (renewed && found) [cookie] = renewed.split(';')
    return found
  }
  for (let minutes = 0; minutes < 12 * 60 - 20; minutes += 20) {
    assert.equal(await user(), 'bob', `after ${minutes} minutes`)
    clock.now += 20 * MINUTE
  }
  assert.notEqual(cookie, line.split(';')[0])
  clock.now += 20 * MINUTE
  assert.equal(await user(), undefined)

  const [other] = await visit(use, undefined, (req) => req.session.login('bob'))
  const [cleared] = await visit(use, other.split(';')[0], (req) => req.session.logout())
  assert.match(cleared, /^__Host-sid=; .*Expires=Thu, 01 Jan 1970/)
})

test('options replace those of the preset, and the cookie is merged', async () => {
  const store = new MemoryStore()
  const use = session.hardened({ secret, store, name: '__Host-shop', absoluteTimeout: undefined, cookie: { sameSite: 'strict' } })
  const [line] = await visit(use, undefined, (req) => req.session.login('bob'))
  assert.match(line, /^__Host-shop=s%3A[^;]+; Path=\/; HttpOnly; Secure; SameSite=Strict$/)
})

test('a weak secret and a store without conditional writes are refused', () => {
  const store = new MemoryStore()
  const refused = (options) => thrown(() => session.hardened(options))
  assert.equal(refused(undefined), 'TypeError: secret option is required')
  assert.equal(refused({ store }), 'TypeError: secret option is required')
  assert.equal(refused({ store, secret: [] }), 'TypeError: secret option array must contain one or more strings')
  assert.match(refused({ store, secret: 'keyboard cat' }), /^TypeError: secret option: a secret is /)
  assert.match(refused({ store, secret: [secret, 'keyboard cat'] }), /^TypeError: secret option: a secret is /)
  assert.match(refused({ secret, store: new session.MemoryStore() }), /^TypeError: integrity option: /)
  assert.equal(refused({ secret, store }), 'nothing thrown')
})

test('it is not among the exports that express-session has', () => {
  assert.ok(!Object.keys(session).includes('hardened'))
  assert.equal(session.hardened.name, 'hardened')
})
