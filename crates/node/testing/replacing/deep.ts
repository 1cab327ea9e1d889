// The deep imports of express-session.

import session = require('express-session')
import index = require('express-session/index')
import file = require('express-session/index.js')
import Cookie = require('express-session/session/cookie')
import MemoryStore = require('express-session/session/memory.js')
import Session = require('express-session/session/session')
import Store = require('express-session/session/store.js')

const store: Store = new MemoryStore()
const middlewares = [session, index, file].map((make) => make({ secret: 'keyboard cat', store, departures: [] }))

export function cookieOf(one: Session): Cookie {
  return one.cookie ?? middlewares.length
}
