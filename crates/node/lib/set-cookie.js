'use strict'

// Prints the Set-Cookie line. A cookie's properties may be anything; the engine takes numbers and texts.

const { printCookie } = require('./native')

module.exports = { attributes, checked, print }

// As in src/engine/signer.rs.
const HTTP_ONLY = 1
const SECURE = 2
const PARTITIONED = 4
const ROOT = 8

// Prints any name and value, unsigned.
function print(name, value, data) {
  const text = wellFormed(`${value}`)
  return checked(() => printCookie(`${name}`, text, ...attributes(data)))
}

// Gives what the engine's functions take of a cookie: flags, expires, path, domain, priority, sameSite.
function attributes(data) {
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

// Makes a TypeError, as express-session throws, of what the engine refuses.
function checked(write) {
  try {
    return write()
  } catch (error) {
    throw error.code === 'InvalidArg' ? new TypeError(error.message) : error
  }
}

// What is no date is an invalid one.
function millis(date) {
  return Object.prototype.toString.call(date) === '[object Date]' ? date.valueOf() : NaN
}

// The empty text is none of the words.
function word(value) {
  return typeof value === 'string' ? value : ''
}

function wellFormed(text) {
  if (!text.isWellFormed()) throw new URIError('URI malformed')
  return text
}
