'use strict'

// Errors of the native stores: each has a `code`, and the driver's message as its `cause`.

module.exports = { errorWithCode, faultOf, isOutage, toStoreError }

// Not the store, but this session alone.
const OF_THE_SESSION = /^ERR_SESSION_|^ERR_STORE_(CORRUPT|UNSUITABLE|UNSUPPORTED)$/

// Makes a store's error of an error of the addon. Returns any other error unchanged.
function toStoreError(error) {
  const [code, message, cause] = String(error?.message).split('\n')
  if (!message || !/^ERR_(STORE|SESSION)_/.test(code)) return error
  return errorWithCode(code, message, cause && { cause: new Error(cause) })
}

function errorWithCode(code, message, options) {
  return Object.assign(new Error(message, options), { code })
}

// Checks whether an error means that the store's server is unavailable, to every session.
function isOutage({ code }) {
  return code === 'ERR_STORE_UNAVAILABLE' || code === 'ERR_STORE_TIMED_OUT'
}

// Returns the kind of a failure, for which the rules say what to do. The errors of other stores count as outages.
function faultOf({ code }) {
  if (code === 'ERR_SESSION_ENDED') return 'ended'
  return OF_THE_SESSION.test(code) ? 'session' : 'outage'
}
