'use strict'

// Sessions in Redis or Valkey, as connect-redis keeps them.

const { redisStore } = require('../native')
const { NativeStore, expiryOf } = require('./base')
const { count, flag, millis, read, text } = require('./options')

const OPTIONS = {
  known: {
    url: text,
    prefix: text,
    ttl,
    scanCount: count,
    serializer,
    disableTTL: flag,
    disableTouch: flag,
    timeout: millis,
    probeInterval: millis
  },
  refused: { client: 'the store makes its own connection, say url' }
}

module.exports = class RedisStore extends NativeStore {
  #ttl
  #serializer

  constructor(given = {}) {
    const { url = 'redis://127.0.0.1:6379', ttl, serializer, disableTouch, probeInterval, ...options } = read(
      'RedisStore',
      given,
      OPTIONS
    )
    if (typeof ttl === 'number') options.ttl = ttl
    super(() => redisStore(url, options), { probeInterval, disableTouch: disableTouch || options.disableTTL })
    if (typeof ttl === 'function') this.#ttl = ttl
    this.#serializer = serializer
  }

  // A number is for sessions whose cookie has no end, a function for all.
  deadline(session, now) {
    return this.#ttl ? now + this.#ttl(session) * 1000 : expiryOf(session)
  }

  parse(text) {
    return this.#serializer ? this.#serializer.parse(text) : super.parse(text)
  }

  stringify(session) {
    return this.#serializer ? this.#serializer.stringify(session) : super.stringify(session)
  }
}

function ttl(value, unfit) {
  if (typeof value === 'function') return value
  return Number.isFinite(value) && value >= 0 ? value * 1000 : unfit('a number of seconds or a function')
}

function serializer(value, unfit) {
  const isOne = typeof value.parse === 'function' && typeof value.stringify === 'function'
  return isOne ? value : unfit('an object with parse and stringify')
}
