'use strict'

// `express-session/session/memory`, as in express-session.

module.exports = require('../lib/memory')
