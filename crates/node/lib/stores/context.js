'use strict'

// The async context of a caller, in which its function runs when an answer has come.

const { AsyncResource } = require('node:async_hooks')

// A context that needs no notice of its end costs little. `AsyncResource.bind` makes one that does.
const OPTIONS = { requireManualDestroy: true }

exports.contextOfCaller = function contextOfCaller() {
  return new AsyncResource('express-session', OPTIONS)
}
