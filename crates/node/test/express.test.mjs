// Express applications with a login, a proxy, a mounted application and cookie-parser.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import test from 'node:test'

import cookieParser from 'cookie-parser'

import session from 'express-session-rs'
import { Browser, serve } from '../testing/browser.mjs'
import { options, same } from '../testing/sides.mjs'

const require = createRequire(import.meta.url)

for (const name of ['express4', 'express5']) {
  const express = require(name)

  test(`${name}: the login in the README of express-session works the same`, async (t) => {
    await same(async (session) => {
      const app = express()
      app.use(session(options()))
      app.get('/', (req, res) => res.send(`hello, ${req.session.user ?? 'guest'}`))
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
      const browser = new Browser(await serve(t, app))
      const seen = [await browser.text('/'), await browser.send('login', { user: 'ada' }), await browser.text('/')]
      seen.push(browser.cookies(), await browser.text('/logout'), await browser.text('/'), browser.cookies())
      return seen
    })
  })

  test(`${name}: proxies, mounted applications, cookie-parser and errors work the same`, async (t) => {
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
      const url = await serve(t, app)
      const browser = new Browser(url, { 'x-forwarded-proto': 'https' })
      const seen = []
      for (const path of ['/shop/cart', '/shop/cart', '/shop/fail', '/shop/cart', '/other/cart']) {
        seen.push(await browser.text(path))
      }
      const plain = new Browser(url)
      seen.push(await plain.text('/shop/cart'), plain.cookies(), browser.cookies(), { ...store.sessions })
      return seen
    })
  })
}

test('concurrent requests of one visitor have one session', async (t) => {
  const use = session({ secret: 'k', resave: false, saveUninitialized: true })
  const browser = new Browser(await serve(t, (req, res) => use(req, res, () => res.end(req.sessionID))))
  const id = await browser.text('/')
  const ids = await Promise.all(Array.from({ length: 100 }, () => browser.text('/')))
  assert.deepEqual(new Set(ids), new Set([id]))
})
