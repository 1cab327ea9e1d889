'use strict'

// URLs of databases, built from the separate options of Node's drivers.

module.exports = { databaseUrl }

function databaseUrl(scheme, { host, port, user, password, database }) {
  const text = encodeURIComponent
  const login = user === undefined ? '' : `${text(user)}${password === undefined ? '' : `:${text(password)}`}@`
  // An IPv6 address has colons, and is put in brackets.
  const server = host.includes(':') ? `[${host}]` : text(host)
  return `${scheme}://${login}${server}:${port}${database === undefined ? '' : `/${text(database)}`}`
}
