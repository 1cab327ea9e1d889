'use strict'

// Errors of the native stores: each has a `code`, and the driver's message as its `cause`.

module.exports = { errorWithCode, toStoreError }

// Makes a store's error of an error of the addon. Returns any other error unchanged.
function toStoreError(error) {
  const [code, message, cause] = String(error?.message).split('\n')
  if (!message || !code.startsWith('ERR_STORE_')) return error
  return errorWithCode(code, message, cause && { cause: new Error(cause) })
}

function errorWithCode(code, message, options) {
  return Object.assign(new Error(message, options), { code })
}
