// The types of `express-session/session/store`.

import session = require('../lib/index')

export = session.Store
