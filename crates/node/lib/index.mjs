// The ES module entry point.

import session from './index.js'

export default session
export const { Cookie, MemoryStore, Session, Store } = session
