// The login and the logout of a session: with `metadata`, and what needs no option.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import express4 from 'express4'
import express5 from 'express5'
import passport from 'passport'
import session from 'express-session-rs'
import { MemoryStore } from 'express-session-rs/stores'
import { missingServer } from '../testing/servers.mjs'
import { options } from '../testing/sides.mjs'
import { allStores } from '../testing/stores.mjs'
import { Visitor } from '../testing/visits.mjs'
import { answer } from '../testing/wire.mjs'

const BEGINNING = 1_700_000_000_000
const [SECOND, MINUTE, HOUR, DAY] = [1000, 60_000, 3_600_000, 86_400_000]

const clock = { now: BEGINNING }
Date.now = () => clock.now

const visitor = (more) => new Visitor(clock, BEGINNING, { metadata: true, ...more })

async function logIn(browser, ...login) {
  return browser.visit(0, (req) => req.session.login(...login))
}

describe('login', () => {
  for (const [name, open, server] of allStores('login')) {
    test(`${name}: it gives another id, notes the user and keeps the named members alone`, { skip: missingServer(server) }, async () => {
      const browser = visitor({ store: open() })
      await browser.visit(0, (req) => {
        Object.assign(req.session, { cart: ['apple'], role: 'guest', n: 1 })
      })
      const { id, cookie } = browser
      const got = await browser.visit(SECOND, async (req) => {
        const before = req.session
        await before.login('bob', { keep: ['n', 'cart', 'none'] })
        assert.notEqual(req.session, before)
        assert.equal(req.session.loggedInUser(), 'bob')
        assert.deepEqual(Object.keys(req.session), ['cookie', 'n', 'cart'])
        assert.deepEqual([before.ended, before.loggedInUser(), before.metadata], ['destroyed', undefined, undefined])
      })
      assert.ok(got.cookies.length === 1 && browser.cookie !== cookie && browser.id !== id)
      assert.equal(await browser.record(id), undefined)
      const at = BEGINNING + SECOND
      const notes = `{"created":${at},"seen":${at},"authenticated":${at},"user":"bob"}`
      assert.ok((await browser.record()).endsWith(`,"n":1,"cart":["apple"],"__sessionMetadata":${notes}}`))
      await browser.visit(MINUTE, (req) => {
        const [created, seen] = [new Date(at), new Date(at)]
        assert.deepEqual(req.session.metadata, { created, seen, authenticated: new Date(at), user: 'bob' })
        assert.equal(req.session.loggedInUser(), 'bob')
      })
      await browser.store.close()
    })
  }

  test('a user is any JSON but null, of at most 1,024 bytes', async () => {
    const browser = visitor()
    for (const user of [7, 'bob', { id: 7, roles: ['a'] }, false, '', 'x'.repeat(1022)]) {
      await logIn(browser, user)
      await browser.visit(SECOND, (req) => assert.deepEqual(req.session.loggedInUser(), user))
    }
    await browser.visit(2 * SECOND, async (req) => {
      const { id } = req.session
      for (const user of [undefined, null, () => {}, 'x'.repeat(1023), NaN]) {
        await assert.rejects(req.session.login(user), { code: 'ERR_INVALID_ARG_VALUE' })
      }
      assert.deepEqual([req.session.id, req.session.loggedInUser()], [id, 'x'.repeat(1022)])
    })
  })

  test('options that it does not have, and values that they do not take, are refused with nothing done', async () => {
    const browser = visitor()
    await browser.visit(0, (req) => void (req.session.views = 1))
    const { id } = browser
    await browser.visit(SECOND, async (req) => {
      for (const [given, message] of [
        [{ keeping: ['cart'] }, 'login: there is no option keeping'],
        [{ keep: 'cart' }, 'login: the option keep must be an array of names'],
        [{ keep: [1] }, 'login: the option keep must be an array of names'],
        [{ remember: '30d' }, 'login: the option remember must be a number of milliseconds, 1 or more'],
        [{ idleTimeout: 0 }, 'login: the option idleTimeout must be a number of milliseconds, 1 or more'],
        [{ absoluteTimeout: Infinity }, 'login: the option absoluteTimeout must be a number of milliseconds, 1 or more'],
        [{ passport: 1 }, 'login: the option passport must be true or false'],
        [{ level: 256 }, 'login: the option level must be a whole number from 0 to 255'],
        [{ level: '2' }, 'login: the option level must be a whole number from 0 to 255'],
        [null, 'login: the options must be an object']
      ]) {
        await assert.rejects(req.session.login('bob', given), { name: 'TypeError', message })
      }
      await assert.rejects(req.session.regenerateKeeping('cart'), { name: 'TypeError' })
      assert.equal(req.session.id, id)
    })
  })

  test('without notes there is no login', async () => {
    const browser = visitor({ metadata: false })
    await browser.visit(0, (req) => {
      return assert.rejects(req.session.login('bob'), { code: 'ERR_SESSION_NO_METADATA' })
    })
    const limited = visitor({ metadata: false, idleTimeout: HOUR })
    await logIn(limited, 'bob')
    await limited.visit(SECOND, (req) => assert.equal(req.session.loggedInUser(), 'bob'))
  })

  test('neither the cookie nor the id of the old session is kept, nor the user that passport has noted', async () => {
    const browser = visitor()
    await browser.visit(0, (req) => {
      req.session.passport = { user: 'eve' }
      req.session.cookie.maxAge = MINUTE
    })
    await browser.visit(SECOND, async (req) => {
      const { id } = req.session
      await req.session.login('bob', { keep: ['cookie', 'id', 'req', 'save', '__proto__', 'passport'] })
      assert.deepEqual(Object.keys(req.session), ['cookie'])
      assert.notEqual(req.session.id, id)
      assert.deepEqual([req.session.cookie.maxAge, req.session.loggedInUser()], [null, 'bob'])
    })
  })

  test('the limits of a session begin again with the login, and may be others', async () => {
    for (const [given, end] of [
      [{}, 2 * HOUR],
      [{ absoluteTimeout: HOUR }, HOUR],
      [{ absoluteTimeout: 3 * HOUR, idleTimeout: 4 * HOUR }, 3 * HOUR],
      [{ idleTimeout: MINUTE }, MINUTE],
      [{ remember: 10 * DAY }, 10 * DAY]
    ]) {
      for (const [after, isLive] of [[end - 1, true], [end, false]]) {
        const browser = visitor({ idleTimeout: 2 * HOUR, absoluteTimeout: 2 * HOUR })
        await browser.visit(0, (req) => void (req.session.views = 1))
        await browser.visit(HOUR, (req) => req.session.login('bob', given))
        await browser.visit(HOUR + after, (req) => {
          assert.equal(req.session.loggedInUser(), isLive ? 'bob' : undefined, JSON.stringify([given, after]))
        })
      }
    }
  })

  test('a user who is remembered keeps the cookie when the browser closes', async () => {
    const browser = visitor({ idleTimeout: HOUR })
    const { cookies } = await logIn(browser, 'bob', { remember: 30 * DAY })
    assert.ok(cookies[0].includes(`Expires=${new Date(BEGINNING + 30 * DAY).toUTCString()}`), cookies[0])
    await browser.visit(SECOND, (req) => {
      assert.deepEqual([req.session.metadata.idleTimeout, req.session.metadata.absoluteTimeout], [30 * DAY, 30 * DAY])
    })
  })

  test('after the headers it is refused, and leaves the session as it was', async () => {
    const browser = visitor()
    await browser.visit(0, (req) => void (req.session.views = 1))
    const { id } = browser
    await browser.visit(SECOND, async (req, res) => {
      res.write('…')
      await assert.rejects(req.session.login('bob'), { code: 'ERR_SESSION_COOKIE_NOT_SENT' })
      assert.deepEqual([req.session.id, req.session.views], [id, 1])
    })
    assert.ok(await browser.record(id))
  })

  test('if the old record cannot be destroyed, the session is as it was', async () => {
    const browser = visitor()
    await browser.visit(0, (req) => void (req.session.views = 1))
    const { id } = browser
    await browser.visit(SECOND, async (req) => {
      const broken = Object.assign(new Error('down'), { code: 'ERR_STORE_UNAVAILABLE' })
      const { regenerate } = req.session
      req.session.regenerate = () => Promise.reject(broken)
      await assert.rejects(req.session.login('bob'), broken)
      req.session.regenerate = regenerate
      assert.deepEqual([req.session.id, req.session.views, req.session.loggedInUser()], [id, 1, undefined])
    })
    assert.ok(await browser.record(id))
  })

  test('requests that overlap with a login do not bring the old id back', async () => {
    const browser = visitor({ cookie: { maxAge: DAY } })
    await browser.visit(0, (req) => void (req.session.views = 1))
    const { id, cookie } = browser
    for (const act of [(own) => (own.views = 2), () => {}]) {
      browser.cookie = cookie
      await browser.visit(SECOND, async (req) => {
        await browser.visit(SECOND, (other) => other.session.login('bob'))
        act(req.session)
      })
      assert.equal(await browser.record(id), undefined)
    }
  })

  test('overlapping writes after a login keep the user', async () => {
    const browser = visitor({ cookie: { maxAge: DAY } })
    await logIn(browser, 'bob')
    await browser.visit(SECOND, async (req) => {
      req.session.one = 1
      await browser.visit(2 * SECOND, (other) => void (other.session.two = 2))
    })
    await browser.visit(MINUTE, (req) => {
      assert.deepEqual([req.session.one, req.session.two, req.session.loggedInUser()], [1, 2, 'bob'])
    })
  })

  test('regenerate ends the login', async () => {
    const browser = visitor()
    await logIn(browser, 'bob')
    await browser.visit(SECOND, (req) => req.session.regenerate())
    await browser.visit(2 * SECOND, (req) => assert.equal(req.session.loggedInUser(), undefined))
  })
})

