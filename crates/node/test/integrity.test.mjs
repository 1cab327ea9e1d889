// The option `integrity`: nothing is lost between overlapping requests, and a logout is final, on every store.

import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'

import session from 'express-session-rs'
import updates from '../lib/stores/updates.js'
import { FileStore, MemoryStore, RedisStore } from 'express-session-rs/stores'
import { proxied } from '../testing/proxy.mjs'
import { openRealm } from '../testing/realm.mjs'
import { missingServer, urls } from '../testing/servers.mjs'
import { cookieOf, options, thrown } from '../testing/sides.mjs'
import { allStores } from '../testing/stores.mjs'
import { answer, exchange } from '../testing/wire.mjs'

// Two middlewares as of two processes, and the cookie of a session that both serve.
async function setUp(open, more) {
  const stores = [open(), open()]
  const uses = stores.map((store) => session({ ...options({ store, integrity: true, ...more }), genid: undefined }))
  let id
  const first = await answer(uses[0], {}, (req, res) => {
    id = req.sessionID
    Object.assign(req.session, { views: 0, cart: ['apple'] })
    res.end('ok')
  })
  const headers = { cookie: first.cookies[0].split(';')[0] }
  let turn = 0
  return {
    stores,
    // Sends a request to one of them after the other.
    visit: (handler) => answer(uses[turn++ % 2], { headers }, handler),
    id: () => id,
    stored: async () => {
      const record = await stores[0].get(id)
      if (record && more?.idleTimeout) delete record.__sessionMetadata
      return record
    },
    close: () => Promise.all([...new Set(stores)].map((store) => store.close()))
  }
}

// A gate that `count` requests pass together: each has loaded its session before one saves.
function meeting(count) {
  let open
  const opened = new Promise((resolve) => (open = resolve))
  return () => {
    count -= 1
    if (count === 0) open()
    return opened
  }
}

// Everything holds for records with the library's own member, too.
const LIMITS = { idleTimeout: 3_600_000, absoluteTimeout: 7_200_000 }
const STORES = allStores('integrity').flatMap(([name, open, server]) => [
  [name, open, server, {}], [`${name}, with limits`, open, server, LIMITS]
])

