// The types of `express-session/session/memory`.

import session = require('../lib/index')

export = session.MemoryStore
