'use strict'

// `express-session/session/store`, as in express-session.

module.exports = require('../lib/store')
