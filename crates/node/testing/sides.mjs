// express-session and this package, and a way to hold one against the other.

import assert from 'node:assert/strict'
import original from 'express-session'
import ours from 'express-session-rs'

export { original, ours }

// Plays the same with both, and says that nothing differs. Gives what came of it.
export async function same(play) {
  const expected = await play(original)
  const actual = await play(ours)
  assert.deepEqual(actual, expected)
  return actual
}

// Gives what a function throws, as far as both sides share it.
export function thrown(run) {
  try {
    run()
  } catch (error) {
    return `${error.name}: ${error.message}`
  }
  return 'nothing thrown'
}

// Options under which nothing is random.
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

// The cookie of an id, as it stands in a request.
export function cookieOf(session, id, secret = 'keyboard cat', name = 'connect.sid') {
  const req = { headers: {}, url: '/', connection: {} }
  const store = new session.MemoryStore()
  let line
  const res = {
    writeHead() {},
    end() {},
    write() {},
    getHeader() {},
    setHeader: (_name, lines) => ([line] = lines)
  }
  const middleware = session(options({ store, name, secret, saveUninitialized: true, genid: () => id }))
  middleware(req, res, () => res.writeHead(200))
  return line.split(';')[0]
}
