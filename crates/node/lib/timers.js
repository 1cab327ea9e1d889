'use strict'

// Timers that a test cannot replace: read when the package is loaded, as express-session reads its own. With the fake
// ones of a test, no answer of a store would arrive until the test moves its clock. `Date` stays the test's.

const { clearTimeout, setImmediate, setInterval, setTimeout } = require('node:timers')

const nextTick = process.nextTick.bind(process)

module.exports = { clearTimeout, nextTick, setImmediate, setInterval, setTimeout }
