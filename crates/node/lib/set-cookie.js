'use strict'

// Prints the Set-Cookie line. A cookie's properties may have any type; the engine takes numbers and strings.

const { printCookie } = require('./native')

module.exports = { nativeAttributes, serialize, withTypeErrors }

// The same numbers as in src/engine/signer.rs.
const HTTP_ONLY = 1
const SECURE = 2
const PARTITIONED = 4
const ROOT = 8

// Returns the Set-Cookie line of any name and value, unsigned.
function serialize(name, value, data) {
  const text = `${value}`
  if (!text.isWellFormed()) throw new URIError('URI malformed')
  return withTypeErrors(() => printCookie(`${name}`, text, ...nativeAttributes(data)))
}

// Returns the engine's arguments for a cookie's attributes: flags, expires, path, domain, priority, sameSite.
function nativeAttributes(data) {
  if (!data) return [0]
  const { httpOnly, secure, partitioned, expires, path, domain, priority, sameSite } = data
  return [
    (httpOnly ? HTTP_ONLY : 0) |
      (secure ? SECURE : 0) |
      (partitioned ? PARTITIONED : 0) |
      (path === '/' ? ROOT : 0),
    expires ? millis(expires) : undefined,
    path && path !== '/' ? `${path}` : undefined,
    domain ? `${domain}` : undefined,
    priority ? word(priority) : undefined,
    sameSite ? (sameSite === true ? 'strict' : word(sameSite)) : undefined
  ]
}

// Runs a function of the engine, and throws a TypeError for an argument that it refuses, as express-session does.
function withTypeErrors(call) {
  try {
    return call()
  } catch (error) {
    throw error.code === 'InvalidArg' ? new TypeError(error.message) : error
  }
}

// Returns NaN, an invalid date, for a value that is not a date.
function millis(date) {
  return Object.prototype.toString.call(date) === '[object Date]' ? date.valueOf() : NaN
}

// Returns the empty string, which the engine refuses, for a value that is not a string.
function word(value) {
  return typeof value === 'string' ? value : ''
}
