// The renewal of a session's id, and the requests under its old one.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'

import session from 'express-session-rs'
import { MemoryStore } from 'express-session-rs/stores'
import { missingServer } from '../testing/servers.mjs'
import { options, recordCalls } from '../testing/sides.mjs'
import { allStores } from '../testing/stores.mjs'
import { Visitor } from '../testing/visits.mjs'

const BEGINNING = 1_700_000_000_000
const [SECOND, MINUTE, HOUR, DAY] = [1000, 60_000, 3_600_000, 86_400_000]
const GRACE = 30 * SECOND

const clock = { now: BEGINNING }
Date.now = () => clock.now

const visitor = (more) => new Visitor(clock, BEGINNING, { renewAfter: 15 * MINUTE, ...more })

function count(req) {
  req.session.views = (req.session.views ?? 0) + 1
}

// Returns a visitor that only follows what others renew, with the cookie of another one.
function follower(browser, more) {
  const other = new Visitor(clock, BEGINNING, { metadata: true, store: browser.store, ...more })
  other.cookie = browser.cookie
  return other
}

// Returns a visitor who has a session with one view, and the cookie of that before its id was renewed.
async function renewed(more) {
  const browser = visitor(more)
  await browser.visit(0, count)
  const { id, cookie } = browser
  await browser.visit(MINUTE, (req) => req.session.renewId())
  return { browser, id, cookie }
}

describe('renewId', () => {
  for (const [name, open, server] of allStores('renewal')) {
    test(`${name}: the session goes on under the new id, and the old one forwards for the grace period`, { skip: missingServer(server) }, async () => {
      const browser = visitor({ store: open() })
      await browser.visit(0, count)
      const { id, cookie } = browser
      const got = await browser.visit(MINUTE, async (req) => {
        const own = req.session
        count(req)
        await own.renewId()
        assert.equal(req.session, own)
        assert.ok(own.id !== id && own.id === req.sessionID)
      })
      assert.ok(got.cookies.length === 1 && browser.cookie !== cookie && browser.id !== id)
      const at = BEGINNING + MINUTE
      assert.deepEqual(JSON.parse(await browser.record()).__sessionMetadata, { created: BEGINNING, seen: at, renewed: at })
      assert.equal(JSON.parse(await browser.record()).views, 2)
      const { cookie: _, ...forward } = JSON.parse(await browser.record(id))
      const member = { created: BEGINNING, seen: at, movedTo: browser.id, movedUntil: at + GRACE }
      assert.deepEqual(forward, { __sessionMetadata: member })

      // Under the old id the session is the same, and the response has the new cookie.
      for (const other of [follower(browser), visitor({ store: browser.store })]) {
        other.cookie = cookie
        const again = await other.visit(MINUTE + SECOND, (req) => {
          assert.deepEqual([req.session.views, req.session.id, req.sessionID], [2, browser.id, browser.id])
        })
        assert.equal(again.cookies.length, 1)
        assert.equal(other.cookie, browser.cookie)
        // With the new one it is as any other.
        assert.deepEqual((await other.visit(MINUTE + SECOND, (req) => assert.equal(req.session.views, 2))).cookies, [])
      }
      // Afterwards the old id leads nowhere.
      const late = follower(browser)
      late.cookie = cookie
      await late.visit(MINUTE + GRACE, (req) => {
        assert.deepEqual([req.session.views, req.session.endedBy], [undefined, undefined])
        assert.notEqual(req.session.id, browser.id)
      })
      await browser.store.close()
    })
  }

  test('what was changed before is stored once, and what comes after as usual', async () => {
    const browser = visitor()
    await browser.visit(0, count)
    await browser.visit(SECOND, async (req) => {
      count(req)
      await req.session.renewId()
      count(req)
    })
    await browser.visit(2 * SECOND, (req) => assert.equal(req.session.views, 3))
  })

  test('a session that was never stored only takes the new id', async () => {
    const browser = visitor()
    await browser.visit(0, async (req) => {
      const { id } = req.session
      count(req)
      await req.session.renewId()
      assert.ok(req.session.id !== id && req.sessionID === req.session.id)
      assert.equal(await browser.record(req.session.id), undefined)
    })
    await browser.visit(SECOND, (req) => assert.equal(req.session.views, 1))
    assert.equal(JSON.parse(await browser.record()).__sessionMetadata.renewed, undefined)
  })

  test('it needs its option, the headers to come, and no lock', async () => {
    const plain = new Visitor(clock, BEGINNING, { metadata: true })
    await plain.visit(0, (req) => assert.rejects(req.session.renewId(), { code: 'ERR_SESSION_NO_RENEWAL' }))
    const browser = visitor()
    await browser.visit(0, count)
    const { id } = browser
    await browser.visit(SECOND, async (req, res) => {
      const lock = await req.session.lock()
      await assert.rejects(req.session.renewId(), { code: 'ERR_SESSION_LOCKED_TWICE' })
      await lock.unlock()
      res.write('…')
      await assert.rejects(req.session.renewId(), { code: 'ERR_SESSION_COOKIE_NOT_SENT' })
      assert.equal(req.session.id, id)
    })
    const grace = new Visitor(clock, BEGINNING, { renewalGrace: MINUTE })
    await grace.visit(0, count)
    const { id: old } = grace
    await grace.visit(HOUR, () => {})
    assert.equal(grace.id, old)
    await grace.visit(HOUR, (req) => req.session.renewId())
    assert.equal(JSON.parse(await grace.record(old)).__sessionMetadata.movedUntil, BEGINNING + HOUR + MINUTE)
  })

  test('two at the same time end with one id', async () => {
    for (const change of [() => {}, count]) {
      const browser = visitor()
      await browser.visit(0, count)
      const { id, cookie } = browser
      let first
      await browser.visit(SECOND, async (req) => {
        const other = visitor({ store: browser.store })
        other.cookie = cookie
        await other.visit(SECOND, (req) => req.session.renewId())
        first = other.id
        change(req)
        await req.session.renewId()
      })
      assert.equal(browser.id, first)
      const ids = await browser.store.ids()
      assert.deepEqual(ids.sort(), [id, first].sort())
      await browser.visit(2 * SECOND, (req) => assert.equal(req.session.views, change === count ? 2 : 1))
    }
  })
})

