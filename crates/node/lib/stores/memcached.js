'use strict'

// Sessions in Memcached, as connect-memcached keeps them.

const { memcachedStore } = require('../native')
const { NativeStore } = require('./base')
const { count, millis, read, seconds, text } = require('./options')

const OPTIONS = {
  known: {
    url: text,
    hosts,
    prefix: text,
    ttl: seconds,
    poolSize: count,
    timeout: millis,
    probeInterval: millis
  },
  refused: {
    client: 'the store makes its own connections, say hosts',
    secret: 'nothing is encrypted',
    algorithm: 'nothing is encrypted',
    hashing: 'nothing is encrypted'
  }
}

module.exports = class MemcachedStore extends NativeStore {
  constructor(given = {}) {
    const { url, hosts = '127.0.0.1:11211', poolSize, probeInterval, ...options } = read(
      'MemcachedStore',
      given,
      OPTIONS
    )
    options.maxConnections = poolSize
    super(() => memcachedStore(url ?? `memcached://${hosts}`, options), { probeInterval })
  }
}

function hosts(value, unfit) {
  const host = Array.isArray(value) && value.length === 1 ? value[0] : value
  return typeof host === 'string' ? host : unfit('one host')
}
