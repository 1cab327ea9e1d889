'use strict'

// Sessions in a folder, one file each, as session-file-store keeps them.

const { fileStore } = require('../native')
const { NativeStore } = require('./base')
const { count, flag, millis, oneOf, read, seconds, text } = require('./options')

const CODE = 'files are JSON, in plain text'

const OPTIONS = {
  known: {
    path: text,
    ttl: seconds,
    fileExtension: text,
    reapInterval: (value, unfit) => (value === -1 ? -1 : seconds(value, unfit)),
    encoding: oneOf('utf8'),
    fsync: flag,
    mode: count,
    timeout: millis
  },
  // A file is there or not: it is not asked for again. What is over is removed on threads of the store's own.
  idle: [
    'factor', 'logFn', 'maxTimeout', 'minTimeout', 'reapAsync', 'reapMaxConcurrent', 'reapSyncFallback', 'retries'
  ],
  refused: {
    secret: 'nothing is encrypted',
    crypto: 'nothing is encrypted',
    keyFunction: 'nothing is encrypted',
    encryptEncoding: 'nothing is encrypted',
    encoder: CODE,
    decoder: CODE,
    filePattern: 'say fileExtension'
  }
}

module.exports = class FileStore extends NativeStore {
  constructor(given = {}) {
    const { path = './sessions', encoding: _, ...options } = read('FileStore', given, OPTIONS)
    super(() => fileStore(path, options))
  }

  // A session lives for its cookie's max age from its last access on: not its `expires` but the present counts.
  deadline() {
    return undefined
  }
}
