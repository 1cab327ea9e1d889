// The native stores, for this package and for express-session.

import original from 'express-session'
import session from 'express-session-rs'
import {
  FileStore, MemcachedStore, MemoryStore, MySqlStore, PostgresStore, RedisStore, SqliteStore
} from 'express-session-rs/stores'

const store = new RedisStore({ url: 'redis://127.0.0.1', prefix: 'shop:', ttl: (session) => session.views })
session({ secret: 'keyboard cat', store })
original({ secret: 'keyboard cat', store })

for (const store of [
  new PostgresStore({ conString: 'postgres://web@localhost/shop', pruneSessionInterval: false }),
  new MySqlStore({ host: 'localhost', port: '3306', schema: { tableName: 'visits' } }),
  new SqliteStore({ dialect: 'connect-session-knex' }),
  new FileStore({ path: './sessions', retries: 0 }),
  new MemcachedStore({ hosts: ['127.0.0.1:11211'], sealed: { keys: ['…', new Uint8Array(32)], acceptPlain: true } }),
  new MemoryStore({ checkPeriod: 86_400_000, max: 1000 })
]) {
  session({ secret: 'keyboard cat', store })
}

// @ts-expect-error: the store opens its own connection
new RedisStore({ client: {} })
// @ts-expect-error: no keys
new RedisStore({ sealed: { acceptPlain: true } })
// @ts-expect-error: not a number
new MemoryStore({ max: '5' })

export async function ids(): Promise<string[]> {
  const all = await store.all()
  store.get('sid', (error, session) => error ?? session?.cookie)
  const { moved, unreadable }: { moved: number; unreadable: number } = await store.upgrade()
  if (moved < unreadable) return []
  return [...(await store.ids()), ...all.map(({ id }) => id)]
}
