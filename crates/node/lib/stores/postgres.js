'use strict'

// Stores sessions in PostgreSQL, in the table of connect-pg-simple.

const os = require('node:os')

const { postgresStore } = require('../native')
const { NativeStore } = require('./base')
const { databaseUrl, hostOf, withParameters } = require('./database-url')
const { connections, count, flag, interval, millis, name, port, read, seconds, text } = require('./options')
const { sealed } = require('./sealed')
const { encryption, nodeAuthorities } = require('./tls')

const CONNECTION = 'the store opens its own connections, use conString or conObject'

const OPTIONS = {
  known: {
    url: text,
    conString: text,
    conObject,
    // As in node-postgres.
    ssl: encryption('PostgresStore, ssl'),
    tableName: name,
    schemaName: name,
    createTableIfMissing: flag,
    userIndex: flag,
    ttl: seconds,
    disableTouch: flag,
    pruneSessionInterval: interval(seconds),
    pruneSessionRandomizedInterval: flag,
    max: connections,
    timeout: millis,
    maxWaiting: count,
    prepareStatements: flag,
    sealed: sealed('PostgresStore'),
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
  known: {
    connectionString: text,
    host: text,
    port,
    user: text,
    password: text,
    database: text,
    ssl: encryption('PostgresStore, conObject.ssl'),
    max: connections
  }
}

// The parameters of a URL that say whether to encrypt, and the values that demand a trusted certificate: an option that
// contradicts them is an error.
const MODE = /[?&](sslmode|ssl|sslaccept)=([^&#]*)/
const VERIFIES = /^(true|1|allow|prefer|require|verify-ca|verify-full|strict)$/

module.exports = class PostgresStore extends NativeStore {
  #quotedTable

  constructor(given = {}) {
    const { url, conString, conObject, ssl, disableTouch, max, sealed, probeInterval, ...options } = read(
      'PostgresStore',
      given,
      OPTIONS
    )
    const address = url ?? (conObject ? addressOf(conObject) : conString) ?? process.env.DATABASE_URL ?? addressOf({})
    options.maxConnections = max ?? conObject?.max
    const secured = withEncryption(address, ssl ?? conObject?.ssl)
    const native = { ...options, ...secured.certificates, nodeAuthorities: nodeAuthorities() }
    super(() => postgresStore(secured.url, native, sealed), { probeInterval, disableTouch })
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

// Returns the URL, and the certificates of the options. As in node-postgres, a mode in the URL decides.
function withEncryption(url, ssl) {
  const [, , mode] = MODE.exec(url) ?? []
  if (ssl === false && mode !== undefined && !['disable', 'false', '0'].includes(mode)) {
    throw new TypeError('PostgresStore: ssl is false, and the URL asks for encryption')
  }
  if (!ssl) return { url }
  const { rejectUnauthorized = true, servername, ca, cert, key } = ssl
  if (servername && servername !== hostOf(url)) {
    throw new TypeError('PostgresStore, ssl: servername must be the host of the URL')
  }
  if ((cert === undefined) !== (key === undefined)) throw new TypeError('PostgresStore, ssl: cert and key need each other')
  if (!rejectUnauthorized && VERIFIES.test(mode)) {
    throw new TypeError('PostgresStore, ssl: rejectUnauthorized is false, and the URL asks for a trusted certificate')
  }
  const own = rejectUnauthorized ? 'verify-full' : 'no-verify'
  return { url: mode === undefined ? withParameters(url, [`sslmode=${own}`]) : url, certificates: { ca, cert, key } }
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
