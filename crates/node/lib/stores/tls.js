'use strict'

// The options of TLS, as Node's drivers have them, for the native stores.

const fs = require('node:fs')
const tls = require('node:tls')

const { flag, oneOf, read, text } = require('./options')

module.exports = { encryption, nodeAuthorities }

const CERTIFICATES = {
  known: {
    ca: pem,
    cert: pem,
    key: pem,
    rejectUnauthorized: flag,
    servername: text,
    // The stores speak no older version than 1.2.
    minVersion: oneOf('TLSv1.2', 'TLSv1.1', 'TLSv1')
  },
  refused: {
    checkServerIdentity: 'it is always checked, unless rejectUnauthorized is false',
    passphrase: 'key must not be encrypted',
    pfx: 'use cert and key, as PEM',
    secureContext: 'use ca, cert and key'
  }
}

// Makes the rule of an option such as `tls` or `ssl`: true, false, or an object with certificates. Returns the object, or
// `false`. A driver has `more` rules, and options that belong to its sockets.
function encryption(option, { known = {}, idle = [] } = {}) {
  const rules = { known: { ...CERTIFICATES.known, ...known }, idle, refused: CERTIFICATES.refused }
  return (value, refuse) => {
    if (value === true) return {}
    if (value === false) return false
    if (typeof value !== 'object') return refuse('true, false or an object with ca, cert, key and rejectUnauthorized')
    return read(option, value, rules)
  }
}

// Returns the authorities that Node trusts, as PEM, if NODE_EXTRA_CA_CERTS adds any. Like Node, it ignores a file that
// cannot be read. The addon decides whether a connection needs them.
function nodeAuthorities() {
  const file = process.env.NODE_EXTRA_CA_CERTS
  if (!file) return undefined
  // Since Node 22.15.
  if (tls.getCACertificates) return tls.getCACertificates('default').join('\n')
  try {
    return [...tls.rootCertificates, fs.readFileSync(file, 'utf8')].join('\n')
  } catch {
    return undefined
  }
}

function pem(value, refuse) {
  const all = Array.isArray(value) ? value : [value]
  const isText = all.every((one) => typeof one === 'string' || ArrayBuffer.isView(one))
  return isText ? all.map((one) => Buffer.from(one).toString()).join('\n') : refuse('PEM, as a string, a Buffer or a list')
}
