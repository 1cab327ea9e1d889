'use strict'

// What `require('express-session-rs/stores')` gives: the stores of Rust's, for this package and for express-session.

const FileStore = require('./stores/file')
const MemcachedStore = require('./stores/memcached')
const MemoryStore = require('./stores/memory')
const MySqlStore = require('./stores/mysql')
const PostgresStore = require('./stores/postgres')
const RedisStore = require('./stores/redis')
const SqliteStore = require('./stores/sqlite')

module.exports = { FileStore, MemcachedStore, MemoryStore, MySqlStore, PostgresStore, RedisStore, SqliteStore }
