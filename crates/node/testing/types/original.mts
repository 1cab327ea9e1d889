// An application that declares its session data for express-session.

import type { Request, Response } from 'express'
import session, { MemoryStore, Store } from 'express-session-rs'

declare module 'express-session' {
  interface SessionData {
    views: number
  }
}

const store: Store = new MemoryStore()
session({ secret: 'keyboard cat', resave: false, saveUninitialized: true, store })
session({ secret: ['new', 'old'], key: 'sid', departures: ['saveBeforeResponse', 'clearCookie'] })
session({ secret: 'keyboard cat', genid: (req) => req.url, cookie: (req) => ({ secure: req.secure }) })
// @ts-expect-error: not available for Node
session({ secret: 'keyboard cat', departures: ['lazyLoad'] })
// @ts-expect-error: there is no such option
session({ secret: 'keyboard cat', maxAge: 1 })

export async function visit(req: Request, res: Response): Promise<void> {
  const views: number | undefined = req.session.views
  req.session.views = (views ?? 0) + 1
  req.session.cookie.maxAge = 60_000
  // @ts-expect-error: a number
  req.session.views = 'one'
  // @ts-expect-error: not declared
  req.session.visits = 1

  req.session.touch().save((error) => console.error(error))
  req.session.regenerate((error) => console.error(error)).resetMaxAge()
  const saved: Promise<void> = req.session.save()
  await saved
  const reloaded: Promise<void> = req.session.reload()
  await reloaded
  await req.session.regenerate()
  await req.session.destroy()
  res.send(req.sessionID)
}