describe('renewAfter', () => {
  test('a request renews an older id by itself, and keeps what it has changed', async () => {
    for (const change of [() => {}, count]) {
      const browser = visitor({ touchAfter: MINUTE })
      await browser.visit(0, count)
      const { id } = browser
      assert.deepEqual((await browser.visit(15 * MINUTE - 1)).cookies, [])
      assert.equal(browser.id, id)
      const got = await browser.visit(15 * MINUTE, change)
      assert.equal(got.cookies.length, 1)
      const [pair] = got.cookies[0].split(';')
      browser.cookie = pair
      await browser.visit(15 * MINUTE + 1, (req) => {
        assert.notEqual(req.session.id, id)
        assert.equal(req.session.views, change === count ? 2 : 1)
        assert.deepEqual(req.session.metadata.created, new Date(BEGINNING))
      })
      // The age of the id is that since its renewal.
      const { id: second } = browser
      await browser.visit(30 * MINUTE - 1)
      assert.equal(browser.id, second)
      await browser.visit(30 * MINUTE)
      await browser.visit(30 * MINUTE + 1)
      assert.notEqual(browser.id, second)
    }
  })

  test('not where the cookie cannot be sent, or the session is locked', async () => {
    const browser = visitor()
    await browser.visit(0, count)
    const { id } = browser
    const due = 20 * MINUTE
    await browser.visit(due, (req, res) => {
      res.writeHead(200)
      res.end('ok')
      return true
    })
    await browser.visit(due, async (req) => void (await req.session.lock()))
    assert.equal(JSON.parse(await browser.record(id)).views, 1)
    const insecure = visitor({ cookie: { secure: true }, store: browser.store })
    insecure.cookie = browser.cookie
    await insecure.visit(due, (req) => void (req.session.cookie.secure = true))
    assert.equal(JSON.parse(await browser.record(id)).views, 1)
    await browser.visit(due, (req) => {
      req.session.cookie.secure = false
      assert.equal(req.session.id, id)
    })
    assert.equal(JSON.parse(await browser.record(id)).views, undefined)
  })

  test('a session that another request has ended meanwhile is no error of a page that only reads', async () => {
    const browser = visitor()
    await browser.visit(0, count)
    const { id, cookie } = browser
    const got = await browser.visit(20 * MINUTE, async () => {
      const other = visitor({ store: browser.store })
      other.cookie = cookie
      await other.visit(20 * MINUTE, (req) => req.session.logout())
    })
    assert.deepEqual([got.cookies, got.errors], [[], []])
    assert.deepEqual(await browser.store.ids(), [])
    assert.equal(await browser.record(id), undefined)
  })

  test('the preset for an audit renews after a quarter of an hour, as in Rust', async () => {
    const secret = randomBytes(32).toString('hex')
    const store = new MemoryStore()
    const browser = new Visitor(clock, BEGINNING, { store, cookie: { secure: false } })
    browser.use = session.hardened({ secret, store, name: 'sid', cookie: { secure: false } })
    await browser.visit(0, count)
    const { id } = browser
    const visit = async (after) => {
      await browser.visit(after)
      return browser.id
    }
    assert.equal(await visit(15 * MINUTE - 1), id)
    await visit(15 * MINUTE)
    assert.notEqual(await visit(15 * MINUTE + 1), id)
  })
})

