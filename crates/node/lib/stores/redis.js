'use strict'

// Stores sessions in Redis or Valkey, in the format of connect-redis.

const { redisStore } = require('../native')
const { NativeStore } = require('./base')
const { show } = require('./counterparts')
const { redisUrl } = require('./redis-url')
const { count, expiry, flag, millis, port, read, seconds, text, ttl, whole } = require('./options')
const { sealed } = require('./sealed')
const { encryption, nodeAuthorities } = require('./tls')

const RECONNECTS = 'the store replaces its connection when it is lost'
const TIMEOUT = 'use timeout, which is that of a call'

const OPTIONS = {
  known: {
    url: text,
    host: text,
    port,
    path: text,
    username: text,
    password: text,
    db: whole,
    database: whole,
    tls: encryption('RedisStore, tls'),
    socket,
    prefix: text,
    ttl: ttl(seconds),
    scanCount: count,
    serializer,
    sealed: sealed('RedisStore'),
    disableTTL: flag,
    disableTouch: flag,
    userIndex: flag,
    timeout: millis,
    maxWaiting: count,
    probeInterval: millis
  },
  refused: {
    client: 'the store opens its own connection, use url',
    keyPrefix: 'use prefix',
    connectTimeout: TIMEOUT,
    commandTimeout: TIMEOUT,
    retryStrategy: RECONNECTS,
    maxRetriesPerRequest: RECONNECTS,
    sentinels: 'use url, with redis+sentinel://',
    rootNodes: 'use url, with redis+cluster://'
  }
}

// The `socket` of node-redis, whose TLS options stand beside the address.
const SOCKET = { known: { host: text, port, path: text, tls: flag }, idle: ['family', 'keepAlive', 'noDelay'] }
const SOCKET_REFUSED = { connectTimeout: TIMEOUT, socketTimeout: TIMEOUT, reconnectStrategy: RECONNECTS }
// The options that connect-redis shows, with the defaults.
const SHOWN = { prefix: 'sess:', ttl: 86_400, scanCount: 100, serializer: JSON, disableTTL: false, disableTouch: false }

module.exports = class RedisStore extends NativeStore {
  #ttl
  #serializer

  constructor(given = {}) {
    const options = read('RedisStore', given, OPTIONS)
    const { ttl, serializer, disableTouch, probeInterval } = options
    const { prefix, scanCount, disableTTL, userIndex, timeout, maxWaiting } = options
    const { url, certificates } = redisUrl(options)
    const native = { prefix, scanCount, disableTTL, userIndex, timeout, maxWaiting, ...certificates }
    native.nodeAuthorities = nodeAuthorities()
    if (typeof ttl === 'number') native.ttl = ttl
    super(() => redisStore(url, native, options.sealed), { probeInterval, disableTouch: disableTouch || disableTTL })
    if (typeof ttl === 'function') this.#ttl = ttl
    this.#serializer = serializer
    show(this, given, SHOWN)
  }

  // A number applies to sessions without a cookie expiry, a function to all sessions.
  get hasOwnDeadline() {
    return this.#ttl !== undefined
  }

  ownDeadline(session, now) {
    return expiry('RedisStore', 'seconds', now, this.#ttl(session))
  }

  get canMerge() {
    return !this.#serializer
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

function socket(value, refuse) {
  if (typeof value !== 'object') return refuse('an object')
  for (const [name, instead] of Object.entries(SOCKET_REFUSED)) {
    if (name in value) throw new TypeError(`RedisStore, socket has no option ${name}: ${instead}`)
  }
  const { host, port, path, tls, ...certificates } = encryption('RedisStore, socket', SOCKET)(value, refuse)
  const isEncrypted = tls || (tls === undefined && Object.keys(certificates).length > 0)
  if (tls === false && Object.keys(certificates).length > 0) {
    throw new TypeError('RedisStore, socket: certificates need tls: true')
  }
  return { host, port, path, tls: isEncrypted ? certificates : tls }
}
