'use strict'

// What a store may be told, checked before anything is made of it: an option that would do nothing is a mistake,
// unless nothing is what it is about.

module.exports = { count, flag, interval, millis, name, oneOf, port, read, seconds, text }

// Gives the options that are given, each as its rule makes it. `known` has the rules by name, `idle` the names that
// are understood and need nothing done, and `refused` those that have to be said otherwise.
function read(store, given, { known, idle = [], refused = {} }) {
  if (typeof given !== 'object' || given === null) {
    throw new TypeError(`${store}: the options are no object`)
  }
  const options = {}
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || value === null || idle.includes(key)) continue
    if (Object.hasOwn(refused, key)) throw new TypeError(`${store} has no option ${key}: ${refused[key]}`)
    if (!Object.hasOwn(known, key)) throw new TypeError(`${store} has no option ${key}`)
    const rule = known[key]
    options[key] = rule(value, (expected) => {
      throw new TypeError(`${store}: the option ${key} is not ${expected}`)
    })
  }
  return options
}

function text(value, unfit) {
  return typeof value === 'string' ? value : unfit('a string')
}

function name(value, unfit) {
  return typeof value === 'string' && value ? value : unfit('a name')
}

function flag(value, unfit) {
  return typeof value === 'boolean' ? value : unfit('true or false')
}

function count(value, unfit) {
  return Number.isSafeInteger(value) && value > 0 ? value : unfit('a positive whole number')
}

function millis(value, unfit) {
  return Number.isFinite(value) && value >= 0 ? value : unfit('a number of milliseconds')
}

function seconds(value, unfit) {
  return Number.isFinite(value) && value >= 0 ? value * 1000 : unfit('a number of seconds')
}

// Of the environment it comes as a string.
function port(value, unfit) {
  return /^\d{1,5}$/.test(value) ? Number(value) : unfit('a port')
}

// Makes the rule for a time that may also be `false`, which is never.
function interval(rule) {
  return (value, unfit) => (value === false ? -1 : rule(value, unfit))
}

function oneOf(...names) {
  return (value, unfit) => (names.includes(value) ? value : unfit(`one of ${names.join(', ')}`))
}
