// Applications with Express 4 and 5 and with a plain server, visited with fetch and with Chromium: express-session and
// this package show the same pages and set the same cookies.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { after, before, describe, test } from 'node:test'

import { COUNTERS, FIRST_VISIT, withLogin } from '../testing/applications.mjs'
import { Browser, serve } from '../testing/browser.mjs'
import { openChromium, withoutChromium } from '../testing/chromium.mjs'
import { options, same } from '../testing/sides.mjs'

const require = createRequire(import.meta.url)

const COUNTER_OPTIONS = { secret: 'keyboard cat', resave: false, saveUninitialized: true }

const BROWSERS = [
  ['with fetch', false, () => new Browser()],
  ['in Chromium', withoutChromium(), openChromium]
]

for (const [how, skip, openBrowser] of BROWSERS) {
  describe(how, { skip }, () => {
    // Two visitors.
    let one
    let other

    before(async () => {
      ;[one, other] = await Promise.all([openBrowser(), openBrowser()])
    })

    after(() => Promise.all([one?.close(), other?.close()]))

    // Plays the same with both packages, for browsers without cookies.
    const play = (visit) => same(async (session) => {
      await Promise.all([one.restore([]), other.restore([])])
      return visit(session)
    })

    for (const [name, app] of Object.entries(COUNTERS)) {
      test(`${name} counts the visits of each browser`, async (t) => {
        await play(async (session) => {
          const url = await serve(t, app(session({ ...COUNTER_OPTIONS, cookie: { secure: false } })))
          assert.equal(await one.open(url), FIRST_VISIT)
          assert.equal(await one.open(url), 'Number of views: 2')
          assert.equal(await other.open(url), FIRST_VISIT)
          assert.equal(await one.reload(), 'Number of views: 3')
          assert.equal(await other.reload(), 'Number of views: 2')
          assert.equal((await one.run?.('document.cookie')) ?? '', '', 'scripts cannot read the cookie')
          const cookies = [...(await one.cookies()), ...(await other.cookies())]
          assert.equal(cookies.length, 2)
          assert.notEqual(cookies[0].value, cookies[1].value)
          return cookies.map(withoutValue)
        })
      })

      test(`${name} sends no secure cookie without HTTPS, so that each visit is the first`, async (t) => {
        await play(async (session) => {
          const url = await serve(t, app(session({ ...COUNTER_OPTIONS, cookie: { secure: true } })))
          for (let visit = 0; visit < 3; visit++) assert.equal(await one.open(url), FIRST_VISIT)
          assert.deepEqual(await one.cookies(), [])
        })
      })

      test(`${name} starts a new session after a logout, also for the old cookie`, async (t) => {
        await play(async (session) => {
          const url = await serve(t, app(session({ ...COUNTER_OPTIONS, saveUninitialized: false })))
          for (const browser of [one, other]) await browser.open(url)
          assert.equal(await one.reload(), 'Number of views: 2')
          const kept = await one.cookies()
          assert.equal(await one.open(`${url}/logout`), FIRST_VISIT)
          assert.equal(await one.open(url), 'Number of views: 2')
          assert.equal(await other.reload(), 'Number of views: 2')
          const [cookie] = await one.cookies()
          assert.notEqual(cookie.value, kept[0].value)
          await one.restore(kept)
          assert.equal(await one.open(url), FIRST_VISIT)
          return withoutValue(cookie)
        })
      })
    }

    for (const name of ['express4', 'express5']) {
      test(`${name} with passport logs in and out`, async (t) => {
        await play(async (session) => {
          const store = new session.MemoryStore()
          const url = await serve(t, withLogin(require(name), session(options({ store }))))
          const login = (password) => one.send('login', { username: 'ada', password })
          assert.match(await one.open(url), /^hello, guest/)
          assert.match(await login('wrong'), /^no such user/)
          const before = await one.cookies()
          assert.match(await login('secret'), /^hello, ada/)
          const cookies = await one.cookies()
          assert.notEqual(cookies[0].value, before[0].value)
          assert.match(await one.reload(), /^hello, ada/)
          assert.match(await other.open(url), /^hello, guest/)
          await other.restore(before)
          assert.match(await other.reload(), /^hello, guest/, 'the cookie from before the login is worthless')
          await other.restore(cookies)
          assert.match(await other.reload(), /^hello, ada/, 'the cookie alone identifies the visitor')
          assert.match(await one.send('logout'), /^hello, guest/)
          assert.match(await other.reload(), /^hello, guest/)
          return [before, cookies, await one.cookies(), { ...store.sessions }]
        })
      })
    }
  })
}

// Returns a cookie without its random value.
function withoutValue({ value, ...cookie }) {
  assert.match(value, /^s%3A[\w-]{32}\./)
  return cookie
}
