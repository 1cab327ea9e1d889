'use strict'

// The addon that `npm run build` makes.

module.exports = require('../express-session.node')
