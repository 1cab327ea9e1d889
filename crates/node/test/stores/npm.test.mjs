// The npm stores: with this package they have the same calls and records as with express-session.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { mock, test } from 'node:test'

import { visit } from '../../testing/counter.mjs'
import { folder, missingNpmStores, missingServer, urls } from '../../testing/servers.mjs'
import { options, original, ours, recordCalls } from '../../testing/sides.mjs'

// The npm stores of the interop task, except memorystore, which is a dependency of this package's tests.
const npm = createRequire(new URL('../../../../interop/node/package.json', import.meta.url))
const require = createRequire(import.meta.url)

// [name, a function that returns the store and a function that closes it, server]
const STORES = [
  ['connect-redis', async () => {
    const client = await npm('redis').createClient({ url: urls.redis }).connect()
    const { RedisStore } = npm('connect-redis')
    return [new RedisStore({ client, prefix: 'npm:' }), () => client.quit()]
  }, 'redis'],
  ['connect-pg-simple', async (session) => {
    const Store = npm('connect-pg-simple')(session)
    const store = new Store({ conString: await ownDatabase(), createTableIfMissing: true })
    return [store, () => store.close()]
  }, 'postgres'],
  ['express-mysql-session', async (session) => {
    const { hostname: host, port, username: user, pathname } = new URL(urls.mysql)
    const Store = npm('express-mysql-session')(session)
    const database = pathname.slice(1)
    const store = new Store({ host, port: Number(port), user, database, schema: { tableName: 'npm' } })
    await store.onReady()
    return [store, () => store.close()]
  }, 'mysql'],
  ['connect-memcached', (session) => {
    const Store = npm('connect-memcached')(session)
    const store = new Store({ hosts: [new URL(urls.memcached).host], prefix: 'npm:' })
    return [store, () => store.client.end()]
  }, 'memcached'],
  ['connect-sqlite3', async (session) => {
    const Store = npm('connect-sqlite3')(session)
    const store = new Store({ dir: folder() })
    await new Promise((resolve) => store.client.on('connect', resolve))
    return [store, () => store.db.close()]
  }],
  ['connect-session-knex', async () => {
    const { ConnectSessionKnexStore } = npm('connect-session-knex')
    const connection = { filename: `${folder()}/sessions.db` }
    const knex = npm('knex')({ client: 'sqlite3', connection, useNullAsDefault: true })
    const store = new ConnectSessionKnexStore({ knex })
    await store.ready
    return [store, () => knex.destroy()]
  }],
  ['session-file-store', (session) => {
    const Store = npm('session-file-store')(session)
    // Its log is about the store only.
    const store = new Store({ path: folder(), reapInterval: -1, retries: 0, logFn() {} })
    return [store, () => {}]
  }],
  ['memorystore', (session) => {
    const Store = require('memorystore')(session)
    const store = new Store({ checkPeriod: 86_400_000 })
    return [store, () => store.stopInterval()]
  }]
]

// Creates a database if it is missing. A database can have only one table of connect-pg-simple, because the name of
// the table's key is fixed.
async function ownDatabase() {
  const client = new (npm('pg').Client)({ connectionString: urls.postgres })
  await client.connect()
  const { rowCount } = await client.query("SELECT FROM pg_database WHERE datname = 'npm'")
  if (!rowCount) await client.query('CREATE DATABASE npm')
  await client.end()
  return Object.assign(new URL(urls.postgres), { pathname: '/npm' }).href
}

// The clock stands still, so that the times in the records of both sides are equal.
mock.timers.enable({ apis: ['Date'], now: Date.now() })

for (const [name, open, server] of STORES) {
  const skip = missingNpmStores() || missingServer(server)

  test(`${name} gets the same calls and has the same records`, { skip }, async (t) => {
    const theirs = await play(t, original, open)
    assert.deepEqual(await play(t, ours, open), theirs)
    assert.equal(theirs.pages.join(), '1,2,2,new,1,1,bye,nothing,1')
    assert.equal(theirs.last.views, 1)
    // The visit makes every kind of call.
    const verbs = new Set(theirs.calls.map(([verb]) => verb))
    assert.deepEqual([...verbs].sort(), ['destroy', 'get', 'set', 'touch'])
  })
}

// Visits the counter, and returns the pages, the calls of the store, and the final record.
async function play(t, session, open) {
  const [store, close] = await open(session)
  try {
    const calls = recordCalls(store)
    const visitor = await visit(t, session(options({ store, cookie: { maxAge: 3_600_000 } })))
    const pages = []
    for (const page of ['/', '/', '/look', '/renew', '/', '/reload', '/leave', '/look', '/']) {
      pages.push(await visitor.text(page))
    }
    const [, id] = calls.at(-1)
    const last = await new Promise((resolve, reject) => {
      store.get(id, (error, record) => (error ? reject(error) : resolve(record)))
    })
    // Leaves no records for the other side.
    await new Promise((resolve) => store.destroy(id, resolve))
    return { pages, calls, last }
  } finally {
    await close()
  }
}
