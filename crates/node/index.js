'use strict'

// `express-session/index`, as in express-session.

module.exports = require('./lib/index.js')
