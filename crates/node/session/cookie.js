'use strict'

// `express-session/session/cookie`, as in express-session.

module.exports = require('../lib/cookie')
