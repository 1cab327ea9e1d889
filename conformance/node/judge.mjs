// Plays scenarios to the real express-session, or to the module that is named in its place: one scenario a
// line in, one outcome a line out.
//
// There is no network. The clock stands still during a request, and ids are counted, so that an outcome
// depends only on its scenario. The formats are those of conformance/src/scenario.rs.

import readline from 'node:readline'

import { exchange } from '../../crates/node/testing/wire.mjs'

const { default: session } = await import(process.argv[2] ?? 'express-session')

// Our package warns of mistakes, which scenarios are full of. The warnings are on, as in development, so that a
// difference that they make is found; they are not printed.
process.removeAllListeners('warning')

let clock = 0
Date.now = () => clock

let crashed = null
process.on('uncaughtException', (error) => crashed?.(error))

const lines = readline.createInterface({ input: process.stdin, crlfDelay: Infinity })
for await (const line of lines) {
  const outcome = await play(JSON.parse(line)).catch((error) => ({ crash: String(error.stack) }))
  process.stdout.write(JSON.stringify(outcome) + '\n')
}

async function play(scenario) {
  const store = new session.MemoryStore()
  for (const { id, text } of scenario.seeds ?? []) store.sessions[id] = text
  const spy = watch(store)
  const responses = []
  for (const request of scenario.requests) {
    const server = scenario.servers[request.server ?? 0]
    store.touch = server.noTouch ? undefined : spy.touch
    const { ids = {}, departures } = scenario
    const middleware = session({ ...options(server, store, ids), departures })
    const crash = new Promise((_, reject) => { crashed = reject })
    responses.push(await Promise.race([answer(middleware, store, spy, request), crash]))
  }
  return { responses }
}

function options(server, store, ids) {
  const cookie = (attributes) => Object.assign({}, ...(attributes ?? []).map(attribute))
  const first = cookie(server.cookie)
  const other = cookie(server.altCookie)
  return {
    store,
    name: server.name,
    secret: server.secrets,
    genid: (req) =>
      ids.fixed ?? `${ids.prefix ?? ''}${req.tag}n${req.generated++}${ids.suffix ?? ''}`,
    proxy: server.proxy,
    resave: server.resave ?? false,
    rolling: server.rolling ?? false,
    saveUninitialized: server.saveUninitialized ?? false,
    unset: server.unsetDestroys ? 'destroy' : 'keep',
    cookie: server.cookieFunction ? (req) => ({ ...(req.alt ? other : first) }) : first
  }
}

// One attribute, `{"expires": 1700000000123}`, as express-session takes it.
function attribute(one) {
  return typeof one.expires === 'number' ? { expires: new Date(one.expires) } : one
}

// Logs every call to the store, and makes those fail that the request names.
function watch(store) {
  const spy = { calls: [], fail: [] }
  const around = (verb, log) => {
    const real = store[verb].bind(store)
    spy[verb] = store[verb] = (...args) => {
      spy.calls.push({ [verb]: log(...args) })
      if (!spy.fail.includes(verb)) return real(...args)
      const callback = args.at(-1)
      setImmediate(() => callback(Object.assign(new Error('the store failed'), { store: true })))
    }
  }
  around('get', (id) => id)
  around('set', (id, data) => [id, JSON.stringify(data)])
  around('touch', (id, data) => [id, JSON.stringify(data.cookie)])
  around('destroy', (id) => id)
  return spy
}

async function answer(middleware, store, spy, request) {
  clock = request.at
  spy.calls = []
  spy.fail = request.fail ?? []

  const { req, res, wire } = exchange(request)
  Object.assign(req, { tag: request.tag, generated: 0, alt: request.alt ?? false })
  // The result of Express's `trust proxy`.
  if (request.secure) req.secure = true
  const view = []
  const late = []

  await new Promise((resolve, reject) => {
    res.on('finish', resolve)
    const fail = (error) => {
      if (res.headersSent) return late.push(error.message)
      res.statusCode = 500
      res.end()
    }
    const handler = async (error) => {
      if (error) return fail(error)
      if (request.setCookie) res.setHeader('Set-Cookie', request.setCookie)
      if (request.contentLength) res.setHeader('Content-Length', 2)
      for (const op of request.ops ?? []) view.push(await perform(op, req, res, store))
      res.end(res.headersSent ? 'k' : 'ok')
    }
    middleware(req, res, (error) => handler(error).catch(reject))
  })
  // Errors that express-session defers come now, and are not part of the response.
  await new Promise((resolve) => setImmediate(resolve))

  return {
    status: Number(wire.head.split(' ')[1]),
    setCookie: wire.cookies,
    calls: spy.calls,
    view,
    records: records(store),
    late: late.length ? late : undefined
  }
}