for (const [name, open, server, limits] of STORES) {
  describe(name, { skip: missingServer(server) }, () => {
    test('no update of overlapping requests is lost', async () => {
      const { visit, stored, close } = await setUp(open, limits)
      const meet = meeting(20)
      const answers = await Promise.all(Array.from({ length: 20 }, () => visit(async (req, res) => {
        req.session.update('views', (views) => views + 1)
        await meet()
        res.end('ok')
      })))
      assert.ok(answers.every(({ status, errors }) => status[0] === 200 && errors.length === 0))
      assert.equal((await stored()).views, 20)
      await close()
    })

    test('members that different requests have set are all kept', async () => {
      const { visit, stored, close } = await setUp(open, limits)
      const meet = meeting(6)
      await Promise.all([1, 2, 3, 4, 5, 6].map((number) => visit(async (req, res) => {
        req.session[`member${number}`] = { number }
        if (number === 6) delete req.session.cart
        await meet()
        res.end('ok')
      })))
      const { cookie: _, ...data } = await stored()
      const members = [1, 2, 3, 4, 5, 6].map((number) => [`member${number}`, { number }])
      assert.deepEqual(data, { views: 0, ...Object.fromEntries(members) })
      await close()
    })

    test('after a save the session has what others wrote, and keeps what the application changes meanwhile', async () => {
      const { visit, stored, close } = await setUp(open, limits)
      await visit(async (req, res) => {
        const { session } = req
        session.mine = 1
        await visit((other, end) => {
          Object.assign(other.session, { theirs: 2, views: 7, cart: ['apple', 'pear'] })
          end.end('ok')
        })
        const saved = session.save()
        session.cart.push('plum')
        await saved
        const { cookie: _, ...data } = session
        assert.deepEqual(data, { views: 7, cart: ['apple', 'plum'], mine: 1, theirs: 2 })
        res.end('ok')
      })
      const { cookie: _, ...data } = await stored()
      assert.deepEqual(data, { views: 7, cart: ['apple', 'plum'], mine: 1, theirs: 2 })
      await close()
    })

    test('a logout is final: later requests write nothing, and learn of it', async () => {
      const { visit, stored, close } = await setUp(open, limits)
      const events = []
      const late = [
        async (req) => {
          await assert.rejects(req.session.save(), { code: 'ERR_SESSION_ENDED' })
          await assert.rejects(req.session.updateNow('views', () => 9), { code: 'ERR_SESSION_ENDED' })
          assert.equal(req.session.ended, 'elsewhere')
        },
        async () => {}
      ]
      const meet = meeting(3)
      const requests = late.map((then) => visit(async (req, res) => {
        req.on('sessionEnded', (why) => events.push(why))
        req.session.late = true
        await meet()
        await loggedOut
        await then(req)
        res.end('ok')
      }))
      const loggedOut = visit(async (req, res) => {
        await meet()
        await req.session.destroy()
        res.end('bye')
      })
      const answers = await Promise.all(requests)
      assert.deepEqual(answers.map(({ status, body, cookies }) => [status[0], body, cookies]), [
        [200, 'ok', []],
        [200, 'ok', []]
      ])
      assert.deepEqual(events, ['elsewhere', 'elsewhere'])
      assert.equal(await stored() ?? null, null)
      await close()
    })

    test('updateNow gives each request a number of its own, and takeOnce a value to one of them', async () => {
      const { visit, stored, close } = await setUp(open, limits)
      const meet = meeting(8)
      const numbers = []
      const taken = []
      await Promise.all(Array.from({ length: 8 }, () => visit(async (req, res) => {
        await meet()
        numbers.push(await req.session.updateNow('views', (views) => views + 1))
        taken.push(await req.session.takeOnce('cart'))
        res.end('ok')
      })))
      assert.deepEqual(numbers.sort(), [1, 2, 3, 4, 5, 6, 7, 8])
      assert.deepEqual(taken.filter(Boolean), [['apple']])
      const { cookie: _, ...data } = await stored()
      assert.deepEqual(data, { views: 8 })
      await close()
    })

    test('operations of one session that are not waited for come one after the other', async () => {
      const { visit, stored, close } = await setUp(open, limits)
      await visit(async (req, res) => {
        const { session } = req
        const operations = []
        for (const number of [1, 2, 3, 4]) {
          session[`member${number}`] = number
          operations.push(session.save(), session.updateNow('views', (views) => views + 1))
          if (number === 2 && server !== 'memcached') operations.push(session.lock().then((lock) => lock.unlock()))
        }
        await Promise.all(operations)
        res.end('ok')
      })
      const { cookie: _, cart: __, ...data } = await stored()
      assert.deepEqual(data, { views: 4, member1: 1, member2: 2, member3: 3, member4: 4 })
      await close()
    })

    test('regenerate ends the old session for all requests, and the new one is its own', async () => {
      const { visit, stored, stores, close } = await setUp(open, limits)
      const { body, cookies } = await visit(async (req, res) => {
        const before = req.session
        await req.session.regenerate()
        req.session.user = 'bob'
        await req.session.save()
        await assert.rejects(before.save(), { code: 'ERR_SESSION_ENDED' })
        res.end(req.sessionID)
      })
      assert.equal(cookies.length, 1)
      assert.equal(await stored() ?? null, null)
      assert.equal((await stores[1].get(body)).user, 'bob')
      await close()
    })

    test('a session outside of a request loses no update, and does not bring back one that has ended', async () => {
      const { stores, id, visit, stored, close } = await setUp(open, limits)
      const load = () => new Promise((resolve, reject) => {
        stores[0].load(id(), (error, found) => (error ? reject(error) : resolve(found)))
      })
      // As the recipes of sockets make one.
      const create = async () => {
        const [store] = stores
        return store.createSession({ sessionID: id(), sessionStore: store }, await store.get(id()))
      }
      for (const [member, make] of [['loaded', load], ['created', create]]) {
        const job = await make()
        await visit((req, res) => {
          req.session.update('views', (views) => views + 1)
          req.session.cart = [member]
          res.end('ok')
        })
        job[member] = true
        assert.equal(await job.updateNow('views', (views) => views + 10), member === 'loaded' ? 11 : 22)
        assert.deepEqual(job.cart, [member])
        job.update('views', (views) => views)
        await job.save()
      }
      const { cookie, ...data } = await stored()
      assert.deepEqual(data, { views: 22, cart: ['created'], loaded: true, created: true })
      assert.equal(cookie.path, '/')

      const late = [await load(), await create(), await load(), await create()]
      await visit(async (req, res) => {
        await req.session.destroy()
        res.end('bye')
      })
      for (const job of late.slice(0, 2)) {
        job.late = true
        await assert.rejects(job.save(), { code: 'ERR_SESSION_ENDED' })
        assert.equal(job.ended, 'elsewhere')
      }
      for (const job of late.slice(2)) await assert.rejects(job.updateNow('late', () => 1), { code: 'ERR_SESSION_ENDED' })
      assert.equal(await stored() ?? null, null)
      assert.equal(await load() ?? null, null)
      await close()
    })

    if (server === 'memcached') {
      test('a lock is refused', async () => {
        const { visit, close } = await setUp(open, limits)
        await visit(async (req, res) => {
          await assert.rejects(req.session.lock(), { code: 'ERR_STORE_UNSUPPORTED' })
          res.end('ok')
        })
        await close()
      })
      return
    }

    test('a lock lets requests through one after the other, each with a higher number', async () => {
      const { visit, stored, close } = await setUp(open, limits)
      const tokens = []
      let inside = 0
      await Promise.all(Array.from({ length: 6 }, () => visit(async (req, res) => {
        const lock = await req.session.lock()
        inside += 1
        assert.equal(inside, 1)
        tokens.push(lock.fencingToken)
        assert.ok(lock.remaining > 0)
        // The session is as it is stored now: a plain count loses nothing.
        const { views } = req.session
        await new Promise((resolve) => setImmediate(resolve))
        req.session.views = views + 1
        inside -= 1
        await lock.unlock()
        res.end('ok')
      })))
      assert.deepEqual(tokens, [...new Set(tokens)].sort((a, b) => a - b))
      assert.equal((await stored()).views, 6)
      await close()
    })

    test('a lock is taken once, waited for as long as asked, renewed, and ends with the response', async () => {
      const { visit, close } = await setUp(open, limits)
      await visit(async (req, res) => {
        const lock = await req.session.lock()
        await assert.rejects(req.session.lock(), { code: 'ERR_SESSION_LOCKED_TWICE' })
        await visit(async (other, end) => {
          await assert.rejects(other.session.lock({ wait: 1 }), { code: 'ERR_SESSION_LOCKED' })
          end.end('ok')
        })
        await lock.renew()
        res.end('ok')
      })
      await visit(async (req, res) => {
        const lock = await req.session.lock()
        await lock.unlock()
        await assert.rejects(lock.renew(), { code: 'ERR_SESSION_LOCK_LOST' })
        const listeners = res.listenerCount('finish')
        for (let again = 0; again < 3; again += 1) await (await req.session.lock()).unlock()
        assert.equal(res.listenerCount('finish'), listeners)
        res.end('ok')
      })
      await close()
    })

    test('nothing is written under a lock whose lease has run out', async () => {
      const { visit, stored, close } = await setUp(open, limits)
      await visit(async (req, res) => {
        await req.session.lock({ lease: 1 })
        const other = await visit(async (other, end) => {
          await other.session.lock({ wait: 5000 })
          other.session.views = 2
          end.end('ok')
        })
        assert.equal(other.status[0], 200)
        req.session.views = 1
        await assert.rejects(req.session.save(), { code: 'ERR_SESSION_LOCK_LOST' })
        res.end('ok')
      })
      assert.equal((await stored()).views, 2)
      await close()
    })
  })
}

