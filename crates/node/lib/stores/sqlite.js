'use strict'

// Stores sessions in an SQLite file, in the table of connect-sqlite3 or of one of two other npm stores.

const { sqliteStore } = require('../native')
const { NativeStore } = require('./base')
const { show } = require('./counterparts')
const { flag, interval, millis, name, oneOf, read, seconds, size, text, upTo } = require('./options')
const { sealed } = require('./sealed')

// Each is a thread.
const MOST_READERS = 1024

const OPTIONS = {
  known: {
    table: name,
    db: text,
    dir: text,
    createDirIfNotExists: flag,
    concurrentDb: flag,
    dialect: oneOf('connect-sqlite3', 'better-sqlite3-session-store', 'connect-session-knex'),
    sidFieldName: name,
    createTable: flag,
    userIndex: flag,
    ttl: seconds,
    cleanupInterval: interval(millis),
    synchronous: oneOf('normal', 'full'),
    busyTimeout: millis,
    readers: upTo(MOST_READERS, size),
    sealed: sealed('SqliteStore'),
    timeout: millis
  },
  refused: {
    mode: 'the file is opened for reading and writing, and created if it is missing',
    client: 'the store opens the file itself, use db and dir',
    expired: 'use cleanupInterval',
    knex: 'the store opens the file itself, use db and dir'
  }
}

module.exports = class SqliteStore extends NativeStore {
  constructor(given = {}) {
    const { db, dir = '.', sealed, ...options } = read('SqliteStore', given, OPTIONS)
    const file = db ?? options.table ?? 'sessions'
    super(() => sqliteStore(file === ':memory:' ? file : `${dir}/${file}`, options, sealed))
    show(this, given, { table: 'sessions' })
  }
}
