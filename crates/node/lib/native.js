'use strict'

// The addon, as `npm run build` left it.

module.exports = require('../express-session.node')
