'use strict'

// The option `sealed` of the stores: records are encrypted before they reach the store, under ids that are keyed hashes.

const { sealProblem } = require('../native')
const { flag, read } = require('./options')

module.exports = { sealed }

const OPTIONS = { known: { keys, acceptPlain: flag } }

// Makes the rule of a store's option.
function sealed(store) {
  const name = `${store}, sealed`
  return (value) => {
    const { keys = [], acceptPlain = false } = read(name, value, OPTIONS)
    const problem = sealProblem(keys)
    if (problem) throw new TypeError(`${name}: ${problem}`)
    return { keys, acceptPlain }
  }
}

// The secrets, as bytes.
function keys(value, refuse) {
  if (!Array.isArray(value)) return refuse('an array of secrets')
  return value.map((key) => {
    if (typeof key === 'string') return Buffer.from(key)
    if (!ArrayBuffer.isView(key)) return refuse('an array of strings or Buffers')
    return Buffer.from(key.buffer, key.byteOffset, key.byteLength)
  })
}
