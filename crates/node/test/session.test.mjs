// The session object, the base of stores, and the memory store.

import assert from 'node:assert/strict'
import { inherits } from 'node:util'
import test from 'node:test'

import { options, ours, same, thrown } from '../testing/sides.mjs'
import { exchange, turn } from '../testing/wire.mjs'

Date.now = () => 1_700_000_000_123

function begin(session, more) {
  const { req, res } = exchange()
  const store = new session.MemoryStore()
  session(options({ store, ...more }))(req, res, () => {})
  return { req, res, store }
}

function describe(object) {
  const own = Object.getOwnPropertyDescriptors(object)
  return Object.fromEntries(Object.entries(own).map(([name, one]) => [
    name,
    [one.configurable, one.enumerable, one.writable, typeof one.value, one.value?.length, typeof one.get]
  ]))
}

test('the session, cookie and stores have the same properties', async () => {
  await same((session) => {
    const { req } = begin(session)
    const { session: one } = req
    one.b = 1
    one.a = 2
    one[7] = 3
    thrown(() => { one.id = 'other' })
    thrown(() => { one.req = 1 })
    return [
      describe(one), describe(session.Session.prototype), describe(session.Cookie.prototype),
      describe(session.Store.prototype), describe(session.MemoryStore.prototype),
      Object.keys(one), JSON.stringify(one), one.id, one.constructor.name, one instanceof session.Session
    ]
  })
})

test('a record cannot replace the properties of the session', async () => {
  await same(({ Session }) => {
    const record = JSON.parse('{"req":1,"id":2,"touch":3,"save":4,"toString":5,"__proto__":6,"valueOf":7,"a":8,"cookie":9}')
    const one = new Session({ sessionID: 'x' }, record)
    return [Object.keys(one), one.a, one.id, typeof one.touch]
  })
  await same(({ Session }) => [null, undefined, 1, 'ab', [1, 2]].map((data) => Object.keys(new Session({}, data))))
})

test('methods with a callback return the session', () => {
  const { req } = begin(ours)
  const { session: one } = req
  for (const method of ['touch', 'resetMaxAge', 'save', 'reload', 'regenerate', 'destroy']) {
    assert.equal(one[method](() => {}), one)
  }
})

test('methods without a callback return promises', async () => {
  const { req, store } = begin(ours)
  const { session: first } = req
  first.views = 1
  await first.save()
  assert.equal(JSON.parse(store.sessions[first.id]).views, 1)
  first.views = 2
  await first.reload()
  assert.notEqual(req.session, first)
  assert.equal(req.session.views, 1)
  await req.session.regenerate()
  assert.equal(store.sessions[first.id], undefined)
  assert.notEqual(req.session.id, first.id)
  await req.session.save()
  await req.session.destroy()
  assert.equal(req.session, undefined)
  assert.deepEqual(Object.keys(store.sessions), [])
})

test('promises reject with the error, and a rejection without a handler is ignored', async () => {
  const { req, store } = begin(ours)
  const error = new Error('out')
  for (const verb of ['get', 'set', 'destroy']) store[verb] = (...args) => setImmediate(args.at(-1), error)
  const { session: one } = req
  for (const method of ['save', 'reload']) {
    await assert.rejects(one[method](), error)
    one[method]()
  }
  store.get = (_id, fn) => setImmediate(fn)
  await assert.rejects(one.reload(), /^Error: failed to load session$/)
  await assert.rejects(one.regenerate(), error)
  await assert.rejects(req.session.destroy(), error)
  await turn()
})

test('an exception of a store is thrown, also without a callback', () => {
  const { req, store } = begin(ours)
  store.set = () => { throw new Error('thrown') }
  assert.throws(() => req.session.save(), /^Error: thrown$/)
  req.session.big = 1n
  assert.throws(() => req.session.save(), TypeError)
})

test('a promise settles once, even if the store calls back twice', async () => {
  const { req, store } = begin(ours)
  store.set = (_id, _session, fn) => {
    fn()
    fn(new Error('second'))
  }
  await req.session.save()
})

test('a replaced method of the prototype is called', async () => {
  await same(async (session) => {
    const calls = []
    const { save } = session.Session.prototype
    session.Session.prototype.save = function (fn) {
      calls.push('save')
      return save.call(this, fn)
    }
    try {
      const { req, res, store } = begin(session, { saveUninitialized: true })
      req.session.a = 1
      const finished = new Promise((resolve) => res.on('finish', resolve))
      res.end()
      await finished
      return [calls, { ...store.sessions }]
    } finally {
      session.Session.prototype.save = save
    }
  })
})

test('a store may derive from Store without `class`', async () => {
  await same(async ({ Store, Session }) => {
    function Old(options) {
      Store.call(this, options)
      this.records = { id: '{"cookie":{"expires":"2030-01-01T00:00:00.000Z","originalMaxAge":5},"a":1}' }
    }
    inherits(Old, Store)
    Old.prototype.get = function (id, fn) {
      if (id === 'broken') return fn(new Error('broken'))
      fn(null, this.records[id] && JSON.parse(this.records[id]))
    }
    Old.prototype.destroy = (_id, fn) => fn(new Error('out'))
    const store = new Old({})
    store.generate = (req) => { req.session = 'new' }
    const seen = []
    store.load('none', (...results) => seen.push(results.length))
    store.load('broken', (error) => seen.push(error.message))
    store.load('id', (error, one) => seen.push(error, one instanceof Session, one.id, JSON.stringify(one), one.req.sessionID))
    const req = {}
    store.regenerate(req, (error) => seen.push(error.message, req.session))
    store.on('x', () => seen.push('heard'))
    store.emit('x')
    return seen
  })
})

test('the memory store has the same results', async () => {
  await same(async ({ MemoryStore }) => {
    const store = new MemoryStore()
    const call = (verb, ...args) => new Promise((resolve) => store[verb](...args, (...results) => resolve(results)))
    const cookie = (expires) => ({ cookie: { expires, path: '/' } })
    const seen = [await call('get', 'a'), await call('set', 'a', { ...cookie(null), v: 1 }), await call('get', 'a')]
    seen.push(await call('set', 'over', cookie(new Date(1))), await call('set', 'number', cookie(5)))
    seen.push(await call('set', 'later', cookie(new Date(2e12))), await call('set', 'odd', cookie('no date')))
    seen.push(await call('set', 'none', { v: 1 }))
    seen.push(await call('length'), await call('all'), Object.keys(store.sessions))
    seen.push(await call('touch', 'a', { ...cookie(new Date(2e12)), v: 2 }), { ...store.sessions })
    seen.push(await call('touch', 'missing', cookie(null)), await call('destroy', 'a'), await call('destroy', 'a'))
    seen.push(await call('clear'), { ...store.sessions })
    seen.push(Object.getPrototypeOf(store.sessions), Object.keys(store))
    return JSON.stringify(seen)
  })
})

test('the memory store returns promises too', async () => {
  const store = new ours.MemoryStore()
  await store.set('a', { cookie: {}, v: 1 })
  assert.deepEqual(await store.get('a'), { cookie: {}, v: 1 })
  await store.touch('a', { cookie: { path: '/' } })
  assert.deepEqual({ ...(await store.all()) }, { a: { cookie: { path: '/' }, v: 1 } })
  assert.equal(await store.length(), 1)
  await store.destroy('a')
  assert.equal(await store.get('a'), undefined)
  await store.clear()
})