const [[, openMemory]] = allStores('options')

test('integrity with a store that cannot merge is refused, with what to use instead', () => {
  const refused = (more) => thrown(() => session(options({ integrity: true, ...more })))
  const expected = /^TypeError: integrity option: the store has no conditional writes: use one of express-session-rs\/stores/
  assert.match(refused({}), expected)
  assert.match(refused({ store: new session.MemoryStore() }), expected)
  const serializer = { parse: JSON.parse, stringify: JSON.stringify }
  assert.match(refused({ store: new RedisStore({ serializer }) }), expected)
  assert.equal(refused({ store: openMemory() }), 'nothing thrown')
})

test('integrity with a store whose methods are overridden is refused: they would not be called', () => {
  const refused = (store, more = { integrity: true }) => thrown(() => session(options({ store, ...more })))
  for (const method of ['get', 'set', 'touch', 'destroy', 'regenerate']) {
    class Audited extends MemoryStore {
      [method](...args) {
        return super[method](...args)
      }
    }
    const patched = new MemoryStore()
    patched[method] = MemoryStore.prototype[method].bind(patched)
    for (const store of [new Audited(), patched]) {
      const message = refused(store)
      const start = `^TypeError: integrity option: the store's ${method} is overridden,.* leave ${method} `
      assert.match(message, new RegExp(start))
      assert.match(refused(store, { departures: ['mergeChanges'] }), /^TypeError: departures option: the store's/)
      assert.equal(refused(store, {}), 'nothing thrown')
    }
  }
  class Named extends MemoryStore {
    all(fn) {
      return super.all(fn)
    }
  }
  assert.equal(refused(new Named()), 'nothing thrown')
})

test('integrity with a store of another copy of the package is refused with the reason', () => {
  const other = openRealm().load('lib/stores.js')
  const refused = (store, more) => thrown(() => session(options({ store, ...more })))
  const store = new other.MemoryStore()
  assert.match(refused(store, { integrity: true }), /^TypeError: integrity option: the store belongs to another copy of/)
  assert.match(refused(store, { departures: ['uniqueIds'] }), /^TypeError: departures option: the store belongs to another/)
  assert.equal(refused(store, { departures: ['clearCookie'] }), 'nothing thrown')
})

test('the departures of integrity can be turned on one by one', async () => {
  const { visit, stored } = await setUp(openMemory, { integrity: false, departures: ['mergeChanges'] })
  const meet = meeting(2)
  await Promise.all(['a', 'b'].map((member) => visit(async (req, res) => {
    req.session[member] = 1
    await meet()
    await req.session.save()
    res.end('ok')
  })))
  const { cookie: _, ...data } = await stored()
  assert.deepEqual(data, { views: 0, cart: ['apple'], a: 1, b: 1 })
})

test('every departure can be on together with integrity', async () => {
  const departures = [
    'pathMatch', 'duplicateCookies', 'cookieFunctionAuto', 'cookieChangesSaved', 'skipUnreachableSessions',
    'saveSendsCookie', 'singleWrite', 'singleDestroy', 'clearCookie'
  ]
  const { visit, stored } = await setUp(openMemory, { departures })
  const meet = meeting(4)
  await Promise.all([1, 2, 3, 4].map(() => visit(async (req, res) => {
    req.session.update('views', (views) => views + 1)
    await meet()
    await req.session.save()
    res.end('ok')
  })))
  assert.equal((await stored()).views, 4)
  const { cookies } = await visit(async (req, res) => {
    await req.session.destroy()
    res.end('bye')
  })
  assert.match(cookies[0], /^connect\.sid=;/)
  assert.equal(await stored() ?? null, null)
})

// A request that goes on after another one has changed the session, which it has loaded before.
async function overtaken(visit, other, handler) {
  const met = meeting(2)
  let changed
  const isChanged = new Promise((resolve) => (changed = resolve))
  await Promise.all([
    visit(async (req, res) => {
      await met()
      await isChanged
      await handler(req.session)
      res.end('ok')
    }),
    visit(async (req, res) => {
      await met()
      await other(req.session)
      await req.session?.save()
      changed()
      res.end('ok')
    })
  ])
}

test('an update during the request’s own save loses neither its own changes nor those of others', async () => {
  const { visit, stored } = await setUp(openMemory)
  await overtaken(
    visit,
    (session) => session.update('views', (views) => views + 10),
    async (session) => {
      session.update('views', (views) => views + 1)
      const saving = session.save()
      assert.equal(session.update('views', (views) => views + 1), 12)
      await saving
    }
  )
  assert.equal((await stored()).views, 12)
})

test('takeOnce during the request’s own save takes nothing that another request has taken', async () => {
  const { visit } = await setUp(openMemory)
  const taken = []
  await overtaken(
    visit,
    async (session) => taken.push(await session.takeOnce('cart')),
    async (session) => {
      session.more = true
      const saving = session.save()
      taken.push(await session.takeOnce('cart'))
      await saving
    }
  )
  assert.deepEqual(taken, [['apple'], undefined])
})

test('an unhandled rejection of a method does not end the process', async () => {
  const { visit } = await setUp(openMemory)
  await overtaken(visit, (session) => session.destroy(), async (session) => {
    session.updateNow('views', () => 1)
    session.takeOnce('views')
    session.lock({ wait: 0 })
    assert.throws(() => session.update('cart', async () => { throw new Error('later') }), TypeError)
    await new Promise((resolve) => setImmediate(resolve))
  })
})

test('a session whose regenerate fails goes on', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'express-session-regenerate-'))
  const { visit, id, stored, close } = await setUp(() => new FileStore({ path: folder }))
  const { body } = await visit(async (req, res) => {
    // A full folder, which cannot be removed as a file, stands in its place.
    const file = join(folder, `${id()}.json`)
    const text = await readFile(file)
    await rm(file)
    await mkdir(join(file, 'full'), { recursive: true })
    await assert.rejects(req.session.regenerate(), { code: /^ERR_STORE/ })
    await rm(file, { recursive: true })
    await writeFile(file, text)
    assert.equal(req.session.ended, undefined)
    req.session.views += 1
    res.end('ok')
  })
  assert.equal(body, 'ok')
  assert.equal((await stored()).views, 1)
  await close()
  await rm(folder, { recursive: true })
})

