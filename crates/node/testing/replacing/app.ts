// The types of the application: stores with types, session data declared for express-session, and the additions.

import MongoStore from 'connect-mongo'
import { RedisStore } from 'connect-redis'
import express from 'express'
import type { NextFunction, Request, Response } from 'express'
import session, { Cookie, MemoryStore, Session, Store } from 'express-session'
import type { CookieOptions, SessionData, SessionOf, SessionOptions } from 'express-session'
import { RedisStore as NativeRedisStore } from 'express-session/stores'
import { createClient } from 'redis'

declare module 'express-session' {
  interface SessionData {
    user: string
    visits: number
  }

  // Less usual, and possible with express-session's types as well.
  interface Session {
    started?: Date
  }

  interface CookieOptions {
    note?: string
  }
}

declare global {
  namespace Express {
    interface Request {
      tenant?: string
    }
  }
}

class OwnStore extends Store {
  get(_id: string, fn: (error: unknown, session?: SessionData | null) => void): void {
    fn(null, null)
  }

  set(_id: string, _session: SessionData, fn?: (error?: unknown) => void): void {
    fn?.()
  }

  destroy(_id: string, fn?: (error?: unknown) => void): void {
    fn?.()
  }
}

const cookie: CookieOptions = { maxAge: 60_000, sameSite: 'lax', secure: 'auto', note: 'none' }
const options: SessionOptions = { secret: ['new', 'old'], resave: false, saveUninitialized: false, cookie }
const stores: Store[] = [
  new RedisStore({ client: createClient() }),
  MongoStore.create({ mongoUrl: 'mongodb://localhost/shop' }),
  new NativeRedisStore({ url: 'redis://127.0.0.1' }),
  new MemoryStore(),
  new OwnStore()
]

const app = express()
for (const store of stores) app.use(session({ ...options, store, departures: ['saveBeforeResponse'] }))
// @ts-expect-error: there is no such option
app.use(session({ secret: 'keyboard cat', maxAge: 1 }))
// @ts-expect-error: not available for Node
app.use(session({ secret: 'keyboard cat', departures: ['lazyLoad'] }))

app.post('/login', async (req, res) => {
  await req.session.regenerate()
  req.session.user = 'ada'
  await req.session.save()
  res.redirect('/')
})

export function visit(req: Request, res: Response, next: NextFunction): void {
  const visits: number | undefined = req.session.visits
  req.session.visits = (visits ?? 0) + 1
  req.session.started ??= new Date()
  // @ts-expect-error: a number
  req.session.visits = 'one'
  // @ts-expect-error: not declared
  req.session.cart = []
  const one: Session = req.session
  const shop: SessionOf<{ basket: string[] }> = req.session
  shop.basket = [`${shop.user}`]
  const saved: Promise<void> = one.save()
  one.touch().regenerate((error) => (error ? next(error) : res.send(req.sessionID)))
  req.sessionStore.get(req.sessionID, (error, record) => error ?? record?.user)
  if (one.cookie instanceof Cookie) one.cookie.maxAge = 1000
  void saved
}
