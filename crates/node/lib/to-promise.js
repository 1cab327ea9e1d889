'use strict'

module.exports = { heard, toPromise }

// Returns the promise. Its rejection without a handler is ignored: an express-session call without a callback loses its
// error too, and must not end the process.
function heard(promise) {
  promise.catch(() => {})
  return promise
}

// Runs a function that takes a callback, and returns a promise of its result, which is heard. An error that `start`
// throws is thrown.
function toPromise(start) {
  let settle
  const promise = heard(
    new Promise((resolve, reject) => {
      settle = (error, value) => (error ? reject(error) : resolve(value))
    })
  )
  start(settle)
  return promise
}
