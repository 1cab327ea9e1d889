'use strict'

// `express-session/session/session`, as in express-session.

module.exports = require('../lib/session')
