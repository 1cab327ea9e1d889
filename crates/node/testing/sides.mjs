// express-session and this package, and helpers that compare them.

import assert from 'node:assert/strict'
import original from 'express-session'
import ours from 'express-session-rs'

import { exchange } from './wire.mjs'

export { original, ours }

// A record with one view.
export const RECORD = '{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"views":1}'

// Plays the same with both, checks that the results are equal, and returns the result.
export async function same(play) {
  const expected = await play(original)
  const actual = await play(ours)
  assert.deepEqual(actual, expected)
  return actual
}

// Returns the error that a function throws, as text.
export function thrown(run) {
  try {
    run()
  } catch (error) {
    return `${error.name}: ${error.message}`
  }
  return 'nothing thrown'
}

// Options without random ids.
export function options(more) {
  let count = 0
  return {
    secret: 'keyboard cat',
    resave: false,
    saveUninitialized: false,
    genid: () => `id${++count}`,
    ...more
  }
}

// Returns a session as the middleware passes it to a store.
export function sessionOf(maxAge = null, views = 1) {
  return new ours.Session({ sessionID: 'sid' }, { cookie: new ours.Cookie({ maxAge }), user: { name: 'bob' }, views })
}

// Records the calls of a store, each as [method, id, session as JSON].
export function recordCalls(store) {
  const calls = []
  for (const method of ['get', 'set', 'touch', 'destroy']) {
    const original = store[method]
    store[method] = function (id, ...rest) {
      const [session] = rest
      calls.push([method, id, typeof session === 'object' ? JSON.stringify(session) : undefined])
      return original.call(this, id, ...rest)
    }
  }
  return calls
}

// Returns the cookie of an id, as it stands in a request.
export function cookieOf(session, id, secret = 'keyboard cat', name = 'connect.sid') {
  const { req, res } = exchange()
  const middleware = session(options({ name, secret, saveUninitialized: true, genid: () => id }))
  middleware(req, res, () => res.writeHead(200))
  return res.getHeader('Set-Cookie')[0].split(';')[0]
}
