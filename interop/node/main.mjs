// The Node side: one npm store, called by lines on the standard input, with one answer a line.
//
// `{"do":"set","id":"…",…}` in, `{"ok":…}` or `{"error":"…"}` out. The possible calls are in `verbs` below. Sessions are
// real ones of express-session, and go through the same steps as in a request. A line may set the time, with `now`.

import fs from 'node:fs'
import readline from 'node:readline'
import flash from 'connect-flash'
import csurf from 'csurf'
import express from 'express'
import session from 'express-session'
import { done, stores } from './stores.mjs'

// The standard output is for answers alone.
console.log = console.error

let opened

// The time of the last line that has set it.
let clock

class StoppedDate extends Date {
  constructor(...args) {
    super(...(args.length ? args : [clock]))
  }

  static now() {
    return clock
  }
}

const verbs = {
  // Creates an empty database and returns its URL.
  prepare: ({ kind, ...place }) => stores[kind].prepare(place),

  // Opens the store and returns the versions of its packages.
  async open({ kind, ...place }) {
    opened = await stores[kind].open(place)
    middleware()
    return stores[kind].packages.map(version).join(', ')
  },

  // Saves a new session with these members and options of the cookie.
  async set({ id, members, cookie }) {
    const req = { ...request(id), cookie }
    opened.generate(req)
    Object.assign(req.session, JSON.parse(members))
    await ask('set', id, req.session)
  },

  // Saves a session that is given as JSON.
  put: ({ id, text }) => ask('set', id, create(id, JSON.parse(text))),

  // Returns the session that a request would find, as JSON.
  async get({ id }) {
    const data = await load(id)
    return data && JSON.stringify(data)
  },

  // Changes one member, as a request does.
  async change({ id, key, value }) {
    const session = await inflate(id)
    session[key] = value
    session.touch()
    await ask('set', id, session)
  },

  // Touches the stored session, or one that is given as JSON, as a request does that changes nothing.
  async touch({ id, text }) {
    const session = text ? create(id, JSON.parse(text)) : await inflate(id)
    session.touch()
    await ask('touch', id, session)
  },

  // Saves one session again and again, from memory: 1, 2, 3 …
  async write({ id, key, times }) {
    const session = await inflate(id)
    for (let time = 1; time <= times; time++) {
      session[key] = time
      await ask('set', id, session)
    }
  },

  destroy: ({ id }) => ask('destroy', id),
  // Not all can count, and Memcached's gives statistics.
  async length() {
    const length = opened.store.length && (await ask('length'))
    return typeof length === 'number' ? length : (await opened.ids()).length
  },
  async clear() {
    await (opened.store.clear ? ask('clear') : opened.empty())
  },
  raw: async ({ id }) => (await opened.raw(id)) ?? null,
  expire: async ({ id, at }) => void (await opened.expire(id, at)),
  ids: () => opened.ids(),
  empty: async () => void (await opened.empty()),

  // Starts an Express application with this store and gives its port.
  async serve({ secret }) {
    const app = express()
    app.use(session({ store: opened.store, secret, resave: false, saveUninitialized: false }))
    app.get('/', (req, res) => {
      req.session.views = (req.session.views ?? 0) + 1
      res.send(String(req.session.views))
    })
    app.get('/logout', (req, res, next) => {
      req.session.destroy((error) => (error ? next(error) : res.send('bye')))
    })
    // As passport stores a login.
    app.get('/login/:user', (req, res, next) => {
      req.session.regenerate((error) => {
        if (error) return next(error)
        req.session.passport = { user: req.params.user }
        res.send('hello')
      })
    })
    app.get('/who', (req, res) => res.send(req.session.passport?.user ?? 'a guest'))
    app.use(flash())
    app.get('/say/:message', (req, res) => {
      req.flash('info', req.params.message)
      res.send('said')
    })
    app.get('/hear', (req, res) => res.json(req.flash('info')))
    app.get('/token', csurf(), (req, res) => res.send(req.csrfToken()))
    // By default, csurf does not verify a GET.
    app.get('/pay', csurf({ ignoreMethods: [] }), (req, res) => res.send('paid'))
    // Express would print the refusals.
    app.use((error, req, res, next) => {
      if (error.code === 'EBADCSRFTOKEN') res.sendStatus(403)
      else next(error)
    })
    const server = app.listen(0, '127.0.0.1')
    await new Promise((resolve, reject) => server.on('listening', resolve).on('error', reject))
    return server.address().port
  }
}

const lines = readline.createInterface({ input: process.stdin, crlfDelay: Infinity })
for await (const line of lines) {
  const { do: verb, now, ...given } = JSON.parse(line)
  if (now) {
    clock = now
    globalThis.Date = StoppedDate
  }
  const answer = await Promise.resolve(given).then(verbs[verb]).then(
    (ok) => ({ ok: ok ?? null }),
    (error) => ({ error: told(error), missing: isMissing(error) })
  )
  process.stdout.write(JSON.stringify(answer) + '\n')
}
process.exit()

// A package's name and version; a driver may be its store's own.
function version(name, _at, [store]) {
  const places = [`${store}/node_modules/${name}`, name]
    .map((place) => new URL(`node_modules/${place}/package.json`, import.meta.url))
  const found = JSON.parse(fs.readFileSync(places.find(fs.existsSync), 'utf8'))
  return `${found.name} ${found.version}`
}

// Returns the error's text without the path of this file.
function told(error) {
  return String(error).replace(/ imported from .*/, '')
}

// Whether a package is not there, or its native part was not built.
function isMissing({ code, message }) {
  const codes = ['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND', 'ERR_DLOPEN_FAILED']
  return codes.includes(code) || /bindings file/.test(message)
}

// Puts express-session around the store, which teaches it to make new sessions.
function middleware() {
  const { store } = opened
  const genid = (req) => req.sessionID
  const cookie = (req) => req.cookie
  session({ store, secret: 's', genid, cookie, resave: false, saveUninitialized: false })
  opened.generate = store.generate
}

// A request, as far as stores see it.
function request(id) {
  return { sessionID: id, sessionStore: opened.store }
}

function ask(verb, ...values) {
  return done((callback) => opened.store[verb](...values, callback))
}

async function load(id) {
  try {
    return (await ask('get', id)) || null
  } catch (error) {
    // express-session treats this error as "not found".
    if (error.code === 'ENOENT') return null
    throw error
  }
}

function create(id, data) {
  return opened.store.createSession(request(id), data)
}

async function inflate(id) {
  const data = await load(id)
  if (!data) throw new Error('no such session')
  return create(id, data)
}
