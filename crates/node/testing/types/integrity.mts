// An application with `integrity`.

import type { Request } from 'express'
import session from 'express-session-rs'
import type { IntegritySession, SessionClient, SessionLock, SessionMetadata, SessionMiddleware, UserSession } from 'express-session-rs'
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
  metadata: true, metadataMember: '__life', clearSiteData: true, renewAfter: 900_000, renewalGrace: 30_000
})

const secret = 'keyboard cat'
const atLimit = 'endLeastRecentlyUsed'
const middleware: SessionMiddleware = session({ secret, maxSessions: { count: 5, atLimit } })
session({ secret, maxSessions: { count: 5 } })
session({ secret, userEpoch: true })
session({ secret, clientAddress: 'shortened', userAgent: 'full' })
// @ts-expect-error: no detail
session({ secret, userAgent: true })
export const addressOf = (client: SessionClient): string | undefined => client.address
// @ts-expect-error: it needs a count
session({ secret, maxSessions: {} })
// @ts-expect-error: no outcome of a login
session({ secret, maxSessions: { count: 5, atLimit: 'end' } })

export async function disable(user: string): Promise<number> {
  const [first]: UserSession[] = await middleware.sessionsOf(user)
  if (first && (await middleware.endSessionOf(user, first.publicId))) return 1
  return middleware.endSessionsOf(user)
}

export async function devices({ session }: Request): Promise<Date | undefined> {
  const other = (await session.userSessions()).find(({ isCurrent }) => !isCurrent)
  if (other) await session.endUserSession(other.publicId)
  const ended: number = (await session.endOtherSessions()) + (await session.endAllSessions())
  return ended > 0 ? other?.seen : other?.created
}

session.hardened({ secret: 'keyboard cat', store: new RedisStore(), cookie: { maxAge: 3_600_000 } })
// @ts-expect-error: it needs a secret
session.hardened()

export async function login({ session }: Request): Promise<Date | undefined> {
  await session.login({ id: 7 }, { keep: ['count'], remember: 60_000, passport: true, level: 1 })
  await session.stepUp(2)
  session.requireLevel(2)
  // @ts-expect-error: no level
  session.requireLevel('2')
  await session.renewId()
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
