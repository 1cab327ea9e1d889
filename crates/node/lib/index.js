'use strict'

// The CommonJS entry point, with the exports of express-session.

const session = require('./middleware')

module.exports = session

session.Store = require('./store')
session.Cookie = require('./cookie')
session.Session = require('./session')
session.MemoryStore = require('./memory')
