// Responses: the bytes that are sent before the store has answered, and after.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import test from 'node:test'

import session from 'express-session-rs'
import { RECORD, cookieOf, options, original, same, thrown } from '../testing/sides.mjs'
import { answer, exchange, turn } from '../testing/wire.mjs'

const { PATIENCE, ResponseEnd } = createRequire(import.meta.url)('../lib/response-end.js')

const COOKIE = cookieOf(original, 'id0')

// A store that answers when the test calls back.
function slowStore(session) {
  const store = new session.MemoryStore()
  store.sessions.id0 = RECORD
  store.calls = []
  store.waiting = []
  for (const verb of ['set', 'touch', 'destroy']) {
    store[verb] = (...args) => {
      store.calls.push(verb)
      store.waiting.push(args.at(-1))
    }
  }
  return store
}

const change = (req) => {
  req.session.a = 1
}

// [description, handler]; the handler returns an array, which is compared too.
const RESPONSES = [
  ['a text of unknown length', (req, res) => (change(req), [res.end('hello')])],
  ['a text of known length', (req, res) => (change(req), res.setHeader('Content-Length', 5), [res.end('hello')])],
  ['bytes of known length', (req, res) => (change(req), res.setHeader('Content-Length', 5), [res.end(Buffer.from('hello'))])],
  ['a byte array', (req, res) => (change(req), res.setHeader('Content-Length', '2'), [res.end(new Uint8Array([65, 66]))])],
  ['one byte', (req, res) => (change(req), res.setHeader('Content-Length', 1), [res.end('h')])],
  ['no bytes, of known length', (req, res) => (change(req), res.setHeader('Content-Length', 0), [res.end()])],
  ['an empty text, shorter than its length', (req, res) => (change(req), res.setHeader('Content-Length', 1), [res.end('')])],
  ['an empty text', (req, res) => (change(req), [res.end('')])],
  ['nothing', (req, res) => (change(req), [res.end()])],
  ['null', (req, res) => (change(req), [res.end(null)])],
  ['another encoding', (req, res) => (change(req), [res.end('aGk=', 'base64')])],
  ['another encoding, of known length', (req, res) => (change(req), res.setHeader('Content-Length', 2), [res.end('aGk=', 'base64')])],
  ['a text written before', (req, res) => (change(req), [res.write('one'), res.end('two')])],
  ['a change after the headers', (req, res) => [res.write('one'), change(req), res.end('two')]],
  ['a body written before the end', (req, res) => (change(req), res.setHeader('Content-Length', 3), [res.write('one'), res.end()])],
  ['a second end', (req, res) => (change(req), [res.end('one'), res.end('two'), res.end()])],
  ['a write after the end', (req, res) => (change(req), [res.end('one'), res.write('two')])],
  ['a write after an end of known length', (req, res) => (change(req), res.setHeader('Content-Length', 4), [res.end('one'), res.write('t')])],
  ['writeHead with headers', (req, res) => (change(req), res.writeHead(302, { Location: '/x', 'Set-Cookie': 'a=b' }), [res.end('moved')])],
  ['writeHead with a list', (req, res) => (change(req), res.writeHead(200, 'Fine', ['Set-Cookie', 'a=b', 'set-cookie', 'c=d']), [res.end()])],
  ['writeHead twice', (req, res) => (change(req), res.writeHead(200), [thrown(() => res.writeHead(201)), res.end()])],
  ['a change after writeHead', (req, res) => (res.writeHead(200), change(req), [res.end('x')])],
  ['flushHeaders', (req, res) => (change(req), res.flushHeaders(), [res.end('x')])],
  ['two cookies of the handler', (req, res) => (change(req), res.setHeader('Set-Cookie', ['a=1', 'b=2']), [res.end('x')])],
  ['a cookie of the handler', (req, res) => (change(req), res.setHeader('Set-Cookie', 'a=1'), [res.end('x')])],
  ['nothing changed', (req, res) => [res.end('hello')]],
  ['nothing changed, of known length', (req, res) => (res.setHeader('Content-Length', 5), [res.end('hello')])],
  ['a function in place of a body', (req, res) => [thrown(() => res.end(() => {}))]],
  ['a function in place of a body, and a change', (req, res) => (change(req), [thrown(() => res.end(() => {}))])],
  ['an unset session', (req, res) => ((req.session = null), [res.end('x')])],
  ['a session that is not an object', (req, res) => ((req.session = 0), [res.end('x')])],
  ['a session that is another object', (req, res) => ((req.session = { a: 1 }), [thrown(() => res.end('x'))])],
  ['a session without its cookie', (req, res) => (delete req.session.cookie, [thrown(() => res.end('x'))])],
  ['data that is not JSON', (req, res) => ((req.session.big = 1n), [thrown(() => res.end('x'))])],
  ['data that is not JSON, when headers are written', (req, res) => ((req.session.big = 1n), [thrown(() => res.writeHead(200))])],
  ['circular data', (req, res) => ((req.session.self = req.session), [thrown(() => res.end('x')).slice(0, 40)])],
  ['another id', (req, res) => (change(req), (req.sessionID = 'other'), [res.end('x')])],
  ['an id that is not a string', (req, res) => (change(req), (req.sessionID = 17), [res.end('x')])],
  ['an id that cannot be printed', (req, res) => ((req.sessionID = '\ud800'), [res.end('x')])],
  ['an empty id', (req, res) => (change(req), (req.sessionID = ''), [res.end('x')])],
  ['a path that cannot be printed', (req, res) => (change(req), (req.session.cookie.path = ';'), [res.end('x')])],
  ['a cookie that is a plain object', (req, res) => (change(req), (req.session.cookie = {}), [res.end('x')])],
  ['data with a toJSON method', (req, res) => ((req.session.toJSON = () => ({ b: 2 })), [res.end('x')])]
]

