'use strict'

module.exports = { promised }

// Gives a promise for what calls back. What `start` throws is thrown.
//
// A promise that nobody looks at fails in silence: where express-session is called without a callback,
// its error is lost, and never ends the process.
function promised(start) {
  let settle
  const promise = new Promise((resolve, reject) => {
    settle = (error, value) => (error ? reject(error) : resolve(value))
  })
  promise.catch(() => {})
  start(settle)
  return promise
}
