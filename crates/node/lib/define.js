'use strict'

module.exports = { define }

// Defines a property of an object that is not enumerable: an enumerable property of a session is the visitor's data.
function define(object, name, value) {
  Object.defineProperty(object, name, {
    configurable: true,
    enumerable: false,
    writable: true,
    value
  })
}