describe('a request under way while the id is renewed', () => {
  for (const [name, open, server] of allStores('moved')) {
    test(`${name}: what it saves is saved under the new id, and its response has the new cookie`, { skip: missingServer(server) }, async () => {
      for (const follows of [{ renewAfter: HOUR }, { metadata: true }]) {
        const browser = new Visitor(clock, BEGINNING, { store: open(), ...follows })
        await browser.visit(0, count)
        const { id, cookie } = browser
        const renewing = visitor({ store: browser.store })
        renewing.cookie = cookie
        const got = await browser.visit(SECOND, async (req) => {
          await renewing.visit(SECOND, async (other) => {
            other.session.theirs = 1
            await other.session.renewId()
          })
          count(req)
          req.session.own = 1
        })
        assert.notEqual(renewing.id, id)
        assert.equal(got.cookies.length, 1)
        assert.equal(browser.cookie, renewing.cookie)
        const { views, theirs, own } = JSON.parse(await browser.record(renewing.id))
        assert.deepEqual([views, theirs, own], [2, 1, 1])
        await browser.visit(2 * SECOND, (req) => {
          assert.deepEqual([req.session.id, req.session.views], [renewing.id, 2])
        })
        await browser.store.clear()
        await browser.store.close()
      }
    })

    test(`${name}: its logout ends the session, under both ids`, { skip: missingServer(server) }, async () => {
      for (const [end, isUser] of [['logout', false], ['destroy', false], ['regenerate', false], ['login', true]]) {
        const browser = visitor({ store: open() })
        await browser.visit(0, count)
        const { id, cookie } = browser
        const renewing = visitor({ store: browser.store })
        renewing.cookie = cookie
        await browser.visit(SECOND, async (req) => {
          await renewing.visit(SECOND, (other) => other.session.renewId())
          await req.session[end](...(isUser ? ['bob'] : []))
        })
        const { id: second } = renewing
        assert.notEqual(second, id)
        for (const old of [id, second]) assert.equal(await browser.record(old), undefined, end)
        await renewing.visit(2 * SECOND, (req) => assert.equal(req.session.views, undefined))
        await browser.store.clear()
        await browser.store.close()
      }
    })
  }

  test('update is applied to what the new id has, and updateNow and takeOnce too', async () => {
    const browser = visitor()
    await browser.visit(0, (req) => void Object.assign(req.session, { views: 1, token: 't' }))
    const { cookie } = browser
    const renewing = visitor({ store: browser.store })
    renewing.cookie = cookie
    await browser.visit(SECOND, async (req) => {
      await renewing.visit(SECOND, async (other) => {
        other.session.update('views', (n) => n + 10)
        await other.session.renewId()
      })
      assert.equal(await req.session.updateNow('views', (n) => n + 1), 12)
      assert.equal(await req.session.takeOnce('token'), 't')
      assert.equal(req.session.id, renewing.id)
    })
    const { views, token } = JSON.parse(await browser.record(renewing.id))
    assert.deepEqual([views, token], [12, undefined])
  })

  test('its lock is that of the new id', async () => {
    const browser = visitor()
    await browser.visit(0, count)
    const { cookie } = browser
    const renewing = visitor({ store: browser.store })
    renewing.cookie = cookie
    await browser.visit(SECOND, async (req) => {
      await renewing.visit(SECOND, async (other) => {
        other.session.theirs = 1
        await other.session.renewId()
      })
      const lock = await req.session.lock()
      assert.deepEqual([req.session.id, req.sessionID, req.session.theirs], [renewing.id, renewing.id, 1])
      await renewing.visit(2 * SECOND, async (other) => {
        await assert.rejects(other.session.lock({ wait: 0 }), { code: 'ERR_SESSION_LOCKED' })
      })
      count(req)
      await lock.unlock()
      await renewing.visit(2 * SECOND, async (other) => {
        assert.equal(other.session.views, 2)
        await (await other.session.lock({ wait: 0 })).unlock()
      })
    })
  })

  test('a lock of the old id is lost with it', async () => {
    const browser = visitor()
    await browser.visit(0, count)
    const { cookie } = browser
    const renewing = visitor({ store: browser.store })
    renewing.cookie = cookie
    await browser.visit(SECOND, async (req) => {
      const lock = await req.session.lock()
      await renewing.visit(SECOND, (other) => other.session.renewId())
      count(req)
      await assert.rejects(req.session.save(), { code: 'ERR_SESSION_LOCK_LOST' })
      await lock.unlock().catch(() => {})
    })
  })

  test('reload and store.load find it under the new id', async () => {
    const browser = visitor()
    await browser.visit(0, count)
    const { id } = browser
    const other = follower(browser, { renewAfter: HOUR })
    await other.visit(SECOND, async (req) => {
      await browser.visit(SECOND, async (renewing) => {
        count(renewing)
        await renewing.session.renewId()
      })
      await req.session.reload()
      assert.deepEqual([req.session.views, req.session.id, req.sessionID], [2, browser.id, browser.id])
      const found = await new Promise((resolve, reject) => {
        other.store.load(id, (error, found) => (error ? reject(error) : resolve(found)))
      })
      assert.deepEqual([found.views, found.id], [2, browser.id])
      await assert.rejects(found.renewId(), { code: 'ERR_SESSION_COOKIE_NOT_SENT' })
      found.update('views', (n) => n + 5)
      await found.save()
    })
    assert.equal(JSON.parse(await browser.record()).views, 7)
  })

  test('the end by a limit ends the session under its new id', async () => {
    const { browser, id, cookie } = await renewed({ renewalGrace: DAY, absoluteTimeout: HOUR, cookie: { maxAge: DAY } })
    const other = visitor({ store: browser.store, absoluteTimeout: HOUR, cookie: { maxAge: DAY } })
    other.cookie = cookie
    // Express, which knows no limits, keeps it.
    const stored = JSON.parse(await browser.record())
    await browser.store.set(browser.id, { ...stored, cookie: new session.Cookie({ maxAge: DAY }) })
    await other.visit(HOUR, (req) => assert.deepEqual([req.session.views, req.session.endedBy], [undefined, 'absolute']))
    assert.equal(await browser.record(browser.id), undefined)
    assert.notEqual(await browser.record(id), undefined)
  })

  test('a chain of renewals is followed, and one that leads nowhere is a new session', async () => {
    const store = new MemoryStore()
    const cookie = { originalMaxAge: null, expires: null, httpOnly: true, path: '/' }
    const notes = { created: BEGINNING, seen: BEGINNING }
    const forward = (to, until = BEGINNING + GRACE) => ({ cookie, __sessionMetadata: { ...notes, movedTo: to, movedUntil: until } })
    const browser = visitor({ store })
    await browser.visit(0, count)
    const look = async (record) => {
      await store.set(browser.id, record)
      const other = follower(browser)
      let views
      await other.visit(0, (req) => (views = req.session.views, undefined))
      return views
    }
    await store.set('last', { cookie, views: 7, __sessionMetadata: notes })
    await store.set('middle', forward('last'))
    await store.set('loop', forward('loop'))
    assert.equal(await look(forward('last')), 7)
    assert.equal(await look(forward('middle')), 7)
    for (const record of [forward('loop'), forward('none'), forward('last', BEGINNING), forward(null), forward(7)]) {
      assert.equal(await look(record), undefined)
    }
  })
})

test('without the option, the calls of the store are those of before', async () => {
  const store = new MemoryStore()
  const browser = new Visitor(clock, BEGINNING, { metadata: true, store })
  await browser.visit(0, count)
  const calls = recordCalls(store)
  await browser.visit(SECOND, (req) => req.session.logout())
  assert.deepEqual([await browser.store.ids(), calls.length], [[], 0])
})

test('times that are none are refused', () => {
  const refused = (more) => {
    try {
      session(options({ store: new MemoryStore(), integrity: true, ...more }))
    } catch (error) {
      return error.message
    }
    return undefined
  }
  assert.equal(refused({ renewAfter: 0 }), 'renewAfter option must be a number of milliseconds, 1 or more')
  assert.equal(refused({ renewalGrace: 'long' }), 'renewalGrace option must be a number of milliseconds, 1 or more')
  assert.equal(refused({ renewAfter: HOUR, renewalGrace: MINUTE }), undefined)
})