test('a client that goes away does not end the lock of the handler that still runs', async () => {
  const { visit } = await setUp(openMemory)
  await visit(async (req, res) => {
    const lock = await req.session.lock()
    res.emit('close')
    assert.ok(lock.remaining > 0)
    req.session.views += 1
    await lock.unlock()
    res.end('ok')
  })
})

test('a lock needs no response, as of a WebSocket, and is given back if the response refuses', async () => {
  const { stores, visit, id, close } = await setUp(openMemory)
  const cookie = cookieOf(session, id())
  const lockIn = async (res) => {
    const { req } = exchange({ headers: { cookie } })
    await new Promise((resolve) => session(options({ store: stores[0], integrity: true }))(req, res, resolve))
    return req.session.lock()
  }
  const lock = await lockIn({})
  await visit(async (other, end) => {
    await assert.rejects(other.session.lock({ wait: 1 }), { code: 'ERR_SESSION_LOCKED' })
    end.end('ok')
  })
  await lock.unlock()
  await assert.rejects(lockIn({ once() { throw new Error('no event') } }), { message: 'no event' })
  await visit(async (other, end) => {
    await (await other.session.lock({ wait: 1 })).unlock()
    end.end('ok')
  })
  await close()
})

test('a session that the application has made in a request is tracked too', async () => {
  const { visit, stored, close } = await setUp(openMemory)
  await visit(async (req, res) => {
    const { sessionStore } = req
    const made = sessionStore.createSession(req, await stored())
    assert.equal(req.session, made)
    await visit((other, end) => {
      other.session.theirs = 1
      end.end('ok')
    })
    assert.throws(() => made.update('views', () => 1), { code: 'ERR_SESSION_UNREAD' })
    const lock = await made.lock()
    assert.equal(made.theirs, 1)
    made.update('views', (views) => views + 1)
    await lock.unlock()
    made.last = true
    res.end('ok')
  })
  const { cookie: _, ...data } = await stored()
  assert.deepEqual(data, { views: 1, cart: ['apple'], theirs: 1, last: true })
  await close()
})

