// What the module gives, and which options it takes.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import test from 'node:test'
import { fileURLToPath } from 'node:url'

import * as namespace from 'express-session-rs'
import { options, original, ours, same, thrown } from '../testing/sides.mjs'

const require = createRequire(import.meta.url)

test('has what express-session has, under both ways of importing', () => {
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

test('refuses the options that express-session refuses, in its words', async () => {
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

test('refuses departures that are none, or not for Node', () => {
  const text = (departures) => thrown(() => ours(options({ departures })))
  assert.match(text(['clear_cookie']), /^TypeError: .*"clear_cookie", which is none of pathMatch, /)
  assert.match(text(['mergeChanges']), /^TypeError: .*"mergeChanges" is not for Node: /)
  assert.match(text('clearCookie'), /^TypeError: departures option must be an array of names$/)
  assert.match(text([1]), /^TypeError: departures option must be an array of names$/)
  assert.equal(text([]), 'nothing thrown')
  assert.equal(text(undefined), 'nothing thrown')
})

test('store takes what express-session installs', async () => {
  await same((session) => {
    const store = new session.MemoryStore()
    session(options({ store }))
    session(options({ store }))
    const { generate } = store
    return [typeof generate, generate.length, store.listenerCount('connect'), store.eventNames()]
  })
})

// Each line of what a process says, without its date, color and place.
function words(module, env, code) {
  const script = `const session = require(${JSON.stringify(module)}); ${code}`
  const { stderr } = spawnSync(process.execPath, ['-e', script], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ...env }
  })
  return stderr
    .replace(/\x1b\[[0-9;]*m/g, '')
    .replace(/\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT/g, 'DATE')
    .split('\n')
}

function sameWords(env, code) {
  const expected = words('express-session', env, code)
  assert.deepEqual(words('express-session-rs', env, code), expected)
  return expected
}

test('tells what is deprecated, where, and unless it is not to', () => {
  const code = `
    session()
    session({ secret: 'k', resave: false, saveUninitialized: false, cookie: { maxAge: new Date() } })
    new session.Cookie({ maxAge: new Date(0) })`
  const said = sameWords({}, code)
  assert.match(said.join('\n'), /express-session deprecated undefined resave option.* at /)
  assert.match(said.join('\n'), /maxAge as Date/)
  assert.deepEqual(sameWords({ NO_DEPRECATION: 'express-session' }, code), [''])
})

test('warns of the memory store in production', () => {
  const code = `session({ secret: 'k', resave: false, saveUninitialized: false })`
  assert.match(sameWords({ NODE_ENV: 'production' }, code)[0], /^Warning: connect.session\(\) MemoryStore/)
  assert.deepEqual(sameWords({ NODE_ENV: 'test' }, code), [''])
})

test('says the same when it is debugged', () => {
  const code = `
    const { IncomingMessage, ServerResponse } = require('http')
    const { Writable } = require('stream')
    let count = 0
    const store = new session.MemoryStore().setMaxListeners(0)
    const play = (more, headers, handler, url = '/') => new Promise((resolve) => {
      const socket = new Writable({ write: (chunk, encoding, done) => done() })
      const req = new IncomingMessage(socket)
      Object.assign(req, { headers, url, httpVersionMajor: 1, httpVersionMinor: 1 })
      const res = new ServerResponse(req)
      res.assignSocket(socket)
      res.on('finish', () => setImmediate(resolve, req))
      const use = session({
        secret: 'k', store, resave: false, saveUninitialized: false, genid: () => 'id' + count++, ...more
      })
      use(req, res, (error) => error ? res.end() : handler(req, res))
    })
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
  const said = plain(sameWords({ DEBUG: 'express-session' }, code))
  for (const text of ['split response', 'not secured', 'touched', 'destroyed', 'store is disconnected']) {
    assert.ok(said.includes(`express-session ${text}`), text)
  }
})
