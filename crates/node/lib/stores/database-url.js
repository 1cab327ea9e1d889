'use strict'

// URLs of databases, built from the separate options of Node's drivers.

module.exports = { databaseUrl, hostOf, withParameters }

function databaseUrl(scheme, { host, port, user, password, database }) {
  const text = encodeURIComponent
  const login = user === undefined ? '' : `${text(user)}${password === undefined ? '' : `:${text(password)}`}@`
  // An IPv6 address has colons, and is put in brackets.
  const server = host.includes(':') ? `[${host}]` : text(host)
  return `${scheme}://${login}${server}:${port}${database === undefined ? '' : `/${text(database)}`}`
}

// Adds parameters behind those of a URL, and before its fragment.
function withParameters(url, parameters) {
  const [address, fragment] = url.split('#')
  const query = parameters.join('&')
  if (!query) return url
  return `${address}${address.includes('?') ? '&' : '?'}${query}${fragment === undefined ? '' : `#${fragment}`}`
}

function hostOf(url) {
  return /^[^:]+:\/\/(?:[^/?@]*@)?(\[[^\]]*\]|[^/:?#,]*)/.exec(url)?.[1]
}