test('without destroyIsFinal, a session that the application has made is stored again', async () => {
  const { stores: [store], id, close } = await setUp(openMemory, { integrity: false, departures: ['mergeChanges'] })
  const job = store.createSession({ sessionID: id(), sessionStore: store }, await store.get(id()))
  await store.destroy(id())
  job.again = true
  await job.save()
  assert.equal((await store.get(id())).again, true)
  await close()
})

test('without destroyIsFinal, a session that is over is not stored again', async (t) => {
  const more = { integrity: false, departures: ['mergeChanges'], cookie: { maxAge: 60_000 } }
  const { stores: [store], id, stored, close } = await setUp(openMemory, more)
  const job = store.createSession({ sessionID: id(), sessionStore: store }, await stored())
  await store.destroy(id())
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 61_000 })
  job.again = true
  await assert.rejects(job.save(), { code: 'ERR_SESSION_ENDED' })
  assert.equal(await stored(), null)
  await close()
})

test('a middleware without integrity keeps its sessions on a store of one with it', async () => {
  const { stores: [store], id, close } = await setUp(openMemory)
  const use = session(options({ store }))
  const headers = { cookie: cookieOf(session, id()) }
  await answer(use, { headers }, async (req, res) => {
    assert.equal(req.session.update, undefined)
    await req.session.reload()
    assert.equal(req.session.update, undefined)
    await store.destroy(id())
    await req.session.save()
    res.end('ok')
  })
  assert.equal((await store.get(id())).views, 0)
  await close()
})

test('load calls back with errors, and needs a session id', async () => {
  const { stores: [store], close } = await setUp(openMemory)
  const load = (id) => new Promise((resolve, reject) => {
    store.load(id, (error, found) => (error ? reject(error) : resolve(found)))
  })
  assert.equal(await load('unknown'), undefined)
  await assert.rejects(load(''), { code: 'ERR_STORE_UNSUITABLE' })
  await assert.rejects(load(5), { code: 'ERR_STORE_UNSUITABLE' })
  await close()
})

test('times of a lock that no timer takes are refused', async () => {
  const { visit } = await setUp(openMemory)
  await visit(async (req, res) => {
    for (const times of [{ wait: '5s' }, { wait: NaN }, { wait: -1 }, { lease: 0 }, { lease: NaN }, { lease: Infinity }]) {
      await assert.rejects(req.session.lock(times), TypeError, JSON.stringify(times))
    }
    const lock = await req.session.lock({ wait: 0, lease: 1000 })
    assert.ok(lock.remaining > 0)
    await lock.unlock()
    assert.equal(lock.remaining, 0)
    res.end('ok')
  })
})

test('members with the names of the methods are kept', async () => {
  const { visit, stored } = await setUp(openMemory)
  const members = { update: 1, updateNow: 2, takeOnce: 3, lock: 4, ended: 5 }
  await visit((req, res) => {
    Object.assign(req.session, members)
    res.end('ok')
  })
  await visit((req, res) => {
    req.session.more = req.session.update
    res.end('ok')
  })
  const { cookie: _, ...data } = await stored()
  assert.deepEqual(data, { views: 0, cart: ['apple'], ...members, more: 1 })
})

