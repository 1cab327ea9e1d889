'use strict'

// The secrets of a middleware: reads the id that a request's cookie names, and prints the cookie of an id.

const { KeyObject, createHmac, randomBytes } = require('node:crypto')
const { types } = require('node:util')

const { Signer, printCookie } = require('./native')
const { nativeAttributes, withTypeErrors } = require('./set-cookie')

// The secrets are compared again for each request, because a list of them may change while the server runs. As in
// express-session, an unusable secret is an error only when it is needed.
exports.Secrets = class Secrets {
  constructor(name, maxCandidates, warnings) {
    this.name = name
    this.warnings = warnings
    this.maxCandidates = maxCandidates
    this.secrets = []
    this.signer = null
  }

  // Sets the secrets of the next calls.
  use(secrets) {
    const { secrets: known } = this
    let same = this.signer !== null && known.length === secrets.length
    for (let i = 0; same && i < known.length; i++) same = known[i] === secrets[i]
    if (!same) this.prepare([...secrets])
  }

  prepare(secrets) {
    const { keys, unusable } = keysOf(secrets)
    // Without a key no signature is valid; a random key has the same effect.
    this.signer = new Signer(this.name, keys.length ? keys : [randomBytes(32)], this.maxCandidates)
    this.secrets = secrets
    this.unusable = unusable
    this.warnings?.checkSecrets(keys)
  }

  // Returns the id in a Cookie header, null for an unsigned cookie, false for an invalid signature.
  readHeader(header) {
    const id = this.signer.read(header)
    if (id === false) this.throwIfUnusable()
    return id
  }

  // Returns the id in a cookie's value after its `s:`, or false for an invalid signature.
  readSigned(signed) {
    if (this.signer.verify(signed)) return signed.slice(0, signed.lastIndexOf('.'))
    this.throwIfUnusable()
    return false
  }

  // Returns the Set-Cookie line of an id.
  printCookie(id, data) {
    if (this.unusable === 0 || this.secrets.length === 0) keyBytes(this.secrets[0])
    if (!id.isWellFormed()) throw new URIError('URI malformed')
    if (id === '') return this.printEmptyId(data)
    return withTypeErrors(() => this.signer.setCookie(id, ...nativeAttributes(data)))
  }

  // Returns the Set-Cookie line that makes the browser delete the cookie.
  printExpired(data) {
    return withTypeErrors(() => this.signer.setCookie(undefined, ...nativeAttributes(data)))
  }

  // The engine refuses an empty id. A `genid` function may return one, and express-session signs it.
  printEmptyId(data) {
    const signature = createHmac('sha256', this.secrets[0]).update('').digest('base64')
    const value = `s:.${signature.replace(/=+$/, '')}`
    return withTypeErrors(() => printCookie(this.name, value, ...nativeAttributes(data)))
  }

  // Throws the error of the first unusable secret, once none of those before it has made the signature.
  throwIfUnusable() {
    if (this.unusable >= 0) keyBytes(this.secrets[this.unusable])
  }
}

exports.keysOf = keysOf

// Returns the keys of the secrets before the first unusable one, and the place of that one, or -1.
function keysOf(secrets) {
  const keys = []
  for (const secret of secrets) {
    try {
      keys.push(keyBytes(secret))
    } catch {
      return { keys, unusable: keys.length }
    }
  }
  return { keys, unusable: -1 }
}

// Returns the key that node:crypto derives from a secret.
function keyBytes(secret) {
  if (secret === null || secret === undefined) throw new TypeError('Secret key must be provided.')
  if (typeof secret === 'string') return Buffer.from(secret)
  // Throws if the value is not a key.
  createHmac('sha256', secret)
  if (types.isKeyObject(secret)) return secret.export()
  if (types.isCryptoKey(secret)) return KeyObject.from(secret).export()
  if (ArrayBuffer.isView(secret)) {
    return Buffer.from(secret.buffer, secret.byteOffset, secret.byteLength)
  }
  return Buffer.from(secret)
}
