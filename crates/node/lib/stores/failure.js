'use strict'

// Errors of the native stores: each has a `code`, and the driver's message as its `cause`.

module.exports = { errorWithCode, isOutage, toStoreError }

// Makes a store's error of an error of the addon. Returns any other error unchanged.
function toStoreError(error) {
  const [code, message, cause] = String(error?.message).split('\n')
  if (!message || !code.startsWith('ERR_STORE_')) return error
  return errorWithCode(code, message, cause && { cause: new Error(cause) })
}

function errorWithCode(code, message, options) {
  return Object.assign(new Error(message, options), { code })
}

// Checks whether an error means that the store's server is unavailable, to every session.
function isOutage({ code }) {
  return code === 'ERR_STORE_UNAVAILABLE' || code === 'ERR_STORE_TIMED_OUT'
}
