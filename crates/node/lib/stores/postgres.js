'use strict'

// Stores sessions in PostgreSQL, in the table of connect-pg-simple.

const os = require('node:os')

const { postgresStore } = require('../native')
const { NativeStore } = require('./base')
const { databaseUrl } = require('./database-url')
const { count, flag, interval, millis, name, port, read, seconds, text } = require('./options')

const CONNECTION = 'the store opens its own connections, use conString or conObject'

const OPTIONS = {
  known: {
    url: text,
    conString: text,
    conObject,
    tableName: name,
    schemaName: name,
    createTableIfMissing: flag,
    ttl: seconds,
    disableTouch: flag,
    pruneSessionInterval: interval(seconds),
    pruneSessionRandomizedInterval: flag,
    max: count,
    timeout: millis,
    maxWaiting: count,
    probeInterval: millis
  },
  refused: {
    pool: CONNECTION,
    pgPromise: CONNECTION,
    errorLog: 'errors of the cleanup are not reported'
  }
}

// The options of pg that name the database.
const CON_OBJECT = {
  known: { connectionString: text, host: text, port, user: text, password: text, database: text, max: count },
  refused: { ssl: 'use sslmode in conString' }
}

module.exports = class PostgresStore extends NativeStore {
  #quotedTable

  constructor(given = {}) {
    const { url, conString, conObject, disableTouch, max, probeInterval, ...options } = read(
      'PostgresStore',
      given,
      OPTIONS
    )
    const address = url ?? (conObject ? addressOf(conObject) : conString) ?? process.env.DATABASE_URL ?? addressOf({})
    options.maxConnections = max ?? conObject?.max
    super(() => postgresStore(address, options), { probeInterval, disableTouch })
    const { schemaName, tableName = 'session' } = options
    this.#quotedTable = (schemaName ? [schemaName, tableName] : [tableName]).map(quote).join('.')
  }

  pruneSessions(fn) {
    return this.prune(fn)
  }

  // Returns the name of the table, for an SQL statement.
  quotedTable() {
    return this.#quotedTable
  }
}

function conObject(value) {
  return read('PostgresStore, conObject', value, CON_OBJECT)
}

function quote(name) {
  return `"${name.replaceAll('"', '""')}"`
}

// Returns the URL of the database. As in pg, the environment has the defaults.
function addressOf({ connectionString, host, port, user, password, database }) {
  if (connectionString) return connectionString
  const { PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE } = process.env
  const login = user ?? PGUSER ?? os.userInfo().username
  return databaseUrl('postgres', {
    host: host ?? PGHOST ?? 'localhost',
    port: port ?? PGPORT ?? 5432,
    user: login,
    password: password ?? PGPASSWORD,
    database: database ?? PGDATABASE ?? login
  })
}
