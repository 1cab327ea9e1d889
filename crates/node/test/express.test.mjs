// Applications as users write them, with Express 4 and 5, and without.

import assert from 'node:assert/strict'
import http from 'node:http'
import { createRequire } from 'node:module'
import test from 'node:test'

import cookieParser from 'cookie-parser'

import session from 'express-session-rs'
import { authenticator, classic } from '../testing/applications.mjs'
import { Browser, serve } from '../testing/browser.mjs'
import { options, same } from '../testing/sides.mjs'

const require = createRequire(import.meta.url)

for (const name of ['express4', 'express5']) {
  const express = require(name)

  test(`${name}: the classic application counts`, async (t) => {
    const use = session({ secret: 'keyboard cat', resave: false, saveUninitialized: true, cookie: { secure: false } })
    const url = await serve(t, classic(express, use))
    const [one, other] = [new Browser(url), new Browser(url)]
    assert.equal(await one.text('/'), '<p>Welcome! This is your first visit.</p>')
    assert.equal(await one.text('/'), '<p>Number of views: 2</p>')
    assert.equal(await other.text('/'), '<p>Welcome! This is your first visit.</p>')
    assert.equal(await one.text('/'), '<p>Number of views: 3</p>')
    assert.equal(await other.text('/'), '<p>Number of views: 2</p>')
  })

  test(`${name}: a login as in the README of express-session`, async () => {
    await same(async (session) => {
      const app = express()
      app.use(session(options()))
      app.get('/', (req, res) => res.send(`hello, ${req.session.user ?? 'nobody'}`))
      app.post('/login', express.urlencoded({ extended: false }), (req, res, next) => {
        req.session.regenerate((error) => {
          if (error) return next(error)
          req.session.user = req.body.user
          req.session.save((error) => (error ? next(error) : res.redirect('/')))
        })
      })
      app.get('/logout', (req, res, next) => {
        req.session.user = null
        req.session.save((error) => {
          if (error) return next(error)
          req.session.regenerate((error) => (error ? next(error) : res.redirect('/')))
        })
      })
      const t = cleaner()
      const browser = new Browser(await serve(t, app))
      const seen = [await browser.text('/')]
      seen.push(await browser.text('/login', { method: 'POST', body: new URLSearchParams({ user: 'ada' }) }))
      seen.push(await browser.text('/'), browser.jar, await browser.text('/logout'), await browser.text('/'), browser.jar)
      await t.clean()
      return seen
    })
  })

  test(`${name}: proxies, mounted applications, cookie-parser and errors`, async () => {
    await same(async (session) => {
      const app = express()
      app.set('trust proxy', 1)
      app.use(cookieParser('keyboard cat'))
      const store = new session.MemoryStore()
      const inner = express()
      inner.use(session(options({ store, secret: undefined, cookie: { secure: true, path: '/shop' } })))
      inner.get('/cart', (req, res) => {
        req.session.items = (req.session.items ?? 0) + 1
        res.json({ items: req.session.items, url: req.originalUrl })
      })
      inner.get('/fail', (req) => {
        req.session.failed = true
        throw new Error('the handler failed')
      })
      app.use('/shop', inner)
      app.use('/other', inner)
      app.use((error, _req, res, _next) => res.status(500).send(error.message))
      const t = cleaner()
      const browser = new Browser(await serve(t, app), { 'x-forwarded-proto': 'https' })
      const seen = []
      for (const path of ['/shop/cart', '/shop/cart', '/shop/fail', '/shop/cart', '/other/cart']) {
        seen.push(await browser.text(path))
      }
      const plain = new Browser(browser.url)
      seen.push(await plain.text('/shop/cart'), plain.jar, browser.jar, { ...store.sessions })
      await t.clean()
      return seen
    })
  })

  test(`${name}: passport's login and logout`, async () => {
    const seen = await same(async (session) => {
      const auth = authenticator()
      const store = new session.MemoryStore()
      const app = express()
      app.use(express.urlencoded({ extended: false }))
      app.use(session(options({ store })))
      app.use(auth.initialize(), auth.session())
      app.post('/login', auth.authenticate('local', { successRedirect: '/', failureRedirect: '/no', failureMessage: true }))
      app.get('/logout', (req, res, next) => req.logout((error) => (error ? next(error) : res.redirect('/'))))
      app.get('/', (req, res) => res.send(`hello, ${req.user?.id ?? 'nobody'}`))
      app.get('/no', (req, res) => res.send(req.session.messages.join()))
      const t = cleaner()
      const browser = new Browser(await serve(t, app))
      const login = (password) => ({ method: 'POST', body: new URLSearchParams({ username: 'ada', password }) })
      const seen = [await browser.text('/'), await browser.text('/login', login('wrong'))]
      seen.push(browser.jar, await browser.text('/login', login('secret')), await browser.text('/'), browser.jar)
      seen.push(await browser.text('/logout'), await browser.text('/'), browser.jar, { ...store.sessions })
      await t.clean()
      return seen
    })
    assert.equal(seen[4], 'hello, ada')
    assert.equal(seen[7], 'hello, nobody')
  })
}

test('a plain server', async () => {
  await same(async (session) => {
    const use = session(options({ cookie: { maxAge: null } }))
    const t = cleaner()
    const browser = new Browser(await serve(t, (req, res) => {
      use(req, res, (error) => {
        if (error) throw error
        req.session.views = (req.session.views ?? 0) + 1
        res.setHeader('Content-Type', 'text/plain')
        res.write(`${req.session.views}`)
        res.end()
      })
    }))
    const seen = [await browser.text('/'), await browser.text('/'), browser.jar]
    await t.clean()
    return seen
  })
})

test('many requests of one visitor at once', async (t) => {
  const use = session({ secret: 'k', resave: false, saveUninitialized: true })
  const server = http.createServer((req, res) => use(req, res, () => res.end(req.sessionID)))
  const browser = new Browser(await serve(t, server))
  const id = await browser.text('/')
  const ids = await Promise.all(Array.from({ length: 100 }, () => browser.text('/')))
  assert.deepEqual(new Set(ids), new Set([id]))
})

// Stands for a test where it is done with its servers before it ends.
function cleaner() {
  const jobs = []
  return { after: (job) => jobs.push(job), clean: () => Promise.all(jobs.map((job) => job())) }
}
