// The exports of the package, and the options of the middleware.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import test from 'node:test'

import * as namespace from 'express-session-rs'
import { run } from '../testing/program.mjs'
import { options, original, ours, same, thrown } from '../testing/sides.mjs'

const require = createRequire(import.meta.url)

test('import and require return the exports of express-session', () => {
  assert.deepEqual(Object.keys(ours).sort(), Object.keys(original).sort())
  assert.equal(require('express-session-rs'), ours)
  assert.equal(namespace.default, ours)
  for (const name of ['Cookie', 'MemoryStore', 'Session', 'Store']) {
    assert.equal(namespace[name], ours[name])
    assert.equal(ours[name].name, name)
    assert.equal(ours[name].length, original[name].length)
  }
  assert.equal(ours().name, 'session')
  assert.equal(ours().length, 3)
})

test('invalid options are refused with the messages of express-session', async () => {
  const wrong = [
    { genid: 'text' },
    { unset: 'other' },
    { secret: [] },
    { store: {} },
    { store: { on: 1 } }
  ]
  const texts = await same((session) => wrong.map((one) => thrown(() => session(options(one)))))
  assert.ok(texts.every((text) => text.startsWith('TypeError: ')))
})

test('unknown departures, and those that are not available for Node, are refused', () => {
  const text = (departures) => thrown(() => ours(options({ departures })))
  assert.match(text(['clear_cookie']), /^TypeError: departures option: "clear_cookie" is not one of pathMatch, /)
  assert.match(text(['lazyLoad']), /^TypeError: departures option: "lazyLoad" is not available for Node: /)
  assert.match(text(['mergeChanges']), /^TypeError: departures option: "mergeChanges": the store has no conditional writes/)
  assert.match(text('clearCookie'), /^TypeError: departures option must be an array of names$/)
  assert.match(text([1]), /^TypeError: departures option must be an array of names$/)
  assert.equal(text([]), 'nothing thrown')
  assert.equal(text(undefined), 'nothing thrown')
})

test('the store gets the function and the listeners that express-session installs', async () => {
  await same((session) => {
    const store = new session.MemoryStore()
    session(options({ store }))
    session(options({ store }))
    const { generate } = store
    return [typeof generate, generate.length, store.listenerCount('connect'), store.eventNames()]
  })
})

// Runs a program with both packages, checks that they print the same, and returns the lines without dates and colors.
// Only this package has warnings of mistakes, which Node does not print here.
function sameOutput(env, code) {
  const [expected, lines] = ['express-session', 'express-session-rs'].map((name) => {
    const script = `const session = require(${JSON.stringify(name)}); ${code}`
    const { stderr } = run(script, { env: { PATH: process.env.PATH, NODE_NO_WARNINGS: '1', ...env } })
    return stderr
      .replace(/\x1b\[[0-9;]*m/g, '')
      .replace(/\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT/g, 'DATE')
      .split('\n')
  })
  assert.deepEqual(lines, expected)
  return lines
}

test('deprecations are reported with their place, unless NO_DEPRECATION is set', () => {
  const code = `
    session()
    session({ secret: 'k', resave: false, saveUninitialized: false, cookie: { maxAge: new Date() } })
    new session.Cookie({ maxAge: new Date(0) })`
  const printed = sameOutput({}, code)
  assert.match(printed.join('\n'), /express-session deprecated undefined resave option.* at /)
  assert.match(printed.join('\n'), /maxAge as Date/)
  assert.deepEqual(sameOutput({ NO_DEPRECATION: 'express-session' }, code), [''])
})

test('the memory store prints a warning in production only', () => {
  const code = `session({ secret: 'k', resave: false, saveUninitialized: false })`
  assert.match(sameOutput({ NODE_ENV: 'production' }, code)[0], /^Warning: connect.session\(\) MemoryStore/)
  assert.deepEqual(sameOutput({ NODE_ENV: 'test' }, code), [''])
})

test('DEBUG=express-session prints the same', () => {
  const code = `
    const wire = import('./testing/wire.mjs')
    let count = 0
    const store = new session.MemoryStore().setMaxListeners(0)
    const play = async (more, headers, handler) => {
      const { req, res } = (await wire).exchange({ headers })
      const use = session({
        secret: 'k', store, resave: false, saveUninitialized: false, genid: () => 'id' + count++, ...more
      })
      await new Promise((resolve) => {
        res.on('finish', () => setImmediate(resolve))
        use(req, res, (error) => error ? res.end() : handler(req, res))
      })
    }
    const end = (req, res) => res.end('ok')
    const write = (req, res) => {
      req.session.a = 1
      if (req.headers.length) res.setHeader('Content-Length', 2)
      res.end('ok')
    }
    ;(async () => {
      const sign = (id) => ({ cookie: 'connect.sid=s:' + require('cookie-signature').sign(id, 'k') })
      await play({}, {}, write)
      await play({}, { length: 1 }, write)
      await play({}, sign('id0'), end)
      await play({}, sign('id0'), (req, res) => req.session.save(() => res.end('x')))
      await play({}, sign('id0'), (req, res) => req.session.reload(() => res.end('x')))
      await play({}, sign('id9'), end)
      await play({}, { cookie: 'connect.sid=id0' }, end)
      await play({}, { cookie: 'other=id0' }, end)
      await play({}, { cookie: 'connect.sid=' }, end)
      await play({}, sign(''), end)
      await play({}, { cookie: 'connect.sid=s:id0.bad' }, end)
      await play({ cookie: { secure: true } }, {}, write)
      await play({ cookie: { path: '/a' } }, {}, end)
      await play({ unset: 'destroy' }, sign('id0'), (req, res) => { req.session = null; res.end() })
      await play({}, {}, (req, res) => { req.sessionID = 7; res.end() })
      store.get = (id, fn) => fn(Object.assign(new Error('out'), { code: 'EX' }))
      await play({}, sign('id1'), end)
      const use = session({ secret: 'k', store, resave: false, saveUninitialized: false })
      store.emit('disconnect')
      use({}, {}, () => {})
    })()`
  const plain = (lines) => lines.map((line) => line.replace(/^DATE /, '').trim())
  const printed = plain(sameOutput({ DEBUG: 'express-session' }, code))
  for (const text of ['split response', 'not secured', 'touched', 'destroyed', 'store is disconnected']) {
    assert.ok(printed.includes(`express-session ${text}`), text)
  }
})