test('an update finds members with the names of methods, and refuses names that a session cannot load', async () => {
  const { visit, stored } = await setUp(openMemory)
  await visit((req, res) => {
    const { session } = req
    for (const key of ['lock', 'ended']) session.update(key, (count = 0) => count + 1)
    for (const key of ['cookie', 'id', 'req', 'save', 'toString', '__proto__', 7]) {
      assert.throws(() => session.update(key, () => 1), { code: 'ERR_INVALID_ARG_VALUE' }, key)
    }
    res.end('ok')
  })
  const { cookie: _, ...data } = await stored()
  assert.deepEqual(data, { views: 0, cart: ['apple'], lock: 1, ended: 1 })
})

test('a record that cannot be merged is refused each time, and stays', async () => {
  const { visit, stores, stored, id } = await setUp(openMemory, { integrity: false, departures: ['mergeChanges'] })
  const members = Object.fromEntries(Array.from({ length: 10_001 }, (_, at) => [`member${at}`, at]))
  await stores[0].set(id(), { cookie: (await stored()).cookie, ...members })
  await visit(async (req, res) => {
    req.session.late = true
    for (const _ of [1, 2]) await assert.rejects(req.session.save(), { code: 'ERR_STORE_UNSUITABLE' })
    res.end('ok')
  })
  const { cookie: _, ...data } = await stored()
  assert.deepEqual(data, members)
})

// The addon keeps the text of a record that `JSON.stringify` writes in the same way, and gets that of any other.
test('what a request leaves alone is not written, however the record writes it', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'integrity-'))
  t.after(() => rm(folder, { recursive: true }))
  const { visit, id, stored, close } = await setUp(() => new FileStore({ path: folder }))
  const file = join(folder, `${id()}.json`)
  const cookie = '"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}'
  for (const [text, left] of [
    [`{${cookie},"views":1,"other":{"b":2}}`, { b: 2 }],
    [`{ ${cookie}, "views": 1, "other": 1.0 }`, 1],
    [`{${cookie},"views":7,"other":"\\u0041","views":1}`, 'A'],
    [`{"other":[1],${cookie},"views":1}`, [1]],
    [`{${cookie},"other":0,"x":{"views":1},"views":1,"other":null}`, null]
  ]) {
    await writeFile(file, text)
    const meet = meeting(2)
    const [one] = await Promise.all([
      visit(async (req, res) => {
        assert.deepEqual(req.session.other, left)
        await meet()
        req.session.views += 1
        res.end('ok')
      }),
      visit(async (req, res) => {
        await meet()
        req.session.other = 'theirs'
        await req.session.save()
        res.end('ok')
      })
    ])
    assert.deepEqual(one.errors, [])
    const { views, other } = await stored()
    assert.deepEqual([views, other], [2, 'theirs'], text)
  }
  await close()
})

test('a lock of a session that another request has ended tells so', async () => {
  const { visit } = await setUp(openMemory)
  await visit(async (req, res) => {
    await visit(async (other, end) => {
      await other.session.destroy()
      end.end('bye')
    })
    await assert.rejects(req.session.lock(), { code: 'ERR_SESSION_ENDED' })
    assert.equal(req.session.ended, 'elsewhere')
    res.end('ok')
  })
})

test('a lifetime that a request has changed reaches the store', async () => {
  const { visit, stored } = await setUp(openMemory, { cookie: { maxAge: 60_000 } })
  await visit((req, res) => {
    req.session.cookie.maxAge = 5000
    res.end('ok')
  })
  assert.equal((await stored()).cookie.originalMaxAge, 5000)
})

test('a touch leaves the lifetime that another request has changed meanwhile', async () => {
  const { visit, stored } = await setUp(openMemory, { cookie: { maxAge: 60_000 } })
  await visit(async (_, res) => {
    await visit((req, res) => {
      req.session.cookie.maxAge = 600_000
      req.session.views = 1
      res.end('ok')
    })
    res.end('ok')
  })
  assert.equal((await stored()).cookie.originalMaxAge, 600_000)
})

test('a touch leaves the lifetime that another request has changed after a save', async () => {
  const { visit, stored } = await setUp(openMemory, { cookie: { maxAge: 60_000 } })
  await visit(async (req, res) => {
    req.session.cookie.maxAge = 5000
    await req.session.save()
    await visit(async (req, res) => {
      assert.equal(req.session.cookie.originalMaxAge, 5000)
      req.session.cookie.maxAge = 600_000
      await req.session.save()
      res.end('ok')
    })
    res.end('ok')
  })
  assert.equal((await stored()).cookie.originalMaxAge, 600_000)
})

test('a lifetime that a request has changed after a save reaches the store', async () => {
  const { visit, stored } = await setUp(openMemory, { cookie: { maxAge: 60_000 } })
  await visit(async (req, res) => {
    await req.session.save()
    req.session.cookie.maxAge = 5000
    res.end('ok')
  })
  assert.equal((await stored()).cookie.originalMaxAge, 5000)
})