// The live records, by the rule of the store itself.
function records(store) {
  return Object.fromEntries(Object.entries(store.sessions).filter(([, text]) => {
    const expires = JSON.parse(text).cookie?.expires
    const time = typeof expires === 'string' ? new Date(expires) : expires
    return !(time && time <= clock)
  }))
}

// Performs one operation of a handler, and returns the result that the handler sees.
async function perform(op, req, res, store) {
  // Sends the headers, and half of the body.
  if (op.op === 'flush') {
    if (!res.headersSent) res.write('o')
    return 'ok'
  }
  const session = req.session
  if (session == null) return 'no session'
  const has = (key) => Object.hasOwn(session, key)
  switch (op.op) {
    case 'get': return JSON.stringify(session[op.key]) ?? 'undefined'
    case 'set': session[op.key] = op.value; return 'ok'
    case 'remove': delete session[op.key]; return 'ok'
    case 'contains': return String(has(op.key))
    case 'keys': return JSON.stringify(Object.keys(session).filter((key) => key !== 'cookie'))
    case 'clear':
      for (const key of Object.keys(session)) if (key !== 'cookie') delete session[key]
      return 'ok'
    case 'same': if (has(op.key)) session[op.key] = session[op.key]; return 'ok'
    case 'readd': {
      if (!has(op.key)) return 'ok'
      const value = session[op.key]
      delete session[op.key]
      session[op.key] = value
      return 'ok'
    }
    case 'revert': {
      const before = has(op.key) ? { value: session[op.key] } : null
      session[op.key] = op.value
      if (before) session[op.key] = before.value
      else delete session[op.key]
      return 'ok'
    }
    case 'increment': {
      const before = session[op.key]
      session[op.key] = typeof before === 'number' ? before + 1 : 1
      return JSON.stringify(session[op.key])
    }
    case 'id': return session.id
    case 'cookie': {
      const { expires, originalMaxAge } = session.cookie
      // A stored record may have a number; elsewhere it is a date.
      const date = typeof expires === 'number' ? new Date(expires) : expires
      const known = date instanceof Date && !isNaN(date)
      return JSON.stringify({
        // The remaining time is never negative, as a Rust duration is not.
        maxAge: known ? Math.max(0, date - clock) : null,
        originalMaxAge: typeof originalMaxAge === 'number' ? Math.max(0, originalMaxAge) : null,
        expires: known ? date.toISOString() : null
      })
    }
    case 'setCookie': Object.assign(session.cookie, attribute(op.to)); return 'ok'
    case 'touch': session.touch(); return 'ok'
    case 'save': return done((callback) => session.save(callback))
    case 'reload': return done((callback) => session.reload(callback))
    case 'regenerate': return done((callback) => session.regenerate(callback))
    case 'destroy': return done((callback) => session.destroy(callback))
    case 'unset': req.session = null; return 'ok'
    // Another request of the same visitor, as far as the store can see.
    case 'rivalSet': store.sessions[session.id] = op.text; return 'ok'
    case 'rivalDestroy': delete store.sessions[session.id]; return 'ok'
    default: throw new Error(`no such operation: ${op.op}`)
  }
}

// Waits for a method with a callback, and returns the name of its result that both sides share.
function done(start) {
  return new Promise((resolve) => start((error) => {
    if (!error) resolve('ok')
    else if (error.store) resolve('error: store')
    else if (error.message === 'failed to load session') resolve('error: gone')
    else resolve(`error: ${error.message}`)
  }))
}
