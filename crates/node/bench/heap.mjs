// What a million sessions cost: how much the heap of JavaScript and the process grow.
//
//   node --expose-gc bench/heap.mjs STORE [SESSIONS]
//
// STORE is classic (express-session's own memory store) or native. Prints a line of JSON.

import original from 'express-session'
import { MemoryStore } from 'express-session-rs/stores'

const [kind = 'native', count = '1000000'] = process.argv.slice(2)
const stores = { classic: () => new original.MemoryStore(), native: () => new MemoryStore() }
const store = stores[kind]()
const sessions = Number(count)

// Callbacks, and a turn of the event loop now and then: as requests would.
await fill(0, 1000)
const before = memory()
await fill(1000, sessions + 1000)
const after = memory()

console.log(JSON.stringify({
  store: kind,
  sessions,
  heapBytes: after.heapUsed - before.heapUsed,
  rssBytes: after.rss - before.rss,
  rssBytesPerSession: Math.round((after.rss - before.rss) / sessions),
  lastCollectionMillis: Math.round(after.collection)
}))

async function fill(from, to) {
  for (let number = from; number < to; number++) {
    const sid = number.toString(36).padStart(32, 'a')
    const cookie = new original.Cookie({ maxAge: 86_400_000 })
    const session = new original.Session({ sessionID: sid }, { cookie, user: { name: 'bob' }, views: number })
    store.set(sid, session, () => {})
    if (number % 1000 === 0) await new Promise(setImmediate)
  }
  await new Promise(setImmediate)
}

function memory() {
  const start = performance.now()
  globalThis.gc()
  const collection = performance.now() - start
  const { heapUsed, rss } = process.memoryUsage()
  return { heapUsed, rss, collection }
}
