// The npm stores: with this package they have the same calls and records as with express-session.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { mock, test } from 'node:test'

import { visit } from '../../testing/counter.mjs'
import { folder, missingNpmStores, missingServer, urls } from '../../testing/servers.mjs'
import { options, original, ours, recordCalls } from '../../testing/sides.mjs'

const require = createRequire(import.meta.url)

const isMissing = missingNpmStores()

// memorystore is a dependency of this package's tests, and the others are those of the interop task.
const { done, stores } = isMissing ? { stores: {} } : await import('../../../../interop/node/stores.mjs')
stores.memorystore = {
  prepare() {},
  open({ options, session }) {
    const Store = require('memorystore')(session)
    return { store: new Store(options) }
  }
}

// [name, kind, server, a function that closes the store, options]
const STORES = [
  ['connect-redis', 'redis', 'redis', ({ store }) => store.client.quit(), { prefix: 'npm:' }],
  ['connect-pg-simple', 'postgres', 'postgres', ({ pool }) => pool.end(), { createTableIfMissing: true }],
  ['express-mysql-session', 'mysql', 'mysql', ({ store }) => store.close(), {}],
  ['connect-memcached', 'memcached', 'memcached', ({ store }) => store.client.end(), { prefix: 'npm:' }],
  ['connect-sqlite3', 'connect-sqlite3', undefined, ({ store }) => store.db.close(), {}],
  ['connect-session-knex', 'connect-session-knex', undefined, ({ store }) => store.options.knex.destroy(), {}],
  ['session-file-store', 'file', undefined, () => {}, { reapInterval: -1 }],
  ['memorystore', 'memorystore', undefined, ({ store }) => store.stopInterval(), { checkPeriod: 86_400_000 }]
]

// The clock stands still, so that the times in the records of both sides are equal.
mock.timers.enable({ apis: ['Date'], now: Date.now() })

for (const [name, kind, server, close, storeOptions] of STORES) {
  const skip = isMissing || missingServer(server)

  test(`${name} gets the same calls and has the same records`, { skip }, async (t) => {
    const place = { url: urls[server], place: 0, folder: folder(), options: storeOptions }
    const url = await stores[kind].prepare(place)
    // Visits the counter, and returns the pages, the calls of the store, and the final record.
    const play = async (session) => {
      const opened = await stores[kind].open({ ...place, url, session })
      const { store } = opened
      try {
        const calls = recordCalls(store)
        const visitor = await visit(t, session(options({ store, cookie: { maxAge: 3_600_000 } })))
        const pages = []
        for (const page of ['/', '/', '/look', '/renew', '/', '/reload', '/leave', '/look', '/']) {
          pages.push(await visitor.text(page))
        }
        const [, id] = calls.at(-1)
        const last = await done((callback) => store.get(id, callback))
        // Leaves no records for the other side.
        await done((callback) => store.destroy(id, callback))
        return { pages, calls, last }
      } finally {
        await close(opened)
      }
    }
    const theirs = await play(original)
    assert.deepEqual(await play(ours), theirs)
    assert.equal(theirs.pages.join(), '1,2,2,new,1,1,bye,nothing,1')
    assert.equal(theirs.last.views, 1)
    // The visit makes every kind of call.
    const verbs = new Set(theirs.calls.map(([verb]) => verb))
    assert.deepEqual([...verbs].sort(), ['destroy', 'get', 'set', 'touch'])
  })
}