describe('the user', () => {
  test("that passport has logged in counts, and passport's member decides", async () => {
    for (const [member, user] of [
      [undefined, 'bob'],
      [{ user: 'bob' }, 'bob'],
      [{ user: { id: 7 } }, { id: 7 }],
      [{}, undefined],
      [{ user: null }, undefined],
      ['text', undefined]
    ]) {
      const browser = visitor()
      await logIn(browser, 'bob')
      await browser.visit(SECOND, (req) => {
        if (member !== undefined) req.session.passport = member
        assert.deepEqual(req.session.loggedInUser(), user, JSON.stringify(member))
      })
      await browser.visit(MINUTE, (req) => assert.deepEqual(req.session.loggedInUser(), user, JSON.stringify(member)))
    }
  })

  test('passport itself sees a login, and logs the user out', async () => {
    const authenticator = new passport.Passport()
    authenticator.serializeUser((user, done) => done(null, user))
    authenticator.deserializeUser((user, done) => done(null, user))
    const authenticate = authenticator.authenticate('session')
    const withPassport = (req, res, next) => authenticate(req, res, next)
    const browser = visitor({ cookie: { maxAge: DAY } })
    await logIn(browser, 'bob', { passport: true })
    await browser.visit(SECOND, async (req, res) => {
      await new Promise((resolve, reject) => withPassport(req, res, (error) => (error ? reject(error) : resolve())))
      assert.equal(req.user, 'bob')
      await new Promise((resolve, reject) => {
        req.logout({ keepSessionInfo: true }, (error) => (error ? reject(error) : resolve()))
      })
      assert.equal(req.session.loggedInUser(), undefined)
    })
    await browser.visit(MINUTE, (req) => assert.equal(req.session.loggedInUser(), undefined))
  })

  test('is fresh for the time that is asked for, and passport notes no time', async () => {
    const browser = visitor({ cookie: { maxAge: DAY } })
    const [none, old] = [[401, 'ERR_SESSION_NOT_LOGGED_IN'], [403, 'ERR_SESSION_LOGIN_TOO_OLD']]
    const refusal = (own, time) => {
      try {
        own.requireFresh(time)
      } catch (error) {
        assert.deepEqual([error.statusCode, error.expose], [error.status, true])
        return [error.status, error.code]
      }
      return undefined
    }
    await browser.visit(0, async (req) => {
      assert.deepEqual(refusal(req.session, MINUTE), none)
      await req.session.login('bob')
      assert.equal(refusal(req.session, MINUTE), undefined)
      for (const time of [undefined, '300', 0, NaN]) assert.throws(() => req.session.requireFresh(time), TypeError)
    })
    for (const [after, expected] of [[MINUTE - 1, undefined], [MINUTE, old], [-DAY, undefined]]) {
      await browser.visit(after, (req) => assert.deepEqual(refusal(req.session, MINUTE), expected, `${after}`))
    }
    await browser.visit(SECOND, async (req) => {
      req.session.passport = { user: 'eve' }
      assert.deepEqual(refusal(req.session, MINUTE), old)
      const before = req.session
      await before.destroy()
      assert.deepEqual(refusal(before, MINUTE), none)
    })
  })

  for (const [name, express] of [['Express 4', express4], ['Express 5', express5]]) {
    test(`who is not fresh gets a 401 or a 403 of ${name}`, async (t) => {
      clock.now = BEGINNING
      const app = express()
      app.set('env', 'test')
      app.use(session({ ...options({ store: new MemoryStore(), integrity: true, metadata: true }), genid: undefined }))
      app.get('/login', (req, res, next) => req.session.login('bob').then(() => res.end('hello'), next))
      app.get('/password', (req, res) => {
        req.session.requireFresh(5 * MINUTE)
        res.end('changed')
      })
      const server = app.listen(0)
      t.after(() => server.close())
      await new Promise((resolve) => server.once('listening', resolve))
      const get = (path, cookie) => {
        return fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers: { cookie: cookie ?? '', connection: 'close' } })
      }
      assert.equal((await get('/password')).status, 401)
      const cookie = (await get('/login')).headers.get('set-cookie').split(';')[0]
      assert.equal(await (await get('/password', cookie)).text(), 'changed')
      clock.now += 5 * MINUTE
      assert.equal((await get('/password', cookie)).status, 403)
    })
  }
})

