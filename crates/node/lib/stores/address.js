'use strict'

// URLs, of what drivers of Node's are told in pieces.

module.exports = { addressOf }

// Makes a URL of where a database is, and who asks.
function addressOf(scheme, { host, port, user, password, database }) {
  const text = encodeURIComponent
  const who = user === undefined ? '' : `${text(user)}${password === undefined ? '' : `:${text(password)}`}@`
  // An address of version 6 has colons, and brackets around.
  const where = host.includes(':') ? `[${host}]` : text(host)
  return `${scheme}://${who}${where}:${port}${database === undefined ? '' : `/${text(database)}`}`
}
