'use strict'

// Stores sessions in Memcached, in the format of connect-memcached.

const { memcachedStore } = require('../native')
const { NativeStore } = require('./base')
const { show } = require('./counterparts')
const { connections, count, millis, read, seconds, text } = require('./options')
const { sealed } = require('./sealed')

const PLAIN = 'use sealed, whose records have another form'

const OPTIONS = {
  known: {
    url: text,
    hosts,
    prefix: text,
    ttl: seconds,
    poolSize: connections,
    timeout: millis,
    maxWaiting: count,
    probeInterval: millis,
    sealed: sealed('MemcachedStore')
  },
  refused: {
    client: 'the store opens its own connections, use hosts',
    secret: PLAIN,
    algorithm: PLAIN,
    hashing: PLAIN
  }
}

module.exports = class MemcachedStore extends NativeStore {
  constructor(given = {}) {
    const { url, hosts = '127.0.0.1:11211', poolSize, probeInterval, sealed, ...options } = read(
      'MemcachedStore',
      given,
      OPTIONS
    )
    options.maxConnections = poolSize
    super(() => memcachedStore(url ?? `memcached://${hosts}`, options, sealed), { probeInterval })
    show(this, given, { prefix: '', ttl: undefined })
  }

  // Returns the key of a session.
  getKey(sid) {
    return this.prefix + sid
  }
}

function hosts(value, refuse) {
  const host = Array.isArray(value) && value.length === 1 ? value[0] : value
  return typeof host === 'string' ? host : refuse('one host')
}