async function play(session, more, request, handler) {
  const store = slowStore(session)
  const { req, res, wire } = exchange(request)
  let isFinished = false
  res.on('finish', () => {
    isFinished = true
  })
  const late = []
  let results
  const began = new Promise((resolve) => {
    session(options({ store, ...more }))(req, res, (error) => {
      if (results) return late.push(error?.message)
      results = handler(req, res).map((result) => (result === res ? 'the response' : result))
      resolve()
    })
  })
  await began
  const seen = [results, wire.text, isFinished, [...store.calls]]
  await turn()
  seen.push(wire.text, isFinished)
  while (store.waiting.length) {
    store.waiting.shift()()
    await turn()
    seen.push(wire.text, isFinished, [...store.calls])
  }
  return [...seen, late]
}

const REQUESTS = [
  ['a new visitor', {}],
  ['a returning visitor', { headers: { cookie: COOKIE } }],
  ['a HEAD request', { method: 'HEAD', headers: { cookie: COOKIE } }]
]
const OPTIONS = [
  {},
  { saveUninitialized: true },
  { resave: true, rolling: true, cookie: { maxAge: 1000 } },
  { unset: 'destroy', cookie: { secure: true } }
]

Date.now = () => 1_700_000_000_123

for (const [what, handler] of RESPONSES) {
  test(`${what} is sent the same`, async () => {
    for (const [visitor, request] of REQUESTS) {
      for (const more of OPTIONS) {
        await same((session) => play(session, more, request, handler)).catch((error) => {
          error.message = `${visitor}, ${JSON.stringify(more)}: ${error.message}`
          throw error
        })
      }
    }
  })
}

for (const [what, handler] of RESPONSES) {
  test(`${what} is sent the same with the memory store`, async () => {
    for (const [, request] of REQUESTS) {
      for (const more of OPTIONS) {
        await same(async (session) => {
          const store = new session.MemoryStore()
          store.sessions.id0 = RECORD
          const { req, res, wire } = exchange(request)
          const late = []
          const results = await new Promise((resolve) => {
            let isCalled = false
            session(options({ store, ...more }))(req, res, (error) => {
              if (isCalled) return late.push(error?.message)
              isCalled = true
              resolve(handler(req, res).map((result) => (result === res ? 'the response' : result)))
            })
          })
          await turn()
          await turn()
          return [results, wire.text, res.writableFinished, store.sessions, late]
        })
      }
    }
  })
}

