'use strict'

// The secrets: which id does a request's cookie name, and what is the cookie of an id?

const { KeyObject, createHmac, randomBytes } = require('node:crypto')
const { types } = require('node:util')

const { Signer, printCookie } = require('./native')
const { attributes, checked } = require('./set-cookie')

// Secrets are looked at anew for each request, since a list of them may change while the server runs. One
// that cannot be used is no error until it is needed, as in express-session.
exports.Keys = class Keys {
  constructor(name, candidates) {
    this.name = name
    this.candidates = candidates
    this.secrets = []
    this.signer = null
  }

  // Uses these secrets from now on.
  use(secrets) {
    const { secrets: known } = this
    let same = this.signer !== null && known.length === secrets.length
    for (let i = 0; same && i < known.length; i++) same = known[i] === secrets[i]
    if (!same) this.prepare([...secrets])
    return this
  }

  prepare(secrets) {
    const keys = []
    let broken = -1
    for (const secret of secrets) {
      try {
        keys.push(bytes(secret))
      } catch {
        broken = keys.length
        break
      }
    }
    // Where there is no key, no signature is right.
    this.signer = new Signer(this.name, keys.length ? keys : [randomBytes(32)], this.candidates)
    this.secrets = secrets
    this.broken = broken
  }

  // Gives the id in a Cookie header, null for an unsigned one, false for a wrong signature.
  read(header) {
    const id = this.signer.read(header)
    if (id === false) this.refuse()
    return id
  }

  // Gives the id in a value after its `s:`, or false.
  open(signed) {
    if (this.signer.verify(signed)) return signed.slice(0, signed.lastIndexOf('.'))
    this.refuse()
    return false
  }

  // Prints the Set-Cookie line of an id.
  print(id, data) {
    if (this.broken === 0 || this.secrets.length === 0) bytes(this.secrets[0])
    if (!id.isWellFormed()) throw new URIError('URI malformed')
    if (id === '') return this.printEmpty(data)
    return checked(() => this.signer.setCookie(id, ...attributes(data)))
  }

  // Prints the Set-Cookie line that makes the browser forget.
  printExpired(data) {
    return checked(() => this.signer.expireCookie(...attributes(data)))
  }

  // The engine has no empty id. A `genid` may make one, and express-session signs it.
  printEmpty(data) {
    const signature = createHmac('sha256', this.secrets[0]).update('').digest('base64')
    const value = `s:.${signature.replace(/=+$/, '')}`
    return checked(() => printCookie(this.name, value, ...attributes(data)))
  }

  // Throws what a secret throws that cannot be used, all before it being wrong.
  refuse() {
    if (this.broken >= 0) bytes(this.secrets[this.broken])
  }
}

// Gives the key that node:crypto makes of a secret.
function bytes(secret) {
  if (secret === null || secret === undefined) throw new TypeError('Secret key must be provided.')
  if (typeof secret === 'string') return Buffer.from(secret)
  // Throws at what is no key.
  createHmac('sha256', secret)
  if (types.isKeyObject(secret)) return secret.export()
  if (types.isCryptoKey(secret)) return KeyObject.from(secret).export()
  if (ArrayBuffer.isView(secret)) {
    return Buffer.from(secret.buffer, secret.byteOffset, secret.byteLength)
  }
  return Buffer.from(secret)
}
