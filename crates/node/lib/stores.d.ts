// The types of the native stores.

import { SessionData, Store } from 'express-session'

type Callback<T = null> = (error: any, result?: T | null) => void

/** What a store gives back: the data that was stored, its cookie as JSON has it. */
type Stored = SessionData & Record<string, any>

/** What the native stores have in common: express-session's interface, and promises where there is no callback. */
declare abstract class NativeStore extends Store {
  get(sid: string, callback: Callback<Stored>): void
  get(sid: string): Promise<Stored | null>
  set(sid: string, session: SessionData, callback: Callback): void
  set(sid: string, session: SessionData): Promise<null>
  touch(sid: string, session: SessionData, callback: Callback): void
  touch(sid: string, session: SessionData): Promise<null>
  destroy(sid: string, callback: Callback): void
  destroy(sid: string): Promise<null>
  ids(callback: Callback<string[]>): void
  ids(): Promise<string[]>
  length(callback: Callback<number>): void
  length(): Promise<number>
  clear(callback: Callback): void
  clear(): Promise<null>

  /** Removes what has ended. The store does so by itself; this is for who wants it now. */
  prune(callback: Callback): void
  prune(): Promise<null>

  /** Lets go of the connections. What is asked afterwards fails with `ERR_STORE_CLOSED`. */
  close(callback: Callback): void
  close(): Promise<null>
}

declare abstract class ListedStore extends NativeStore {
  all(callback: Callback<(Stored & { id: string })[]>): void
  all(): Promise<(Stored & { id: string })[]>
}

declare abstract class NamedStore extends NativeStore {
  all(callback: Callback<Record<string, Stored>>): void
  all(): Promise<Record<string, Stored>>
}

export interface ServerOptions {
  /** How many milliseconds a call may take. Default: 5000. */
  timeout?: number | undefined

  /**
   * When the server is away, emits `disconnect`, asks so often, in milliseconds, whether it is back, and emits
   * `connect`. In between express-session answers requests without a session. Default: no events, and each call
   * is an error.
   */
  probeInterval?: number | undefined
}

export interface RedisOptions extends ServerOptions {
  /** The server, also `rediss://`, `redis+sentinel://`, `redis+cluster://`. Default: `redis://127.0.0.1:6379`. */
  url?: string | undefined
  /** What the keys begin with. Default: `sess:`. */
  prefix?: string | undefined
  /**
   * How many seconds a session lives whose cookie has no end; a function says it for every session. Default: a
   * day.
   */
  ttl?: number | ((session: any) => number) | undefined
  /** How many keys a step of a listing looks at. Default: 100. */
  scanCount?: number | undefined
  /** What makes a text of a session. Default: JSON. */
  serializer?: { parse(text: string): any; stringify(session: any): string } | undefined
  /** Keeps sessions for ever. Default: false. */
  disableTTL?: boolean | undefined
  /** Lets only a save move a session's end. Default: false. */
  disableTouch?: boolean | undefined
}

/** Sessions in Redis or Valkey, as connect-redis keeps them. */
export class RedisStore extends ListedStore {
  constructor(options?: RedisOptions)
}

export interface PostgresOptions extends ServerOptions {
  /** The database. Default: `conString`, `conObject`, `DATABASE_URL`, or what pg's variables say. */
  url?: string | undefined
  conString?: string | undefined
  conObject?: {
    connectionString?: string | undefined
    host?: string | undefined
    port?: number | string | undefined
    user?: string | undefined
    password?: string | undefined
    database?: string | undefined
    max?: number | undefined
  } | undefined
  /** Default: `session`. */
  tableName?: string | undefined
  /** Default: where the search path finds the table. */
  schemaName?: string | undefined
  /** Default: false. */
  createTableIfMissing?: boolean | undefined
  /** How many seconds a session lives whose cookie has no end. Default: a day. */
  ttl?: number | undefined
  /** Lets only a save move a session's end. Default: false. */
  disableTouch?: boolean | undefined
  /** How often, in seconds, expired sessions are removed; `false` is never. Default: 900. */
  pruneSessionInterval?: number | false | undefined
  /** From a half to one and a half of that. Default: true. */
  pruneSessionRandomizedInterval?: boolean | undefined
  /** How many connections there may be. Default: 10. */
  max?: number | undefined
}

/** Sessions in PostgreSQL, in the table of connect-pg-simple. */
export class PostgresStore extends ListedStore {
  constructor(options?: PostgresOptions)
  pruneSessions(callback: Callback): void
  pruneSessions(): Promise<null>
}

export interface MySqlOptions extends ServerOptions {
  /** The database. Default: the five that follow. */
  url?: string | undefined
  host?: string | undefined
  port?: number | string | undefined
  user?: string | undefined
  password?: string | undefined
  database?: string | undefined
  /** Removes expired sessions. Default: true. */
  clearExpired?: boolean | undefined
  /** How often, in milliseconds. Default: 900000. */
  checkExpirationInterval?: number | undefined
  /** How many milliseconds a session lives whose cookie has no end. Default: a day. */
  expiration?: number | undefined
  /** Makes the table where there is none. Default: true. */
  createDatabaseTable?: boolean | undefined
  /** Lets only a save move a session's end. Default: false. */
  disableTouch?: boolean | undefined
  charset?: 'utf8mb4_bin' | undefined
  schema?: {
    tableName?: string | undefined
    columnNames?: {
      session_id?: string | undefined
      expires?: string | undefined
      data?: string | undefined
    } | undefined
  } | undefined
  /** How many connections there may be. Default: 10. */
  connectionLimit?: number | undefined
  /** Of a pool of mysql2's; without effect. */
  endConnectionOnClose?: boolean | undefined
  idleTimeout?: number | undefined
  maxIdle?: number | undefined
  queueLimit?: number | undefined
  waitForConnections?: boolean | undefined
}

