// The types of `express-session/session/cookie`.

import session = require('../lib/index')

export = session.Cookie
