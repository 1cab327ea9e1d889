// The half of the shop that is on Express. The other half is examples/beside-express, with the same sessions.
//
// It runs in a process of its own: `node express.mjs MIDDLEWARE STORE REDIS_URL`.

import { createRequire } from 'node:module'

import { stores } from '../../../../interop/node/stores.mjs'

const MIDDLEWARES = {
  'express-session': { express: 'express4', session: 'express-session' },
  'express-session-rs': { express: 'express5', session: 'express-session-rs' }
}

const STORES = {
  'connect-redis': async (options) => (await stores.redis.open({ url, options })).store,
  native: async (options) => new (require('express-session-rs/stores').RedisStore)({ url, ...options })
}

const HALF_A_DAY = 12 * 60 * 60 * 1000

const require = createRequire(import.meta.url)
const [middleware, store, url] = process.argv.slice(2)
const express = require(MIDDLEWARES[middleware].express)
const session = require(MIDDLEWARES[middleware].session)

const app = express()
app.set('trust proxy', 1)
app.use(express.urlencoded({ extended: false }))
app.use(session({
  name: 'sid',
  secret: process.env.SECRET,
  resave: false,
  saveUninitialized: false,
  cookie: { secure: true, maxAge: HALF_A_DAY },
  store: await STORES[store]({ prefix: 'shop:' })
}))

app.get('/', (req, res) => {
  const { views, cart } = visit(req.session)
  Object.assign(req.session, { views: views + 1, cart })
  res.send(page(req.session))
})

app.get('/look', (req, res) => res.send(page(req.session)))

app.post('/cart', (req, res, next) => {
  const { views, cart } = visit(req.session)
  Object.assign(req.session, { views, cart: [...cart, { name: req.body.name, by: middleware }] })
  look(req, res, next)
})

// Keeps the cart only.
app.post('/login', (req, res, next) => {
  const { cart } = visit(req.session)
  req.session.regenerate((error) => {
    if (error) return next(error)
    Object.assign(req.session, { views: 0, cart, user: { name: req.body.name, by: middleware } })
    look(req, res, next)
  })
})

// Keeps everything, with a new id.
app.post('/renew', (req, res, next) => {
  const before = visit(req.session)
  req.session.regenerate((error) => {
    if (error) return next(error)
    Object.assign(req.session, before)
    look(req, res, next)
  })
})

app.post('/logout', (req, res, next) => {
  req.session.destroy((error) => (error ? next(error) : res.redirect(303, '/look')))
})

const server = app.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
process.on('disconnect', () => process.exit())

function visit({ views = 0, cart = [], user }) {
  return { views, cart, user }
}

// Saves explicitly, because a redirect may overtake the save at the end of the response.
function look(req, res, next) {
  req.session.save((error) => (error ? next(error) : res.redirect(303, '/look')))
}

// Returns the visit as JSON without HTML characters, and a form for each act.
function page(session) {
  const json = JSON.stringify({ by: middleware, visit: visit(session) })
  return `<!doctype html><pre>${json.replaceAll('&', '\\u0026').replaceAll('<', '\\u003c')}</pre>
    <form id="cart" method="post" action="/cart"><input name="name"><button>Into the cart</button></form>
    <form id="login" method="post" action="/login"><input name="name"><button>Log in</button></form>
    <form id="renew" method="post" action="/renew"><button>Renew</button></form>
    <form id="logout" method="post" action="/logout"><button>Log out</button></form>`
}
