// An application with `integrity`.

import type { Request } from 'express'
import session from 'express-session-rs'
import type { IntegritySession, SessionLock, SessionMetadata } from 'express-session-rs'
import { RedisStore } from 'express-session-rs/stores'

declare module 'express-session' {
  interface SessionData {
    count: number
  }

  interface Session extends IntegritySession {}
}

session({ secret: 'keyboard cat', store: new RedisStore(), integrity: true, departures: ['mergeChanges'] })

session({
  secret: 'keyboard cat', store: new RedisStore(), integrity: true, idleTimeout: 1_800_000, absoluteTimeout: 43_200_000,
  metadata: true, metadataMember: '__life', clearSiteData: true
})

session.hardened({ secret: 'keyboard cat', store: new RedisStore(), cookie: { maxAge: 3_600_000 } })
// @ts-expect-error: it needs a secret
session.hardened()

export async function login({ session }: Request): Promise<Date | undefined> {
  await session.login({ id: 7 }, { keep: ['count'], remember: 60_000, passport: true })
  // @ts-expect-error: no option of a login
  await session.login('bob', { keeping: ['count'] })
  // @ts-expect-error: no user
  await session.login(null)
  session.requireFresh(300_000)
  const user: { id: number } | undefined = session.loggedInUser<{ id: number }>()
  if (!user || session.endedBy === 'idle') await session.logout()
  await session.regenerateKeeping(['count'])
  const metadata: SessionMetadata | undefined = session.metadata
  return metadata?.authenticated
}

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
