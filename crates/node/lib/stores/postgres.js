'use strict'

// Sessions in PostgreSQL, in the table of connect-pg-simple.

const os = require('node:os')

const { postgresStore } = require('../native')
const { addressOf } = require('./address')
const { NativeStore } = require('./base')
const { count, flag, interval, millis, name, port, read, seconds, text } = require('./options')

const CONNECTION = 'the store makes its own connections, say conString or conObject'

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
    probeInterval: millis
  },
  refused: {
    pool: CONNECTION,
    pgPromise: CONNECTION,
    errorLog: 'what fails while it cleans up is not told'
  }
}

// What of pg's own options says where the database is.
const PLACE = {
  known: { connectionString: text, host: text, port, user: text, password: text, database: text, max: count },
  refused: { ssl: 'it is asked for by sslmode, in conString' }
}

module.exports = class PostgresStore extends NativeStore {
  constructor(given = {}) {
    const { url, conString, conObject, disableTouch, max, probeInterval, ...options } = read(
      'PostgresStore',
      given,
      OPTIONS
    )
    const place = url ?? (conObject ? placeOf(conObject) : conString) ?? process.env.DATABASE_URL ?? placeOf({})
    options.maxConnections = max ?? conObject?.max
    super(() => postgresStore(place, options), { probeInterval, disableTouch })
  }

  pruneSessions(fn) {
    return this.prune(fn)
  }
}

function conObject(value) {
  return read('PostgresStore, conObject', value, PLACE)
}

// What is not said, pg takes from the environment.
function placeOf({ connectionString, host, port, user, password, database }) {
  if (connectionString) return connectionString
  const { PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE } = process.env
  const who = user ?? PGUSER ?? os.userInfo().username
  return addressOf('postgres', {
    host: host ?? PGHOST ?? 'localhost',
    port: port ?? PGPORT ?? 5432,
    user: who,
    password: password ?? PGPASSWORD,
    database: database ?? PGDATABASE ?? who
  })
}
