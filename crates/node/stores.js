'use strict'

// `express-session-rs/stores`, for tools that do not read the `exports` of package.json.

module.exports = require('./lib/stores')