test('a plain session has no members of integrity', async () => {
  const use = session(options({ store: openMemory() }))
  await answer(use, {}, (req, res) => {
    assert.equal(req.session.update, undefined)
    assert.equal(req.session.ended, undefined)
    res.end('ok')
  })
})

test('an update that throws leaves the session alone, and its error reaches the caller', async () => {
  const { visit, stored } = await setUp(openMemory)
  const refuse = (views) => {
    if (views > 4) throw new RangeError('too many')
    return views + 1
  }
  await visit(async (req, res) => {
    req.session.update('views', refuse)
    await visit((other, end) => {
      other.session.views = 7
      end.end('ok')
    })
    await assert.rejects(req.session.save(), new RangeError('too many'))
    assert.throws(() => req.session.update('cookie', (value) => value), { code: 'ERR_INVALID_ARG_VALUE' })
    assert.throws(() => req.session.update('views', async () => 1), /must not be asynchronous/)
    await req.session.reload()
    assert.equal(req.session.views, 7)
    res.end('ok')
  })
  assert.equal((await stored()).views, 7)
})

test('the function of an update runs in the async context of its call, each time', async () => {
  const { visit, stored, close } = await setUp(openMemory)
  const storage = new AsyncLocalStorage()
  const seen = []
  await visit(async (req, res) => {
    storage.run('mine', () => req.session.update('views', (views) => {
      seen.push(storage.getStore())
      return views + 1
    }))
    await visit((other, end) => {
      other.session.views = 10
      end.end('ok')
    })
    await storage.run('another', () => req.session.save())
    res.end('ok')
  })
  assert.deepEqual(seen, ['mine', 'mine'])
  assert.equal((await stored()).views, 11)
  await close()
})

test('the function of an update must not use the session when it is applied again', async () => {
  for (const use of [
    (session) => session.update('cart', () => []),
    (session) => session.destroy(),
    (session) => session.lock()
  ]) {
    const { visit, stored } = await setUp(openMemory)
    let used
    await visit(async (req, res) => {
      const { session } = req
      let isFirst = true
      session.update('views', (views) => {
        if (!isFirst) used = use(session)
        isFirst = false
        return views + 1
      })
      await visit((other, end) => {
        other.session.views = 7
        end.end('ok')
      })
      const saved = await session.save().catch((error) => error)
      const { code } = saved ?? (await used.catch((error) => error))
      assert.equal(code, 'ERR_SESSION_UPDATE')
      res.end('ok')
    })
    assert.notEqual(await stored() ?? null, null)
  }
})

test('a session that the request has destroyed is not stored by a later save, even if it never was', async () => {
  const { visit, stored } = await setUp(openMemory)
  for (const isNew of [false, true]) {
    await visit(async (req, res) => {
      if (isNew) await req.session.regenerate()
      const { session, sessionID } = req
      session.late = 1
      await session.destroy()
      await assert.rejects(session.save(), { code: 'ERR_SESSION_ENDED' })
      assert.throws(() => session.update('late', () => 2), { code: 'ERR_SESSION_ENDED' })
      assert.equal(session.ended, 'destroyed')
      assert.equal(await req.sessionStore.get(sessionID) ?? null, null)
      res.end('ok')
    })
  }
  assert.equal(await stored() ?? null, null)
})

