// The native stores as the store of @fastify/session.

import type { FastifySessionOptions } from '@fastify/session'
import {
  FileStore, MemcachedStore, MemoryStore, MySqlStore, PostgresStore, RedisStore, SqliteStore
} from 'express-session-rs/stores'

const secret = 'a secret of at least 32 characters'

export const all: FastifySessionOptions[] = [
  { secret, store: new FileStore() },
  { secret, store: new MemcachedStore() },
  { secret, store: new MemoryStore() },
  { secret, store: new MySqlStore() },
  { secret, store: new PostgresStore() },
  { secret, store: new RedisStore() },
  { secret, store: new SqliteStore() }
]
