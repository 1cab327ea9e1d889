'use strict'

// The members that the npm stores have beside express-session's interface. Those without an equal here say what to use.

const { errorWithCode } = require('./failure')

module.exports = { addCounterparts, show }

const CLIENT = 'the store has its own connection, use a client of your own'
const QUERY = 'the store has its own connections, use a driver of your own'
const PRUNING = 'use the option pruneSessionInterval, or prune()'
const CLEARING = 'use the options clearExpired and checkExpirationInterval, or prune()'
const CLEANUP = 'use the option cleanupInterval, or prune()'
const REAPING = 'use the option reapInterval, or prune()'

// For each store: methods under their names in the npm store, and the reasons why methods and properties are missing.
const STORES = {
  RedisStore: { properties: { client: CLIENT } },
  PostgresStore: {
    methods: { query: QUERY, getPruneDelay: PRUNING },
    properties: { pool: QUERY, pruneTimer: PRUNING }
  },
  MySqlStore: {
    same: { closeStore: 'close' },
    methods: {
      query: QUERY,
      setExpirationInterval: CLEARING,
      clearExpirationInterval: CLEARING,
      createDatabaseTable: 'use the option createDatabaseTable, and onReady()'
    },
    properties: { connection: QUERY }
  },
  SqliteStore: {
    same: { clearExpiredSessions: 'prune', dbCleanup: 'prune' },
    methods: {
      startInterval: CLEANUP,
      stopInterval: CLEANUP,
      createDb: 'use the option createTable'
    },
    properties: {
      client: 'the store opens the file itself, use a driver of your own',
      db: 'the store opens the file itself, use a driver of your own',
      knex: 'the store opens the file itself, use a driver of your own',
      nextDbCleanup: CLEANUP
    }
  },
  FileStore: {
    methods: { startInterval: REAPING, stopInterval: REAPING },
    properties: { reapIntervalObject: REAPING }
  },
  MemcachedStore: { properties: { client: CLIENT } },
  MemoryStore: {
    properties: { store: 'the sessions are outside of JavaScript, use all()' }
  }
}

// Adds them to the classes of the stores.
function addCounterparts(stores) {
  for (const [name, { same = {}, methods = {}, properties = {} }] of Object.entries(STORES)) {
    const { prototype } = stores[name]
    const fail = (member, advice) => () => {
      throw errorWithCode('ERR_STORE_UNSUPPORTED', `${name} has no ${member}: ${advice}`)
    }
    for (const [member, method] of Object.entries(same)) define(prototype, member, { value: prototype[method], writable: true })
    for (const [member, advice] of Object.entries(methods)) {
      define(prototype, member, { value: fail(`${member}()`, advice), writable: true })
    }
    // Read only, so that a check like `'client' in store` is not an error.
    for (const [member, advice] of Object.entries(properties)) define(prototype, member, { get: fail(member, advice) })
  }
}

// Shows options as properties of a store, as the npm store does, each with its default.
function show(store, given, defaults) {
  for (const [name, value] of Object.entries(defaults)) {
    define(store, name, { value: given[name] ?? value, writable: true })
  }
}

// Not enumerable, as the other members of a class.
function define(target, name, descriptor) {
  Object.defineProperty(target, name, { configurable: true, ...descriptor })
}