// A session whose first save times out in Redis, and which every request below belongs to.
async function setUpLate(t, prefix, more) {
  const proxy = await proxied(urls.redis)
  const store = new RedisStore({ url: proxy.url, prefix, timeout: 300 })
  t.after(async () => {
    await store.close()
    await proxy.shut()
  })
  // A connection, and all that is found out about the server.
  await store.set('warm', { cookie: new session.Cookie() })
  await store.length()
  const use = session({ ...options({ store, integrity: true, ...more }), genid: more?.genid })
  const failing = async (fault, save) => {
    proxy[fault] = true
    await assert.rejects(save, { code: 'ERR_STORE_TIMED_OUT' })
    proxy[fault] = false
    // Until the store asks the server again.
    for (;;) {
      try {
        return await store.length()
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  }
  const visit = (cookie, handler) => answer(use, { headers: { cookie: cookie.split(';')[0] } }, handler)
  return { proxy, store, use, failing, visit }
}

const EARLY = ['saveBeforeResponse', 'reportStoreErrors']
const late = { skip: missingServer('redis') }

test('audit m5: a first save that arrives after the logout does not bring the session back', late, async (t) => {
  const { proxy, store, use, failing, visit } = await setUpLate(t, 'm5:', { departures: EARLY })
  const ids = []
  const login = await answer(use, {}, async (req, res) => {
    await req.session.regenerate()
    const { session } = req
    session.user = 'bob'
    ids.push(req.sessionID)
    await failing('holds', session.save())
    await session.save()
    ids.push(req.sessionID)
    assert.equal(session, req.session)
    assert.equal(session.id, req.sessionID)
    // It is as any other from here on.
    session.cart = ['apple']
    session.update('views', (views = 0) => views + 1)
    res.end('ok')
  })
  assert.notEqual(ids[0], ids[1])
  assert.ok(login.cookies[0].includes(ids[1]))
  assert.deepEqual((await store.get(ids[1])).cart, ['apple'])
  const user = async () => {
    let user
    await visit(login.cookies[0], (req, res) => {
      user = req.session.user
      res.end('ok')
    })
    return user
  }
  assert.equal(await user(), 'bob')
  await visit(login.cookies[0], async (req, res) => {
    await req.session.destroy()
    res.end('ok')
  })
  proxy.release()
  while (!(await store.get(ids[0]))) await new Promise((resolve) => setTimeout(resolve, 10))
  assert.equal(await user(), undefined)
})

test('audit m5: a session whose id has left is not created again', late, async (t) => {
  const { store, use, failing } = await setUpLate(t, 'm5left:', { departures: EARLY })
  let id
  await answer(use, {}, async (req, res) => {
    req.session.user = 'bob'
    id = req.sessionID
    res.write('begun')
    await failing('holds', req.session.save())
    await assert.rejects(req.session.save(), { code: 'ERR_SESSION_CONFLICT' })
    assert.equal(req.sessionID, id)
    res.end('ok')
  })
  assert.equal(await store.get(id), null)
})

test('audit m5: a generator that gives one id again, and a session that can get no other', late, async (t) => {
  const { use, failing } = await setUpLate(t, 'm5id:', { departures: EARLY, genid: () => 'always-the-same' })
  for (const prepare of [() => {}, (session) => Object.defineProperty(session, 'id', { configurable: false })]) {
    await answer(use, {}, async (req, res) => {
      req.session.user = 'bob'
      prepare(req.session)
      await failing('holds', req.session.save())
      await assert.rejects(req.session.save(), { code: 'ERR_SESSION_CONFLICT' })
      res.end('ok')
    })
  }
})

test('audit m5: a lock is given back under the id that it was taken for', late, async (t) => {
  const { store, use, failing } = await setUpLate(t, 'm5lock:', { departures: EARLY })
  let id
  await answer(use, {}, async (req, res) => {
    id = req.sessionID
    const lock = await req.session.lock()
    req.session.user = 'bob'
    await failing('holds', req.session.save())
    await req.session.save()
    assert.notEqual(req.sessionID, id)
    await lock.unlock()
    res.end('ok')
  })
  const again = session({ ...options({ store, integrity: true }), genid: () => id })
  await answer(again, {}, async (req, res) => {
    await req.session.lock({ wait: 0 })
    res.end('ok')
  })
})

test('audit m10: a count is not lost to another request that has written the same text', late, async (t) => {
  const { store, use, failing, visit } = await setUpLate(t, 'm10:')
  const count = (views = 0) => views + 1
  let id
  await answer(use, {}, async (req, res) => {
    id = req.sessionID
    req.session.update('views', count)
    await failing('mutes', req.session.save())
    const { cookie } = await firstPart(req, res)
    let counted
    await visit(cookie, async (req, res) => {
      counted = await req.session.updateNow('views', count)
      res.end('ok')
    })
    assert.equal(counted, 2)
    req.session.update('views', count)
    await assert.rejects(req.session.save(), { code: 'ERR_SESSION_CONFLICT' })
    res.end('ok')
  })
  assert.equal((await store.get(id)).views, 2)
})

// Sends the headers, and returns the session's cookie among them.
function firstPart(req, res) {
  res.write('begun')
  return { cookie: [res.getHeader('Set-Cookie')].flat()[0] }
}

test('audit l4: of a session’s updates only those are kept that a save may need', async () => {
  const kept = new updates.Updates()
  const numbers = []
  for (let round = 0; round < 100; round += 1) {
    for (let i = 0; i < 100; i += 1) numbers.push(kept.add(() => numbers.length))
    const refused = kept.add(() => {})
    kept.takeBack(refused)
    assert.equal(kept.next, refused)
    // Ten come while the save is under way.
    kept.forget(kept.next - 10)
    assert.equal(kept.size, 10)
    kept.forget(kept.next - 10)
    assert.equal(kept.get(numbers.at(-1))(), numbers.length)
    assert.equal(kept.get(numbers.at(-11)), undefined)
  }
  assert.deepEqual(numbers, numbers.map((_, at) => at))
})
