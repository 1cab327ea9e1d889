'use strict'

// What a native store's call fails with, as an error of JavaScript's: with a `code`, and what the driver said as
// its `cause`. What is no failure of the store's stays what it is.

module.exports = { coded, failureOf }

function failureOf(error) {
  const [code, message, cause] = String(error?.message).split('\n')
  if (!message || !code.startsWith('ERR_STORE_')) return error
  return coded(code, message, cause && { cause: new Error(cause) })
}

function coded(code, message, options) {
  return Object.assign(new Error(message, options), { code })
}
