'use strict'

// Stores sessions in MySQL or MariaDB, in the table of express-mysql-session.

const { mysqlStore } = require('../native')
const { NativeStore } = require('./base')
const { databaseUrl, withParameters } = require('./database-url')
const { connections, count, flag, lasting, millis, name, oneOf, port, read, text } = require('./options')
const { sealed } = require('./sealed')
const { encryption, nodeAuthorities } = require('./tls')

const TIMEOUT = 'use timeout, which is that of a call'
const LOGIN = 'use user and password'

const OPTIONS = {
  known: {
    url: text,
    // As in mysql2.
    uri: text,
    host: text,
    port,
    user: text,
    password: text,
    database: text,
    socketPath: text,
    ssl,
    clearExpired: flag,
    checkExpirationInterval: millis,
    expiration: lasting,
    createDatabaseTable: flag,
    disableTouch: flag,
    // The character set of a new table.
    charset: oneOf('utf8mb4_bin', 'utf8mb4', 'UTF8MB4_BIN', 'UTF8MB4'),
    schema,
    sealed: sealed('MySqlStore'),
    connectionLimit: connections,
    timeout: millis,
    maxWaiting: count,
    probeInterval: millis
  },
  idle: [
    // Options of mysql2's connection pool.
    'endConnectionOnClose',
    'enableKeepAlive',
    'gracefulEnd',
    'idleTimeout',
    'keepAliveInitialDelay',
    'maxIdle',
    'queueLimit',
    'waitForConnections',
    // Options of its connections, about values and statements that the store does not have.
    'bigNumberStrings',
    'connectAttributes',
    'dateStrings',
    'debug',
    'decimalNumbers',
    'disableEval',
    'jsonStrings',
    'maxPreparedStatements',
    'multipleStatements',
    'namedPlaceholders',
    'nestTables',
    'rowsAsArray',
    'stringifyObjects',
    'supportBigNumbers',
    'timezone',
    'trace',
    'typeCast'
  ],
  refused: {
    acquireTimeout: TIMEOUT,
    authPlugins: LOGIN,
    authSwitchHandler: LOGIN,
    compress: 'use compression=true in url',
    connectTimeout: TIMEOUT,
    enableCleartextPlugin: 'use enable_cleartext_plugin=true in url',
    flags: 'the store sets its own',
    infileStreamFactory: 'the store reads no files',
    insecureAuth: 'the old passwords are not supported',
    localAddress: 'the system chooses it',
    passwordSha1: LOGIN,
    password1: LOGIN,
    password2: LOGIN,
    password3: LOGIN,
    queryFormat: 'the store has its own statements',
    stream: 'the store opens its own connections'
  }
}

const SCHEMA = { known: { tableName: name, columnNames } }
const COLUMNS = { known: { session_id: name, expires: name, data: name } }

module.exports = class MySqlStore extends NativeStore {
  constructor(given = {}, connection) {
    if (connection !== undefined) {
      throw new TypeError('MySqlStore takes no connection: the store opens its own, use host, user and so on')
    }
    const options = read('MySqlStore', given, OPTIONS)
    const { clearExpired, checkExpirationInterval, expiration, createDatabaseTable, schema } = options
    const { connectionLimit, timeout, maxWaiting, disableTouch, probeInterval } = options
    const native = { clearExpired, checkExpirationInterval, expiration, createDatabaseTable, ...schema }
    Object.assign(native, { connectionLimit, timeout, maxWaiting, nodeAuthorities: nodeAuthorities() })
    const url = addressOf(options)
    super(() => mysqlStore(url, native, options.sealed), { probeInterval, disableTouch })
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

function addressOf(options) {
  const { uri, url = uri, host = 'localhost', port = 3306, user, password, database, socketPath, ssl } = options
  const address = url ?? databaseUrl('mysql', { host, port, user, password, database })
  const parameters = []
  if (socketPath) parameters.push(`socketPath=${encodeURIComponent(socketPath)}`)
  if (ssl) parameters.push(`ssl=${encodeURIComponent(JSON.stringify(ssl))}`)
  return withParameters(address, parameters)
}

function ssl(value, refuse) {
  if (typeof value === 'string') return refuse(`{ ca }, with the certificates of the profile`)
  return encryption('MySqlStore, ssl', { known: { verifyIdentity: flag } })(value, refuse)
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
