'use strict'

// Stores sessions in a folder, one file each, in the format of session-file-store.

const { fileStore } = require('../native')
const { toPromise } = require('../to-promise')
const { NativeStore } = require('./base')
const { flag, millis, oneOf, read, seconds, size, text, upTo } = require('./options')
const { sealed } = require('./sealed')

const PLAIN = 'use sealed, whose records have another form'
const JSON_ONLY = 'files are JSON, in plain text'

const OPTIONS = {
  known: {
    path: text,
    ttl: seconds,
    fileExtension: text,
    reapInterval: (value, refuse) => (value === -1 ? -1 : seconds(value, refuse)),
    encoding: oneOf('utf8'),
    fsync: flag,
    mode: upTo(0o7777, size),
    timeout: millis,
    sealed: sealed('FileStore')
  },
  // A missing file is not looked for again, and expired ones are removed by threads of the store.
  idle: [
    'factor', 'logFn', 'maxTimeout', 'minTimeout', 'reapAsync', 'reapMaxConcurrent', 'reapSyncFallback', 'retries'
  ],
  refused: {
    secret: PLAIN,
    crypto: PLAIN,
    keyFunction: PLAIN,
    encryptEncoding: PLAIN,
    encoder: JSON_ONLY,
    decoder: JSON_ONLY,
    fallbackSessionFn: 'a missing file is a missing session',
    filePattern: 'use fileExtension'
  }
}

module.exports = class FileStore extends NativeStore {
  #extension

  constructor(given = {}) {
    const { path = './sessions', encoding: _, sealed, ...options } = read('FileStore', given, OPTIONS)
    super(() => fileStore(path, options, sealed))
    this.#extension = options.fileExtension ?? '.json'
  }

  // The expiry is the last access plus the cookie's maxAge. The cookie's `expires` does not count.
  deadline() {
    return undefined
  }

  isOver() {
    return false
  }

  // Returns the names of the files.
  list(fn) {
    if (!fn) return toPromise((done) => this.list(done))
    this.ids((error, ids) => fn(error, ids?.map((id) => id + this.#extension)))
  }

  // Returns whether a session has expired, or does not exist.
  expired(sid, fn) {
    if (!fn) return toPromise((done) => this.expired(sid, done))
    this.get(sid, (error, session) => (error ? fn(error) : fn(null, !session)))
  }
}
