// The types of `express-session/session/session`.

import session = require('../lib/index')

export = session.Session
