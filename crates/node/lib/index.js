'use strict'

// What `require('express-session-rs')` gives: what `require('express-session')` gives.

const session = require('./middleware')

module.exports = session

session.Store = require('./store')
session.Cookie = require('./cookie')
session.Session = require('./session')
session.MemoryStore = require('./memory')
