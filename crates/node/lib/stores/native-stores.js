'use strict'

// The native stores of this process. The middleware asks it, so that an application without them does not load their code.

// On the stores of every copy of the package: only those of this copy are in the map.
const NATIVE = Symbol.for('express-session-rs.NativeStore')
const stores = new WeakMap()

// The methods that a session with conditional writes does not call.
const UNUSED = ['get', 'set', 'touch', 'destroy', 'regenerate']

module.exports = { NATIVE, addNativeStore, isLocalStore, isNativeStore, obstacle }

// Adds a store, whether it answers without another thread, and the class that has its methods.
function addNativeStore(store, isLocal, { prototype }) {
  stores.set(store, { isLocal, prototype })
}

function isNativeStore(store) {
  return stores.has(store)
}

function isLocalStore(store) {
  return stores.get(store)?.isLocal === true
}

// Returns why a native store cannot have sessions with conditional writes, or undefined.
function obstacle(store) {
  const native = stores.get(store)
  if (!native) {
    if (!store[NATIVE]) return undefined
    return 'the store belongs to another copy of express-session-rs, or is a proxy: import the package and its ' +
      '/stores from one folder (npm ls express-session-rs), and in Jest after the same jest.resetModules()'
  }
  const method = UNUSED.find((name) => store[name] !== native.prototype[name])
  if (!method) return undefined
  return `the store's ${method} is overridden, and would not be called, because these sessions have calls of their own: ` +
    `leave ${method} as it is, and put what it does into a middleware after this one`
}
