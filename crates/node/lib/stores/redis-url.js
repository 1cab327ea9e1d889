'use strict'

// The URL of a Redis, built from the separate options of ioredis and node-redis.

const { hostOf, withParameters } = require('./database-url')

module.exports = { redisUrl }

// Returns the URL, and the certificates of the options.
function redisUrl({ url, socket = {}, ...options }) {
  const { host = socket.host, port = socket.port, path = socket.path, tls = socket.tls } = options
  const { username, password, db = options.database } = options
  const hasAddress = [host, port, path, username, password].some((value) => value !== undefined)
  if (url !== undefined && hasAddress) {
    throw new TypeError('RedisStore: url has the address and the login, leave out host, port, path, username and password')
  }
  if (username !== undefined && password === undefined) throw new TypeError('RedisStore: username needs password')
  let address = url ?? addressOf({ host, port, path, username, password })
  const isEncrypted = /^(rediss|valkeys)[:+]|^(redis|valkey)\+(tls|ssl):/.test(address)
  if (tls === false && isEncrypted) throw new TypeError('RedisStore: tls is false, and the URL asks for encryption')
  // As in ioredis, the option encrypts a connection whose URL does not.
  if (tls && !isEncrypted) address = address.replace(/^(redis|valkey)(?=[:+])/, '$1s')
  if (tls && address.startsWith('unix:')) throw new TypeError('RedisStore: a socket of this machine has no TLS, leave out tls')
  if (db !== undefined) address = withParameters(address, [`db=${db}`])
  if (!tls && !isEncrypted) return { url: address }
  const { rejectUnauthorized = true, servername, ca, cert, key } = tls || {}
  if (servername && servername !== hostOf(address)) {
    throw new TypeError('RedisStore, tls: servername must be the host of the URL')
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw new TypeError('RedisStore, tls: cert and key need each other')
  }
  if (!rejectUnauthorized) return { url: withParameters(address, ['ssl_cert_reqs=none']), certificates: { cert, key } }
  return { url: address, certificates: { ca, cert, key } }
}

function addressOf({ host = '127.0.0.1', port = 6379, path, username, password }) {
  const text = encodeURIComponent
  if (path !== undefined) {
    const login = [username !== undefined && `user=${text(username)}`, password !== undefined && `pass=${text(password)}`]
    const parameters = login.filter(Boolean).join('&')
    return `redis+unix://${path}${parameters && `?${parameters}`}`
  }
  const login = password === undefined ? '' : `${text(username ?? '')}:${text(password)}@`
  // An IPv6 address has colons, and is put in brackets.
  const server = host.includes(':') ? `[${host}]` : text(host)
  return `redis://${login}${server}:${port}`
}
