'use strict'

// Stores sessions in MySQL or MariaDB, in the table of express-mysql-session.

const { mysqlStore } = require('../native')
const { NativeStore } = require('./base')
const { databaseUrl } = require('./database-url')
const { count, flag, millis, name, oneOf, port, read, text } = require('./options')

const OPTIONS = {
  known: {
    url: text,
    host: text,
    port,
    user: text,
    password: text,
    database: text,
    clearExpired: flag,
    checkExpirationInterval: millis,
    expiration: millis,
    createDatabaseTable: flag,
    disableTouch: flag,
    // The character set of a new table.
    charset: oneOf('utf8mb4_bin'),
    schema,
    connectionLimit: count,
    timeout: millis,
    probeInterval: millis
  },
  // Options of mysql2's connection pool.
  idle: ['endConnectionOnClose', 'idleTimeout', 'maxIdle', 'queueLimit', 'waitForConnections']
}

const SCHEMA = { known: { tableName: name, columnNames } }
const COLUMNS = { known: { session_id: name, expires: name, data: name } }

module.exports = class MySqlStore extends NativeStore {
  constructor(given = {}, connection) {
    if (connection !== undefined) {
      throw new TypeError('MySqlStore takes no connection: the store opens its own, use host, user and so on')
    }
    const { url, host = 'localhost', port = 3306, user, password, database, ...others } = read(
      'MySqlStore',
      given,
      OPTIONS
    )
    const { disableTouch, charset: _, schema, probeInterval, ...options } = others
    const address = url ?? databaseUrl('mysql', { host, port, user, password, database })
    super(() => mysqlStore(address, { ...options, ...schema }), { probeInterval, disableTouch })
  }

  all(fn) {
    return this.allById(fn)
  }

  // Waits until the server answers and the table exists.
  onReady() {
    return this.call(async (native) => void (await native.load('ready', Date.now())))
  }

  clearExpiredSessions(fn) {
    return this.prune(fn)
  }
}

function schema(value) {
  return read('MySqlStore, schema', value, SCHEMA)
}

function columnNames(value) {
  const { session_id: id = 'session_id', expires = 'expires', data = 'data' } = read(
    'MySqlStore, schema.columnNames',
    value,
    COLUMNS
  )
  return [id, expires, data]
}