/** Sessions in MySQL or MariaDB, in the table of express-mysql-session. */
export class MySqlStore extends NamedStore {
  constructor(options?: MySqlOptions)
  /** Waits until the server answers, and the table is there. */
  onReady(): Promise<void>
  clearExpiredSessions(callback: Callback): void
  clearExpiredSessions(): Promise<null>
}

export interface SqliteOptions {
  /** The file, or `:memory:`. Default: the table's name. */
  db?: string | undefined
  /** The folder. Default: `.`. */
  dir?: string | undefined
  /** Default: `sessions`. */
  table?: string | undefined
  createDirIfNotExists?: boolean | undefined
  /** The write-ahead log. Default: true. */
  concurrentDb?: boolean | undefined
  /** Whose table it is, or is to be. Default: whose it is, or else connect-sqlite3's. */
  dialect?: 'connect-sqlite3' | 'better-sqlite3-session-store' | 'connect-session-knex' | undefined
  /** The column of the id, of connect-session-knex's table. Default: `sid`. */
  sidFieldName?: string | undefined
  /** Default: true. */
  createTable?: boolean | undefined
  /** How many seconds a session lives whose cookie has no end. Default: a day. */
  ttl?: number | undefined
  /** How often, in milliseconds, expired sessions are removed; `false` is never. Default: the npm store's. */
  cleanupInterval?: number | false | undefined
  /** How much a power cut may take: `full` takes nothing. Default: `normal`. */
  synchronous?: 'normal' | 'full' | undefined
  /** How many milliseconds to wait while another program writes. Default: 5000. */
  busyTimeout?: number | undefined
  /** How many threads only read. Default: 2. */
  readers?: number | undefined
  /** How many milliseconds a call may take. Default: 5000. */
  timeout?: number | undefined
}

/** Sessions in an SQLite file, as connect-sqlite3 and two other npm stores keep them. */
export class SqliteStore extends ListedStore {
  constructor(options?: SqliteOptions)
}

export interface FileOptions {
  /** The folder. Default: `./sessions`. */
  path?: string | undefined
  /** How many seconds a session lives whose cookie has no max age. Default: 3600. */
  ttl?: number | undefined
  /** Default: `.json`. */
  fileExtension?: string | undefined
  /** How often, in seconds, expired sessions are removed; -1 is never. Default: 3600. */
  reapInterval?: number | undefined
  encoding?: 'utf8' | undefined
  /** Lets a save wait for the disk. Default: true. */
  fsync?: boolean | undefined
  /** Who may read new files. Default: `0o600`. */
  mode?: number | undefined
  /** How many milliseconds a call may take. Default: 5000. */
  timeout?: number | undefined
  /** Without effect: a file is there or not, and what is over is removed on threads of the store's own. */
  retries?: number | undefined
  factor?: number | undefined
  minTimeout?: number | undefined
  maxTimeout?: number | undefined
  reapAsync?: boolean | undefined
  reapSyncFallback?: boolean | undefined
  reapMaxConcurrent?: number | undefined
  logFn?: ((...args: any[]) => void) | undefined
}

/** Sessions in a folder, one file each, as session-file-store keeps them. */
export class FileStore extends ListedStore {
  constructor(options?: FileOptions)
}

export interface MemcachedOptions extends ServerOptions {
  /** The server. Default: `hosts`. */
  url?: string | undefined
  /** One server. Default: `127.0.0.1:11211`. */
  hosts?: string | [string] | undefined
  /** What the keys begin with. Default: nothing. */
  prefix?: string | undefined
  /** How many seconds every session lives, whatever its cookie says. */
  ttl?: number | undefined
  /** How many connections there may be. Default: 10. */
  poolSize?: number | undefined
}

/** Sessions in Memcached, as connect-memcached keeps them. */
export class MemcachedStore extends ListedStore {
  constructor(options?: MemcachedOptions)
}

export interface MemoryOptions {
  /**
   * How many milliseconds every session lives, whatever its cookie says; a function says it for each. Default: as
   * long as its cookie, or a day.
   */
  ttl?: number | ((options: MemoryOptions, session: any, sid: string) => number) | undefined
  /** Beyond so many the session that was not used for longest goes. Default: no limit. */
  max?: number | undefined
  /** The same, counted in bytes. */
  maxBytes?: number | undefined
  /** Without effect: some of what has ended goes with every call. */
  checkPeriod?: number | undefined
}

/** Sessions in this process, outside of JavaScript's heap. Not `session.MemoryStore`, which leaks. */
export class MemoryStore extends NamedStore {
  constructor(options?: MemoryOptions)
}
