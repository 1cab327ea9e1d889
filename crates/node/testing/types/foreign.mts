// An application with stores of npm that have types, and session data declared for both modules.

import MongoStore from 'connect-mongo'
import { RedisStore } from 'connect-redis'
import type { Request } from 'express'
import session from 'express-session-rs'
import type { SessionData, SessionOf, SessionOptions, Store } from 'express-session-rs'
import { createClient } from 'redis'

const options: SessionOptions = { secret: 'keyboard cat', resave: false, saveUninitialized: false }
const stores: Store[] = [
  new RedisStore({ client: createClient() }),
  MongoStore.create({ mongoUrl: 'mongodb://localhost/shop' })
]
for (const store of stores) session({ ...options, store })

// Both `original.mts` and `own.mts` have declared theirs.
const data: Partial<SessionData> = { views: 1, cart: [] }

export function poll(req: Request, { views }: Partial<SessionData> = data): number {
  const polled: SessionOf<{ votes: number[] }> = req.session
  polled.votes = [...(polled.votes ?? []), views ?? 0]
  // @ts-expect-error: a list
  polled.votes = 1
  // @ts-expect-error: not declared
  polled.vote = 1
  polled.cart = ['a']
  void polled.save()
  return polled.votes?.length ?? 0
}
