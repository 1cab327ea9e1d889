// Every store of the package, each with the server that it needs.

import {
  FileStore, MemcachedStore, MemoryStore, MySqlStore, PostgresStore, RedisStore, SqliteStore
} from 'express-session-rs/stores'
import { folder, urls } from './servers.mjs'

// Returns [name, open, server] of each. `open` opens another object over the same records each time, as another process
// would; `name` is that of the table or the prefix.
export function allStores(name, options = {}, { path = folder(), sealed } = {}) {
  if (sealed) options = { ...options, sealed }
  const memory = new MemoryStore()
  return [
    ['memory', () => memory],
    ['file', () => new FileStore({ path: `${path}/files`, sealed })],
    ['sqlite', () => new SqliteStore({ dir: path, sealed })],
    ['redis', () => new RedisStore({ url: urls.redis, prefix: `${name}:`, ...options }), 'redis'],
    ['postgres', () => new PostgresStore({
      url: urls.postgres, tableName: name, createTableIfMissing: true, ...options
    }), 'postgres'],
    ['mysql', () => new MySqlStore({ url: urls.mysql, schema: { tableName: name }, ...options }), 'mysql'],
    ['memcached', () => new MemcachedStore({ url: urls.memcached, prefix: `${name}:`, ...options }), 'memcached']
  ]
}
