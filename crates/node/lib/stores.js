'use strict'

// The entry point `express-session-rs/stores`: the native stores, for this package and for express-session.

const { addCounterparts } = require('./stores/counterparts')
const FileStore = require('./stores/file')
const MemcachedStore = require('./stores/memcached')
const MemoryStore = require('./stores/memory')
const MySqlStore = require('./stores/mysql')
const PostgresStore = require('./stores/postgres')
const RedisStore = require('./stores/redis')
const SqliteStore = require('./stores/sqlite')

module.exports = { FileStore, MemcachedStore, MemoryStore, MySqlStore, PostgresStore, RedisStore, SqliteStore }

addCounterparts(module.exports)
