// A visitor with a cookie, whose visits happen at times that a test sets.

import assert from 'node:assert/strict'

import session from 'express-session-rs'
import { MemoryStore } from 'express-session-rs/stores'
import { options } from './sides.mjs'
import { answer } from './wire.mjs'

export class Visitor {
  // The visitor of a middleware with `integrity` and these options, by a clock which stands at the beginning.
  constructor(clock, beginning, { store = new MemoryStore(), ...more } = {}) {
    this.clock = clock
    this.beginning = beginning
    this.store = store
    this.use = session({ ...options({ integrity: true, ...more, store }), genid: undefined })
    this.cookie = undefined
    // The id of the session after the last visit.
    this.id = undefined
    clock.now = beginning
  }

  // Visits the application so many milliseconds after the beginning. A handler that answers itself returns `true`.
  async visit(after, handler = () => {}, more = {}) {
    this.clock.now = this.beginning + after
    const headers = this.cookie ? { ...more, cookie: this.cookie } : more
    const got = await answer(this.use, { headers }, async (req, res) => {
      const isAnswered = await handler(req, res)
      this.id = req.sessionID
      if (isAnswered !== true) res.end('ok')
    })
    if (got.cookies.length > 0) this.cookie = got.cookies[0].split(';')[0]
    return got
  }

  // The record as it is stored, without what session-file-store adds.
  async record(id = this.id) {
    const record = await this.store.get(id)
    if (!record) return undefined
    const { __lastAccess: _, ...stored } = record
    return JSON.stringify(stored)
  }
}

// Returns visitors of one store, in which each has logged in, a second after the one before.
export async function eachLoggedIn(visitor, store, users, more) {
  const visitors = []
  for (const [at, user] of users.entries()) {
    const browser = visitor({ store, ...more })
    await browser.visit(at * 1000, (req) => req.session.login(user))
    visitors.push(browser)
  }
  return visitors
}

// Visits and returns what the handler returns.
export async function ask(browser, after, handler) {
  let result
  const got = await browser.visit(after, async (req) => {
    result = await handler(req.session, req)
  })
  assert.deepEqual(got.errors, [])
  return result
}
