// What `import session from 'express-session-rs'` gives.

import session from './index.js'

export default session
export const { Cookie, MemoryStore, Session, Store } = session
