// The ES module entry point.

export { default, Cookie, MemoryStore, Session, Store } from './index.js'
