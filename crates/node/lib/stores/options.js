'use strict'

// Checks the options of a store before it is opened. An option that would have no effect is an error, unless it tunes
// something that the native store does not need.

module.exports = {
  connections, count, expiry, flag, interval, lasting, millis, name, oneOf, port, read, seconds, size, text, ttl, upTo, whole
}

// The addon counts in 32 bits, and a timer takes 31.
const MOST = 2 ** 32 - 1
const LONGEST_WAIT = 2 ** 31 - 1
// A date takes no more milliseconds.
const LONGEST_LIFE = 8.64e15
// A server's address has no more ports for the connections of one client.
const MOST_CONNECTIONS = 65_535

// Returns the options that are set, each converted by its rule. `known` has the rules by name, `idle` the names that
// are accepted and have no effect, and `refused` a reason or an alternative for each unsupported option.
function read(store, given, { known, idle = [], refused = {} }) {
  if (typeof given !== 'object' || given === null) {
    throw new TypeError(`${store}: the options must be an object`)
  }
  const options = {}
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || value === null || idle.includes(key)) continue
    if (Object.hasOwn(refused, key)) throw new TypeError(`${store} has no option ${key}: ${refused[key]}`)
    if (!Object.hasOwn(known, key)) throw new TypeError(`${store} has no option ${key}`)
    const rule = known[key]
    options[key] = rule(value, (expected) => {
      throw new TypeError(`${store}: the option ${key} must be ${expected}`)
    })
  }
  return options
}

function text(value, refuse) {
  return typeof value === 'string' ? value : refuse('a string')
}

function name(value, refuse) {
  return typeof value === 'string' && value ? value : refuse('a name')
}

function flag(value, refuse) {
  return typeof value === 'boolean' ? value : refuse('true or false')
}

// Makes a rule with a bound.
function upTo(most, rule) {
  return (value, refuse) => {
    const converted = rule(value, refuse)
    return value <= most ? converted : refuse(`at most ${most}`)
  }
}

// A number of bytes or sessions.
function size(value, refuse) {
  return Number.isSafeInteger(value) && value > 0 ? value : refuse('a positive whole number')
}

function count(value, refuse) {
  return upTo(MOST, size)(value, refuse)
}

function connections(value, refuse) {
  return upTo(MOST_CONNECTIONS, size)(value, refuse)
}

function whole(value, refuse) {
  return Number.isSafeInteger(value) && value >= 0 ? value : refuse('a whole number')
}

// A time to wait.
function millis(value, refuse) {
  return upTo(LONGEST_WAIT, time('milliseconds', 1))(value, refuse)
}

// The life of a session, in milliseconds.
function lasting(value, refuse) {
  return upTo(LONGEST_LIFE, time('milliseconds', 1))(value, refuse)
}

// The life of a session, or the interval of a thread, which needs no timer of JavaScript. Returns milliseconds.
function seconds(value, refuse) {
  return upTo(LONGEST_LIFE / 1000, time('seconds', 1000))(value, refuse)
}

function time(unit, factor) {
  return (value, refuse) => (Number.isFinite(value) && value >= 0 ? value * factor : refuse(`a number of ${unit}`))
}

// A port, which is a string if it comes from the environment.
function port(value, refuse) {
  const isPort = /^\d{1,5}$/.test(value) && value >= 1 && value <= 65_535
  return isPort ? Number(value) : refuse('a port, from 1 to 65535')
}

// Returns the expiry of a session that begins now, with the time that the application's `ttl` function has returned.
function expiry(store, unit, now, time) {
  const factor = unit === 'seconds' ? 1000 : 1
  if (Number.isFinite(time) && time * factor <= LONGEST_LIFE) return now + time * factor
  throw new TypeError(`${store}: the function ttl must return a number of ${unit}, at most ${LONGEST_LIFE / factor}`)
}

// Makes the rule of an interval, where `false` means never.
function interval(rule) {
  return (value, refuse) => (value === false ? -1 : rule(value, refuse))
}

// Makes the rule of a TTL that may also be a function.
function ttl(rule) {
  return (value, refuse) => {
    return typeof value === 'function' ? value : rule(value, (expected) => refuse(`${expected} or a function`))
  }
}

function oneOf(...names) {
  return (value, refuse) => (names.includes(value) ? value : refuse(`one of ${names.join(', ')}`))
}
