// Applications as users write them, in a real browser: with Express 4 and 5, and without.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { after, before, describe, test } from 'node:test'

import { authenticator, classic } from '../testing/applications.mjs'
import { serve } from '../testing/browser.mjs'
import { openChromium, withoutChromium } from '../testing/chromium.mjs'
import { same } from '../testing/sides.mjs'

const require = createRequire(import.meta.url)

const CLASSIC = { secret: 'keyboard cat', resave: false, saveUninitialized: true }

// The classic application, and its like without Express.
const SERVERS = {
  express4: (use) => classic(require('express4'), use),
  express5: (use) => classic(require('express5'), use),
  'a plain server': plain
}

const FIRST = 'Welcome! This is your first visit.'

describe('in Chromium', { skip: withoutChromium() }, () => {
  // Two profiles.
  let one
  let other

  before(async () => {
    ;[one, other] = await Promise.all([openChromium(), openChromium()])
  })

  after(() => Promise.all([one?.close(), other?.close()]))

  // Plays the same with express-session and this package, each time for browsers without a cookie.
  const play = (visit) => same(async (session) => {
    await Promise.all([one.restore([]), other.restore([])])
    return visit(session)
  })

  for (const [name, app] of Object.entries(SERVERS)) {
    test(`${name}: each browser has a counter of its own`, async (t) => {
      await play(async (session) => {
        const url = await serve(t, app(session({ ...CLASSIC, cookie: { secure: false } })))
        assert.equal(await one.open(url), FIRST)
        assert.equal(await one.open(url), 'Number of views: 2')
        assert.equal(await other.open(url), FIRST)
        assert.equal(await one.reload(), 'Number of views: 3')
        assert.equal(await other.reload(), 'Number of views: 2')
        assert.equal(await one.run('document.cookie'), '', 'no script sees the cookie')
        const cookies = [...(await one.cookies()), ...(await other.cookies())]
        assert.equal(cookies.length, 2)
        assert.notEqual(cookies[0].value, cookies[1].value)
        return cookies.map(unnamed)
      })
    })

    test(`${name}: without HTTPS a secure cookie is not sent, and each visit is the first`, async (t) => {
      await play(async (session) => {
        const url = await serve(t, app(session({ ...CLASSIC, cookie: { secure: true } })))
        for (let visit = 0; visit < 3; visit++) assert.equal(await one.open(url), FIRST)
        assert.deepEqual(await one.cookies(), [])
      })
    })

    test(`${name}: who logs out starts again, and who kept the cookie too`, async (t) => {
      await play(async (session) => {
        const url = await serve(t, app(session({ ...CLASSIC, saveUninitialized: false })))
        for (const browser of [one, other]) await browser.open(url)
        assert.equal(await one.reload(), 'Number of views: 2')
        const kept = await one.cookies()
        assert.equal(await one.open(`${url}/logout`), FIRST)
        assert.equal(await one.open(url), 'Number of views: 2')
        assert.equal(await other.reload(), 'Number of views: 2')
        const [cookie] = await one.cookies()
        assert.notEqual(cookie.value, kept[0].value)
        await one.restore(kept)
        assert.equal(await one.open(url), FIRST)
        return unnamed(cookie)
      })
    })
  }

  for (const name of ['express4', 'express5']) {
    test(`${name}: passport's login and logout`, async (t) => {
      await play(async (session) => {
        const url = await serve(t, withLogin(require(name), session({ ...CLASSIC, saveUninitialized: false })))
        const login = (password) => one.send('#login', { username: 'ada', password })
        assert.match(await one.open(url), /^hello, nobody/)
        assert.match(await login('wrong'), /^no such user/)
        const before = await one.cookies()
        assert.match(await login('secret'), /^hello, ada/)
        const [cookie] = await one.cookies()
        assert.notEqual(cookie.value, before[0].value, 'what was known before the login leads nowhere')
        assert.match(await one.reload(), /^hello, ada/)
        assert.match(await other.open(url), /^hello, nobody/)
        await other.restore(before)
        assert.match(await other.reload(), /^hello, nobody/)
        await other.restore([cookie])
        assert.match(await other.reload(), /^hello, ada/, 'the cookie is all there is to it')
        assert.match(await one.send('#logout'), /^hello, nobody/)
        assert.match(await other.reload(), /^hello, nobody/)
        return unnamed(cookie)
      })
    })
  }
})

function plain(use) {
  return (req, res) => {
    use(req, res, (error) => {
      if (error) {
        res.statusCode = 500
        res.end(error.message)
        return
      }
      if (req.url === '/logout') {
        req.session.destroy(() => res.writeHead(302, { Location: '/' }).end())
        return
      }
      if (req.url !== '/') {
        res.statusCode = 404
        res.end()
        return
      }
      req.session.views = (req.session.views ?? 0) + 1
      res.setHeader('Content-Type', 'text/html')
      res.end(req.session.views === 1 ? `<p>${FIRST}</p>` : `<p>Number of views: ${req.session.views}</p>`)
    })
  }
}

function withLogin(express, use) {
  const auth = authenticator()
  const app = express()
  app.use(express.urlencoded({ extended: false }), use, auth.initialize(), auth.session())
  app.get('/', (req, res) => res.send(page(`hello, ${req.user?.id ?? 'nobody'}`)))
  app.get('/no', (req, res) => {
    const [message] = req.session.messages.splice(0)
    res.send(page(message))
  })
  const local = { successRedirect: '/', failureRedirect: '/no', failureMessage: 'no such user' }
  app.post('/login', auth.authenticate('local', local))
  app.post('/logout', (req, res, next) => req.logout((error) => (error ? next(error) : res.redirect('/'))))
  return app
}

function page(text) {
  return `${text}
    <form id="login" method="post" action="/login">
      <input name="username"><input name="password" type="password"><button>Log in</button>
    </form>
    <form id="logout" method="post" action="/logout"><button>Log out</button></form>`
}

// A cookie without what differs from visit to visit.
function unnamed({ value, ...cookie }) {
  assert.match(value, /^s%3A[\w-]{32}\./)
  return cookie
}
