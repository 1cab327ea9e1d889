// An application with `integrity`.

import type { Request } from 'express'
import session from 'express-session-rs'
import type { IntegritySession, SessionLock } from 'express-session-rs'
import { RedisStore } from 'express-session-rs/stores'

declare module 'express-session' {
  interface SessionData {
    count: number
  }

  interface Session extends IntegritySession {}
}

session({ secret: 'keyboard cat', store: new RedisStore(), integrity: true, departures: ['mergeChanges'] })

export async function count({ session }: Request): Promise<number | undefined> {
  session.update('count', (count = 0) => count + 1)
  // @ts-expect-error: a number
  session.update('count', () => 'one')
  // @ts-expect-error: no member of the session
  session.update('other', () => 1)
  const lock: SessionLock = await session.lock({ wait: 100 })
  const { fencingToken, remaining } = lock
  await lock.unlock()
  if (session.ended === 'elsewhere') return undefined
  return (await session.updateNow('count', (count = 0) => count + fencingToken + remaining)) ?? session.takeOnce('count')
}
