// The child process of npm-store.mjs.

import { done, stores } from '../../../interop/node/stores.mjs'

let now
let opened

// The test sets the time.
globalThis.Date = class extends Date {
  constructor(...args) {
    super(...(args.length ? args : [now]))
  }

  static now() {
    return now
  }
}

const verbs = {
  async open(kind, place) {
    const url = await stores[kind].prepare(place)
    opened = await stores[kind].open({ ...place, url })
    return url
  },
  set: (sid, text) => ask('set', sid, sessionOf(sid, text)),
  async touch(sid, text) {
    if (opened.store.touch) await ask('touch', sid, sessionOf(sid, text))
  },
  get: async (sid) => JSON.stringify((await ask('get', sid)) ?? null),
  destroy: (sid) => ask('destroy', sid),
  raw: (sid) => opened.raw(sid),
  expire: async (sid, at) => void (await opened.expire(sid, at)),
  ids: () => opened.ids(),
  empty: async () => void (await opened.empty())
}

process.on('message', async ({ verb, args, now: time }) => {
  now = time
  try {
    process.send({ answer: await verbs[verb](...args) })
  } catch (error) {
    process.send({ error: String(error) })
  }
})
process.on('disconnect', () => process.exit())

function ask(verb, ...args) {
  return done((callback) => opened.store[verb](...args, callback))
}

// Creates a session as express-session passes it to a store.
function sessionOf(sid, text) {
  const { store } = opened
  return store.createSession({ sessionID: sid, sessionStore: store }, JSON.parse(text))
}