// Returns the status and the code of what a call throws.
function refusalOf(call) {
  try {
    call()
  } catch (error) {
    return [error.status, error.code]
  }
  return undefined
}

describe('the level', () => {
  const [none, low] = [[401, 'ERR_SESSION_NOT_LOGGED_IN'], [403, 'ERR_SESSION_LEVEL_TOO_LOW']]

  test('is that of the login, and 0 without one', async () => {
    for (const [given, levels] of [[{}, [0]], [{ level: 2 }, [0, 1, 2]], [{ level: 255 }, [0, 255]]]) {
      const browser = visitor()
      await browser.visit(0, (req) => assert.deepEqual(refusalOf(() => req.session.requireLevel(0)), none))
      await logIn(browser, 'bob', given)
      await browser.visit(SECOND, (req) => {
        assert.equal(req.session.metadata.level, given.level)
        for (const level of levels) assert.equal(refusalOf(() => req.session.requireLevel(level)), undefined)
        const above = levels.at(-1) + 1
        if (above < 256) assert.deepEqual(refusalOf(() => req.session.requireLevel(above)), low)
        for (const level of [undefined, '2', -1, 256, 1.5]) assert.throws(() => req.session.requireLevel(level), TypeError)
      })
    }
  })

  test("passport's login has none, and cannot be stepped up", async () => {
    const browser = visitor()
    await logIn(browser, 'bob', { level: 2 })
    await browser.visit(SECOND, async (req) => {
      req.session.passport = { user: 'eve' }
      assert.deepEqual(refusalOf(() => req.session.requireLevel(1)), low)
      await assert.rejects(req.session.stepUp(2), { status: 401, code: 'ERR_SESSION_NOT_LOGGED_IN' })
    })
  })

  for (const [name, open, server] of allStores('level')) {
    test(`${name}: stepUp goes on under another id, with the members and limits, and the login is fresh`, { skip: missingServer(server) }, async () => {
      const browser = visitor({ store: open(), idleTimeout: DAY })
      await logIn(browser, 'bob', { remember: 10 * DAY, idleTimeout: HOUR, passport: true })
      await browser.visit(SECOND, (req) => void (req.session.cart = ['apple']))
      const { id, cookie } = browser
      const got = await browser.visit(MINUTE, async (req) => {
        const before = req.session
        await before.stepUp(2)
        assert.equal(before.ended, 'destroyed')
        req.session.requireLevel(2)
        req.session.requireFresh(1)
      })
      assert.ok(browser.id !== id && browser.cookie !== cookie)
      assert.match(got.cookies[0], /Expires=/)
      assert.equal(await browser.record(id), undefined)
      await browser.visit(MINUTE + SECOND, (req) => {
        const { metadata } = req.session
        assert.deepEqual([metadata.level, metadata.idleTimeout, metadata.absoluteTimeout], [2, HOUR, 10 * DAY])
        assert.deepEqual([metadata.created, metadata.authenticated], Array(2).fill(new Date(BEGINNING + MINUTE)))
        assert.deepEqual([req.session.cart, req.session.passport, req.session.loggedInUser()], [['apple'], { user: 'bob' }, 'bob'])
        assert.equal(req.session.cookie.originalMaxAge, 10 * DAY)
      })
      await browser.store.close()
    })
  }

  test('a guest cannot step up, and a level that is none is refused with nothing done', async () => {
    const browser = visitor()
    await browser.visit(0, async (req) => {
      req.session.views = 1
      await assert.rejects(req.session.stepUp(2), { status: 401 })
    })
    await logIn(browser, 'bob')
    const { id } = browser
    await browser.visit(SECOND, async (req, res) => {
      for (const level of [undefined, '2', -1, 256]) await assert.rejects(req.session.stepUp(level), { name: 'TypeError' })
      res.write('…')
      await assert.rejects(req.session.stepUp(2), { code: 'ERR_SESSION_COOKIE_NOT_SENT', message: /^stepUp: / })
      assert.deepEqual([req.session.id, req.session.loggedInUser()], [id, 'bob'])
    })
  })
})

