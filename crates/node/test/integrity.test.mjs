// The option `integrity`: nothing is lost between overlapping requests, and a logout is final, on every store.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import session from 'express-session-rs'
import { RedisStore } from 'express-session-rs/stores'
import { missingServer } from '../testing/servers.mjs'
import { options, thrown } from '../testing/sides.mjs'
import { allStores } from '../testing/stores.mjs'
import { answer } from '../testing/wire.mjs'

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
    stored: () => stores[0].get(id),
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

for (const [name, open, server] of allStores('integrity')) {
  describe(name, { skip: missingServer(server) }, () => {
    test('no update of overlapping requests is lost', async () => {
      const { visit, stored, close } = await setUp(open)
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
      const { visit, stored, close } = await setUp(open)
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
      const { visit, stored, close } = await setUp(open)
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
      const { visit, stored, close } = await setUp(open)
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
      const { visit, stored, close } = await setUp(open)
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
      const { visit, stored, close } = await setUp(open)
      await visit(async (req, res) => {
        const { session } = req
        const operations = []
        for (const number of [1, 2, 3, 4]) {
          session[`member${number}`] = number
          operations.push(session.save(), session.updateNow('views', (views) => views + 1))
          if (number === 2 && name !== 'memcached') operations.push(session.lock().then((lock) => lock.unlock()))
        }
        await Promise.all(operations)
        res.end('ok')
      })
      const { cookie: _, cart: __, ...data } = await stored()
      assert.deepEqual(data, { views: 4, member1: 1, member2: 2, member3: 3, member4: 4 })
      await close()
    })

    test('regenerate ends the old session for all requests, and the new one is its own', async () => {
      const { visit, stored, stores, close } = await setUp(open)
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

    if (name === 'memcached') {
      test('a lock is refused', async () => {
        const { visit, close } = await setUp(open)
        await visit(async (req, res) => {
          await assert.rejects(req.session.lock(), { code: 'ERR_STORE_UNSUPPORTED' })
          res.end('ok')
        })
        await close()
      })
      return
    }

    test('a lock lets requests through one after the other, each with a higher number', async () => {
      const { visit, stored, close } = await setUp(open)
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
      const { visit, close } = await setUp(open)
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
      const { visit, stored, close } = await setUp(open)
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

test('a session that is only read is loaded and touched in one call', async () => {
  const store = openMemory()
  const calls = []
  for (const method of ['get', 'set', 'touch', 'destroy']) store[method] = () => calls.push(method)
  const { visit } = await setUp(() => store, { cookie: { maxAge: 60_000 } })
  const { cookies } = await visit((req, res) => res.end(String(req.session.views)))
  assert.deepEqual([cookies, calls], [[], []])
})
