'use strict'

// Stores sessions in Redis or Valkey, in the format of connect-redis.

const { redisStore } = require('../native')
const { NativeStore, expiryOf } = require('./base')
const { show } = require('./counterparts')
const { count, flag, millis, read, seconds, text, ttl } = require('./options')

const OPTIONS = {
  known: {
    url: text,
    prefix: text,
    ttl: ttl(seconds),
    scanCount: count,
    serializer,
    disableTTL: flag,
    disableTouch: flag,
    timeout: millis,
    probeInterval: millis
  },
  refused: { client: 'the store opens its own connection, use url' }
}

// The options that connect-redis shows, with the defaults.
const SHOWN = { prefix: 'sess:', ttl: 86_400, scanCount: 100, serializer: JSON, disableTTL: false, disableTouch: false }

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
    show(this, given, SHOWN)
  }

  // A number applies to sessions without a cookie expiry, a function to all sessions.
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

function serializer(value, refuse) {
  const isOne = typeof value.parse === 'function' && typeof value.stringify === 'function'
  return isOne ? value : refuse('an object with parse and stringify')
}
