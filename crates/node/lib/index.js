'use strict'

// The entry point, with the exports of express-session. Node finds the names that an ES module may import in the
// source of a CommonJS module: it has to read `exports.Store = …`.

exports = module.exports = require('./middleware')

exports.Store = require('./store')
exports.Cookie = require('./cookie')
exports.Session = require('./session')
exports.MemoryStore = require('./memory')

// The exports that can be listed are those of express-session. Loaded if it is used.
Object.defineProperty(exports, 'hardened', { get: () => require('./hardened') })
