'use strict'

// Checks the options of a store before it is opened. An option that would have no effect is an error, unless it tunes
// something that the native store does not need.

module.exports = { count, flag, interval, millis, name, oneOf, port, read, seconds, text, ttl, whole }

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

function count(value, refuse) {
  return Number.isSafeInteger(value) && value > 0 ? value : refuse('a positive whole number')
}

function whole(value, refuse) {
  return Number.isSafeInteger(value) && value >= 0 ? value : refuse('a whole number')
}

function millis(value, refuse) {
  return Number.isFinite(value) && value >= 0 ? value : refuse('a number of milliseconds')
}

function seconds(value, refuse) {
  return Number.isFinite(value) && value >= 0 ? value * 1000 : refuse('a number of seconds')
}

// A port, which is a string if it comes from the environment.
function port(value, refuse) {
  return /^\d{1,5}$/.test(value) ? Number(value) : refuse('a port')
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
