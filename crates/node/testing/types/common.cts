// An application in CommonJS.

import session = require('express-session-rs')

class Own extends session.Store {
  get(_id: string, fn: (error: unknown, record?: session.SessionData | null) => void): void {
    fn(null, null)
  }

  set(_id: string, _session: session.SessionData, fn?: (error?: unknown) => void): void {
    fn?.()
  }

  destroy(_id: string, fn?: (error?: unknown) => void): void {
    fn?.()
  }
}

export = session({ secret: 'keyboard cat', store: new Own() })