// Returns how often the connection was written to when the response had ended.
async function writesOf(store, handler) {
  const { req, res, wire } = exchange({ headers: { cookie: COOKIE } })
  store.sessions.id0 = RECORD
  let count = 0
  wire._writev = (chunks, done) => {
    count += 1
    for (const { chunk } of chunks) wire.text += chunk.toString('latin1')
    done()
  }
  wire._write = (chunk, _encoding, done) => wire._writev([{ chunk }], done)
  session(options({ store }))(req, res, () => handler(req, res))
  await turn()
  await turn()
  assert.ok(res.writableFinished && wire.text.endsWith('hello'))
  return count
}

const hello = (req, res) => (change(req), res.setHeader('Content-Length', 5), res.end('hello'))

test('with the memory store a response is written in one call', async () => {
  assert.equal(await writesOf(new session.MemoryStore(), hello), 1)
})

test('with a store of the application, and a large body, it is written in two parts', async () => {
  const store = new session.MemoryStore()
  const { set } = store
  store.set = function (...args) {
    return set.apply(this, args)
  }
  assert.equal(await writesOf(store, hello), 2)
  const large = (req, res) => (change(req), res.setHeader('Content-Length', 50_000), res.end('hello'.repeat(10_000)))
  assert.equal(await writesOf(new session.MemoryStore(), large), 2)
})

test('the start of a response is sent when its time is over, or when the handler writes more', async () => {
  for (const more of [undefined, 'more']) {
    const { res, wire } = exchange()
    res.sendDate = false
    const end = new ResponseEnd(res, res.write, res.end, 'hello', undefined)
    const due = []
    assert.equal(end.sendStart((fn, argument) => due.push(() => fn(argument))), true)
    await turn()
    assert.equal(wire.text, '')
    if (more) res.write(more)
    else due.shift()()
    await turn()
    assert.ok(wire.text.endsWith(more ? '5\r\nhello\r\n4\r\nmore\r\n' : '5\r\nhello\r\n'), wire.text)
    // The end of its time has no effect any more.
    for (const late of due) late()
    end.sendEnd()
    await turn()
    assert.ok(wire.text.endsWith('\r\n0\r\n\r\n') && wire.text.split('hello').length === 2)
  }
})

test('a moment is over after the answers that have arrived in it', async () => {
  const order = []
  const over = new Promise((resolve) => PATIENCE.moment(() => resolve(order.push('over'))))
  await new Promise((resolve) => setImmediate(() => resolve(order.push('answer'))))
  await over
  assert.deepEqual(order, ['answer', 'over'])
})

test('the end of the response waits for the store, however long it takes', async () => {
  const handler = (req, res) => (change(req), [res.end('hello')])
  const [, , , calls, text, isFinished, after, isOver] = await same((session) => play(session, {}, {}, handler))
  assert.deepEqual(calls, ['set'])
  assert.ok(text.endsWith('5\r\nhello\r\n') && !isFinished)
  assert.ok(after.endsWith('0\r\n\r\n') && isOver)
})

// Make a store that answers the calls that write, or those that read, in its own way.
const writes = (answer) => (store) => {
  store.set = store.touch = store.destroy = (...args) => answer(args.at(-1))
}
const reads = (answer) => (store) => {
  store.get = (_id, fn) => answer(fn, () => JSON.parse(store.sessions.id0))
}
const out = () => new Error('out')

// Stores with faults.
const STORES = {
  'answers synchronously': (store) => {
    writes((fn) => fn())(store)
    reads((fn, record) => fn(null, record()))(store)
  },
  'answers twice': writes((fn) => (setImmediate(fn), setImmediate(fn))),
  'answers twice synchronously': writes((fn) => (fn(), fn())),
  'fails': writes((fn) => setImmediate(fn, out())),
  'fails synchronously': writes((fn) => fn(out())),
  'fails twice': writes((fn) => (setImmediate(fn, out()), setImmediate(fn, new Error('still out')))),
  'cannot touch': (store) => {
    store.touch = undefined
  },
  'reports a missing session': reads((fn) => fn(Object.assign(new Error('no file'), { code: 'ENOENT' }))),
  'reads twice': reads((fn, record) => (setImmediate(fn, null, record()), setImmediate(fn, null, record()))),
  'reads a session and none synchronously': reads((fn, record) => (fn(null, record()), fn())),
  'reads an empty session and none synchronously': reads((fn, record) => (fn(null, { cookie: record().cookie }), fn())),
  'reads none and a session synchronously': reads((fn, record) => (fn(), fn(null, record()))),
  'reads a session and then fails': reads((fn, record) => (fn(null, record()), setImmediate(fn, out()))),
  'cannot read': reads((fn) => fn(out())),
  'has a record without a cookie': reads((fn) => fn(null, { views: 1 })),
  'has a record that is not an object': reads((fn) => fn(null, 'text')),
  'has a record with an odd cookie': reads((fn) => fn(null, { cookie: { originalMaxAge: '17', maxAge: 1 } })),
  'returns the same object each time': (store) => {
    const kept = store.createSession({ sessionID: 'id0' }, JSON.parse(store.sessions.id0))
    store.get = (_id, fn) => fn(null, kept)
  }
}