describe('logout', () => {
  test('it destroys the session, and needs no option', async () => {
    const browser = visitor({ metadata: false })
    await browser.visit(0, (req) => void (req.session.views = 1))
    const { id } = browser
    let headers
    await browser.visit(SECOND, async (req, res) => {
      const { session: own } = req
      await own.logout()
      assert.deepEqual([req.session, own.ended], [undefined, 'destroyed'])
      res.end('bye')
      headers = res.getHeaders()
      return true
    })
    assert.equal(headers['clear-site-data'], undefined)
    assert.equal(await browser.record(id), undefined)
  })

  test('with clearSiteData the browser deletes what it has of the site, after a logout alone', async () => {
    const use = session({ ...options({ store: new MemoryStore(), integrity: true, clearSiteData: true }), genid: undefined })
    const header = async (handler) => {
      let found
      const got = await answer(use, {}, async (req, res) => {
        req.session.views = 1
        await req.session.save()
        await handler(req, res)
        res.once('finish', () => (found = res.getHeader('Clear-Site-Data')))
        res.end('bye')
      })
      assert.deepEqual(got.errors, [])
      return found
    }
    assert.equal(await header((req) => req.session.logout()), '"cookies", "storage"')
    assert.equal(await header((req) => req.session.destroy()), undefined)
    assert.equal(await header(() => {}), undefined)
    // Express' error handler removes the headers that were set before.
    const removed = await header(async (req, res) => {
      await req.session.logout()
      for (const name of res.getHeaderNames()) res.removeHeader(name)
    })
    assert.equal(removed, '"cookies", "storage"')
  })
})

describe('regenerateKeeping', () => {
  test('keeps the named members, and needs no option', async () => {
    const browser = visitor({ metadata: false })
    await browser.visit(0, (req) => void Object.assign(req.session, { cart: ['apple'], role: 'guest' }))
    const { id } = browser
    await browser.visit(SECOND, (req) => req.session.regenerateKeeping(['cart', 'none', 'cookie']))
    assert.notEqual(browser.id, id)
    assert.equal(await browser.record(id), undefined)
    const { cookie: _, ...data } = JSON.parse(await browser.record())
    assert.deepEqual(data, { cart: ['apple'] })
  })
})
