// Sessions that another express-session makes: those of a store that derives from the `Store` it imports itself.

import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'

import { FOREIGN_STORES } from '../testing/foreign-stores.mjs'
import { cookieOf, options, original, ours, same } from '../testing/sides.mjs'
import { answer, turn } from '../testing/wire.mjs'

const METHODS = ['save', 'reload', 'regenerate', 'destroy']
const returning = { headers: { cookie: cookieOf(ours, 'id0') } }

// Stores a session of an id.
function fill(store, maxAge = null) {
  const session = new original.Session({ sessionID: 'id0' }, { cookie: new original.Cookie({ maxAge }), views: 1 })
  return new Promise((resolve, reject) => store.set('id0', session, (error) => (error ? reject(error) : resolve())))
}

const read = (store, id) =>
  new Promise((resolve, reject) => store.get(id, (error, record) => (error ? reject(error) : resolve(record ?? undefined))))

const load = (store, id) =>
  new Promise((resolve, reject) => store.load(id, (error, session) => (error ? reject(error) : resolve(session))))

for (const [name, open] of Object.entries(FOREIGN_STORES)) {
  describe(name, () => {
    let store
    beforeEach(async () => {
      store = open()
      await fill(store)
    })

    const play = (handler, more) => answer(ours(options({ store, ...more })), returning, handler)

    test('the methods of a loaded session return promises', async () => {
      const { body, errors } = await play(async (req, res) => {
        const { session: loaded } = req
        assert(loaded instanceof original.Session)
        loaded.views = 2
        await loaded.save()
        assert.equal((await read(store, 'id0')).views, 2)

        loaded.views = 3
        await loaded.reload()
        assert.notEqual(req.session, loaded)
        assert.equal(req.session.views, 2)
        req.session.views = 4
        await req.session.save()
        assert.equal((await read(store, 'id0')).views, 4)

        await req.session.regenerate()
        assert.notEqual(req.sessionID, 'id0')
        assert.equal(await read(store, 'id0'), undefined)
        req.session.user = 'ada'
        await req.session.save()
        const id = req.sessionID
        assert.equal((await read(store, id)).user, 'ada')

        await req.session.destroy()
        assert.equal(req.session, undefined)
        assert.equal(await read(store, id), undefined)
        res.end('done')
      })
      assert.deepEqual([body, errors], ['done', []])
    })

    test('destroy without a callback returns a promise', async () => {
      await play(async (req, res) => {
        await req.session.destroy()
        assert.equal(await read(store, 'id0'), undefined)
        res.end()
      })
    })

    test('with a callback, the methods return the session', async () => {
      await play(async (req, res) => {
        const { session } = req
        for (const method of METHODS) {
          await new Promise((resolve) => {
            assert.equal(session[method](resolve), session)
          })
        }
        res.end()
      })
    })

    test('a promise rejects with the error of the store, and a rejection without a handler is ignored', async () => {
      const error = new Error('out')
      await play(async (req, res) => {
        for (const verb of ['get', 'set', 'destroy']) store[verb] = (...args) => setImmediate(args.at(-1), error)
        const { session } = req
        for (const method of METHODS) {
          await assert.rejects(session[method](), error)
          session[method]()
        }
        store.get = (_id, fn) => setImmediate(fn)
        await assert.rejects(session.reload(), /^Error: failed to load session$/)
        await turn()
        res.end()
      })
    })

    test('the methods of a session that `load` returns return promises', async () => {
      ours(options({ store }))
      const session = await load(store, 'id0')
      session.views = 5
      await session.save()
      assert.equal((await read(store, 'id0')).views, 5)
      await session.reload()
      await session.destroy()
      assert.equal(await read(store, 'id0'), undefined)
    })

    test('the length of a session stays, however the clock ticks', async (t) => {
      const HOUR = 3_600_000
      let now = Date.now()
      t.mock.method(Date, 'now', () => ++now)
      await fill(store, HOUR)
      await store.set('id0', { ...(await read(store, 'id0')), cookie: new ours.Cookie({ maxAge: HOUR }) }, () => {})
      for (let visits = 1; visits <= 3; visits++) {
        await play((req, res) => {
          req.session.views++
          res.end()
        })
        assert.equal((await read(store, 'id0')).cookie.originalMaxAge, HOUR)
      }
      await play(async (req, res) => {
        req.session.cookie.maxAge = 5000
        assert.equal(req.session.cookie.originalMaxAge, 5000)
        assert.equal(req.session.touch(), req.session)
        assert.equal(req.session.cookie.originalMaxAge, 5000)
        await req.session.save()
        res.end()
      })
      assert.equal((await read(store, 'id0')).cookie.originalMaxAge, 5000)
    })

    test('the departures hold', async () => {
      const departures = ['reportStoreErrors', 'singleWrite', 'singleDestroy', 'cookieChangesSaved', 'clearCookie']
      const { cookies } = await play(async (req, res) => {
        await req.session.save()
        await req.session.reload()
        await req.session.regenerate()
        await req.session.destroy()
        res.end()
      }, { departures })
      assert.match(cookies[0], /^connect.sid=; Path=\/; Expires=Thu, 01 Jan 1970/)

      await fill(store)
      await play((req, res) => {
        req.session.cookie.maxAge = 60_000
        res.end()
      }, { departures })
      assert.equal((await read(store, 'id0')).cookie.originalMaxAge, 60_000)

      const { destroy } = store
      store.destroy = (_id, fn) => setImmediate(fn, new Error('out'))
      await play(async (req, res) => {
        const { session } = req
        await assert.rejects(session.regenerate(), /^Error: out$/)
        assert.equal(req.session, session)
        res.end()
      }, { departures })
      store.destroy = destroy
    })

    test('with callbacks, responses and records are those of express-session', async (t) => {
      t.mock.method(Date, 'now', () => 1_700_000_000_123)
      await same(async (session) => {
        const store = open()
        await fill(store, 60_000)
        const seen = []
        const call = (method, session) => new Promise((resolve) => session[method](resolve))
        const step = async (handler) => {
          const result = await answer(session(options({ store, rolling: true })), returning, handler)
          seen.push(result, JSON.stringify(await read(store, 'id0')))
        }
        await step((req, res) => {
          const { session } = req
          seen.push(session instanceof original.Session, session.cookie instanceof original.Cookie)
          seen.push(Object.keys(session), Object.keys(session.cookie), JSON.stringify(session))
          const names = []
          for (const name in session.cookie) names.push(name)
          seen.push(names.sort(), session.cookie.maxAge, { ...new original.Cookie(session.cookie) })
          session.views++
          session.cookie.maxAge = 30_000
          session.cookie.expires = new Date(1_800_000_000_000)
          res.end('changed')
        })
        await step(async (req, res) => {
          await call('save', req.session)
          await call('reload', req.session)
          await call('regenerate', req.session)
          seen.push(req.sessionID, JSON.stringify(req.session))
          req.session.user = 'ada'
          res.end('regenerated')
        })
        await step(async (req, res) => {
          await new Promise((resolve) => req.sessionStore.regenerate(req, resolve))
          await call('destroy', req.session)
          res.end('destroyed')
        })
        return seen
      })
    })
  })
}

