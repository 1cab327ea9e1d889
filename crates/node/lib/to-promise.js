'use strict'

module.exports = { toPromise }

// Runs a function that takes a callback, and returns a promise of its result. An error that `start` throws is thrown.
//
// A rejection without a handler is ignored: an express-session call without a callback loses its error too, and
// must not end the process.
function toPromise(start) {
  let settle
  const promise = new Promise((resolve, reject) => {
    settle = (error, value) => (error ? reject(error) : resolve(value))
  })
  promise.catch(() => {})
  start(settle)
  return promise
}
