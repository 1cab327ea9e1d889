'use strict'

// The native stores of this process. The middleware asks it, so that an application without them does not load their code.

const stores = new WeakSet()

exports.addNativeStore = (store) => stores.add(store)
exports.isNativeStore = (store) => stores.has(store)