test('a `createSession` that replaces that of the store later makes the same sessions', async () => {
  const store = new original.MemoryStore()
  await fill(store)
  const use = ours(options({ store }))
  store.createSession = (req, record) => original.Store.prototype.createSession.call(store, req, record)
  await answer(use, returning, async (req, res) => {
    req.session.views = 2
    await req.session.save()
    assert.equal((await read(store, 'id0')).views, 2)
    await req.session.regenerate()
    assert.notEqual(req.sessionID, 'id0')
    res.end()
  })
})

test('several middlewares of one store adopt each session once', async () => {
  const store = new original.MemoryStore()
  ours(options({ store }))
  const { createSession } = store
  ours(options({ store }))
  assert.equal(store.createSession, createSession)
})

test('a method that is a promise already stays one', async () => {
  const store = new ours.MemoryStore()
  await store.set('id0', { cookie: {}, views: 1 })
  class Audited extends ours.Session {
    async save() {
      this.audits = (this.audits ?? 0) + 1
      await super.save()
    }

    async regenerate(_fn) {
      throw new Error('refused')
    }
  }
  store.createSession = (req, record) => {
    const { cookie } = ours.Store.prototype.createSession.call(store, req, record)
    req.session = new Audited(req, { ...record, cookie })
    return req.session
  }
  await answer(ours(options({ store })), returning, async (req, res) => {
    await req.session.save()
    assert.equal((await store.get('id0')).audits, 1)
    await assert.rejects(req.session.regenerate(), /^Error: refused$/)
    req.session = undefined
    res.end()
  })
})

test('a store without `createSession`, and one that creates no session, fail as with express-session', async () => {
  await same(async (session) => {
    const results = []
    for (const createSession of [undefined, () => {}, (req) => { req.session = null }]) {
      const store = new session.MemoryStore()
      await fill(store)
      store.createSession = createSession
      const { body, errors } = await answer(session(options({ store })), returning, (_req, res) => res.end('ok'))
      results.push([body, errors.length])
    }
    return results
  })
})

test('a cookie that is a plain object is written as express-session writes it', async () => {
  await same(async (session) => {
    const store = new session.MemoryStore()
    await fill(store)
    store.createSession = (req, record) => {
      req.session = new session.Session(req, record)
      return req.session
    }
    return answer(session(options({ store, rolling: true })), returning, (req, res) => {
      req.session.views++
      res.end()
    })
  })
})