const HANDLERS = [
  (req, res) => res.end('ok'),
  (req, res) => (change(req), res.end('ok')),
  (req, res) => (change(req), res.setHeader('Content-Length', 2), res.end('ok')),
  (req, res) => ((req.session = null), res.end('ok')),
  (req, res) => req.session.save((error) => end(res, String(error))),
  (req, res) => req.session.destroy((error) => end(res, String(error))),
  (req, res) => req.session.regenerate((error) => end(res, String(error))),
  (req, res) => req.session.reload((error) => end(res, String(error)))
]

for (const [what, spoil] of Object.entries(STORES)) {
  test(`a store that ${what} has the same effect`, async () => {
    for (const request of [{}, { headers: { cookie: COOKIE } }]) {
      for (const more of OPTIONS) {
        for (const handler of HANDLERS) {
          await same(async (session) => {
            const store = new session.MemoryStore()
            store.sessions.id0 = RECORD
            spoil(store)
            const got = await answer(session(options({ store, ...more })), request, guarded(handler))
            return { ...got, sessions: { ...store.sessions } }
          })
        }
      }
    }
  })
}

function guarded(handler) {
  return (req, res) => attempt(res, () => handler(req, res))
}

function end(res, text) {
  attempt(res, () => res.end(text))
}

// Ends the exchange if the response throws, as it then never finishes.
function attempt(res, run) {
  try {
    run()
  } catch (error) {
    res.statusMessage = `thrown: ${error.message}`
    res.emit('finish')
  }
}

test('an exception of a store is thrown where express-session throws it', async () => {
  const throwing = (session, verb) => {
    const store = new session.MemoryStore()
    store.sessions.id0 = RECORD
    store[verb] = () => {
      throw new Error(`thrown by ${verb}`)
    }
    return session(options({ store }))
  }
  const texts = await same(async (session) => {
    const { req, res } = exchange({ headers: { cookie: COOKIE } })
    const texts = [thrown(() => throwing(session, 'get')(req, res, () => {}))]
    for (const verb of ['set', 'touch']) {
      const { req, res } = exchange({ headers: { cookie: COOKIE } })
      await new Promise((resolve) => throwing(session, verb)(req, res, resolve))
      if (verb === 'set') change(req)
      texts.push(thrown(() => res.end('x')))
    }
    return texts
  })
  assert.deepEqual(texts, ['get', 'set', 'touch'].map((verb) => `Error: thrown by ${verb}`))
})

test('a request outside of the path, or while the store is disconnected, has no session', async () => {
  for (const path of ['/', '/admin', '/administrator', '/Admin', '/admin/x?y', 'http://host/admin', '*']) {
    await same((session) => {
      const { req, res } = exchange({ path })
      let seen
      session(options({ cookie: { path: '/admin' } }))(req, res, () => {
        seen = ['session' in req, 'sessionID' in req, 'sessionStore' in req]
      })
      return seen
    })
  }
  await same((session) => {
    const store = new session.MemoryStore()
    const use = session(options({ store }))
    const seen = []
    for (const event of ['disconnect', 'disconnect', 'connect']) {
      store.emit(event)
      const { req, res } = exchange()
      use(req, res, () => seen.push('session' in req))
    }
    return seen
  })
})

test('a second middleware has no effect', async () => {
  await same((session) => {
    const { req, res } = exchange()
    const [one, two] = ['one', 'two'].map((name) => session(options({ name })))
    const seen = []
    one(req, res, () => {
      const { session: first, sessionStore } = req
      two(req, res, () => seen.push(req.session === first, req.sessionStore === sessionStore))
    })
    return seen
  })
})
