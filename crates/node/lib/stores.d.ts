// The types of the native stores.

import { SessionData, Store } from './index'

type Callback<T = null> = (error: any, result?: T | null) => void

/** A session as a store returns it: the stored data, with the cookie as parsed JSON. */
type Stored = SessionData & Record<string, any>

/** How many records an upgrade has moved, and how many it could not read. */
export interface Upgraded {
  moved: number
  unreadable: number
}

/** The methods of every native store: express-session's interface, with a promise if there is no callback. */
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

  /** Removes expired sessions immediately, without waiting for the store's own cleanup. */
  prune(callback: Callback): void
  prune(): Promise<null>

  /**
   * Moves plain records and those of older keys to the first key of the option `sealed`, while requests go on. The error of a
   * store without that option has the code `ERR_STORE_UNSUPPORTED`.
   */
  upgrade(callback: Callback<Upgraded>): void
  upgrade(): Promise<Upgraded>

  /** Closes the connections. Later calls fail with `ERR_STORE_CLOSED`. */
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
  /** Timeout of a call, in milliseconds. Default: 5000. */
  timeout?: number | undefined

  /**
   * Maximum number of calls that wait for the server at the same time. A further call fails immediately, with
   * `ERR_STORE_UNAVAILABLE`. Default: 4096.
   */
  maxWaiting?: number | undefined

  /**
   * Interval of probes of an unavailable server, in milliseconds. The store emits `disconnect` when the server becomes
   * unavailable, and `connect` when a probe succeeds; in between, requests are handled without a session. Default: no
   * events, and every call fails.
   */
  probeInterval?: number | undefined
}

/** The records are encrypted before they reach the store, under ids that are keyed hashes: see the README. */
export interface Sealing {
  /**
   * Secrets of at least 32 bytes, of which the first one seals new records, and all of them open. `openssl rand -base64 32`
   * makes one.
   */
  keys: readonly (string | Uint8Array)[]
  /** Whether records that are not sealed are sessions too, until `upgrade` has moved them. Default: false. */
  acceptPlain?: boolean | undefined
}

/** The certificates of an encrypted connection, as in `tls.connect`. PEM is a string, a Buffer, or a list of them. */
export interface TlsOptions {
  /** Authorities that are trusted instead of the public ones. Default: the public ones, and NODE_EXTRA_CA_CERTS. */
  ca?: Pem | undefined
  /** Certificate of the client. */
  cert?: Pem | undefined
  /** Key of that certificate. */
  key?: Pem | undefined
  /** `false` accepts any certificate. Default: true. */
  rejectUnauthorized?: boolean | undefined
  /** The name in the server's certificate. Default: the host. `RedisStore` and `PostgresStore` take no other. */
  servername?: string | undefined
  minVersion?: 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | undefined
}

type Pem = string | Uint8Array | (string | Uint8Array)[]

export interface RedisOptions extends ServerOptions {
  /** Seals the records. Default: they are as the npm store writes them. */
  sealed?: Sealing | undefined
  /**
   * URL of the server: `redis`, `rediss`, `redis+unix`, `redis+sentinel` or `redis+cluster`. Default: `host`, `port` and
   * so on.
   */
  url?: string | undefined
  /** Default: `127.0.0.1`. */
  host?: string | undefined
  /** Default: 6379. */
  port?: number | string | undefined
  /** Socket of this machine, instead of `host` and `port`. */
  path?: string | undefined
  username?: string | undefined
  password?: string | undefined
  /** Number of the database. Default: that of the URL, or 0. */
  db?: number | undefined
  /** As `db`. */
  database?: number | undefined
  /** Encrypts the connection. Default: what the URL says. */
  tls?: TlsOptions | boolean | undefined
  /** The address and the certificates as in node-redis. */
  socket?: (TlsOptions & {
    host?: string | undefined
    port?: number | string | undefined
    path?: string | undefined
    tls?: boolean | undefined
    /** This and the next two have no effect. */
    family?: number | undefined
    keepAlive?: boolean | number | undefined
    noDelay?: boolean | undefined
  }) | undefined
  /** Prefix of the keys. Default: `sess:`. */
  prefix?: string | undefined
  /** TTL of sessions without a cookie expiry, in seconds, or a function that returns it for every session. Default: a day. */
  ttl?: number | ((session: any) => number) | undefined
  /** Number of keys that one step of a listing scans. Default: 100. */
  scanCount?: number | undefined
  /** Converts sessions to text and back. Default: `JSON`. */
  serializer?: { parse(text: string): any; stringify(session: any): string } | undefined
  /** Stores sessions without an expiry. Default: false. */
  disableTTL?: boolean | undefined
  /** Keeps an index of the users, for the lists of a Rust service on the same store. Default: false. */
  userIndex?: boolean | undefined
  /** Resets the expiry only when a session is saved. Default: false. */
  disableTouch?: boolean | undefined
}

/** Stores sessions in Redis or Valkey, in the format of connect-redis. */
export class RedisStore extends ListedStore {
  constructor(options?: RedisOptions)
  readonly prefix: string
  readonly ttl: number | ((session: any) => number)
  readonly scanCount: number
  readonly serializer: { parse(text: string): any; stringify(session: any): string }
  readonly disableTTL: boolean
  readonly disableTouch: boolean
}

/** The address of a database, and its login. */
export interface DatabaseAddress {
  host?: string | undefined
  port?: number | string | undefined
  user?: string | undefined
  password?: string | undefined
  database?: string | undefined
}

export interface PostgresOptions extends ServerOptions {
  /** Seals the records. Default: they are as the npm store writes them. */
  sealed?: Sealing | undefined
  /** URL of the database. Default: `conObject`, `conString`, `DATABASE_URL`, or the environment variables of pg. */
  url?: string | undefined
  conString?: string | undefined
  conObject?: (DatabaseAddress & {
    connectionString?: string | undefined
    ssl?: TlsOptions | boolean | undefined
    max?: number | undefined
  }) | undefined
  /** Encrypts the connections, as in node-postgres. A mode in the URL decides. Default: what the URL says. */
  ssl?: TlsOptions | boolean | undefined
  /** Name of the table. Default: `session`. */
  tableName?: string | undefined
  /** Schema of the table. Default: the search path. */
  schemaName?: string | undefined
  /** Creates the table if it is missing. Default: false. */
  createTableIfMissing?: boolean | undefined
  /** Creates an index of the users if it is missing, for the lists of a Rust service on the same table. Default: false. */
  userIndex?: boolean | undefined
  /** TTL of sessions without a cookie expiry, in seconds. Default: a day. */
  ttl?: number | undefined
  /** Resets the expiry only when a session is saved. Default: false. */
  disableTouch?: boolean | undefined
  /** Interval of the removal of expired sessions, in seconds; `false` disables it. Default: 900. */
  pruneSessionInterval?: number | false | undefined
  /** Randomizes the interval, from a half to one and a half of its length. Default: true. */
  pruneSessionRandomizedInterval?: boolean | undefined
  /** Maximum number of connections, at most 65,535. Default: 10. */
  max?: number | undefined
  /** Prepares statements. Default: only on connections to the address that the server itself has, without a pooler. */
  prepareStatements?: boolean | undefined
}

/** Stores sessions in PostgreSQL, in the table of connect-pg-simple. */
export class PostgresStore extends ListedStore {
  constructor(options?: PostgresOptions)
  pruneSessions(callback: Callback): void
  pruneSessions(): Promise<null>
  /** Returns the name of the table, for an SQL statement. */
  quotedTable(): string
}

export interface MySqlOptions extends ServerOptions, DatabaseAddress {
  /** Seals the records. Default: they are as the npm store writes them. */
  sealed?: Sealing | undefined
  /** URL of the database. Default: `host`, `port`, `user`, `password` and `database`. */
  url?: string | undefined
  /** As `url`. */
  uri?: string | undefined
  /** Socket of this machine, instead of `host` and `port`. */
  socketPath?: string | undefined
  /** Encrypts the connections. `verifyIdentity: false` changes nothing: the host is always checked. Default: what the URL says. */
  ssl?: (TlsOptions & { verifyIdentity?: boolean | undefined }) | boolean | undefined
  /** Removes expired sessions. Default: true. */
  clearExpired?: boolean | undefined
  /** Interval of the removal, in milliseconds. Default: 900000. */
  checkExpirationInterval?: number | undefined
  /** TTL of sessions without a cookie expiry, in milliseconds. Default: a day. */
  expiration?: number | undefined
  /** Creates the table if it is missing. Default: true. */
  createDatabaseTable?: boolean | undefined
  /** Resets the expiry only when a session is saved. Default: false. */
  disableTouch?: boolean | undefined
  charset?: 'utf8mb4_bin' | 'utf8mb4' | 'UTF8MB4_BIN' | 'UTF8MB4' | undefined
  schema?: {
    tableName?: string | undefined
    columnNames?: {
      session_id?: string | undefined
      expires?: string | undefined
      data?: string | undefined
    } | undefined
  } | undefined
  /** Maximum number of connections, at most 65,535. Default: 10. */
  connectionLimit?: number | undefined
  /** This and the options below belong to mysql2, and have no effect. */
  endConnectionOnClose?: boolean | undefined
  enableKeepAlive?: boolean | undefined
  gracefulEnd?: boolean | undefined
  idleTimeout?: number | undefined
  keepAliveInitialDelay?: number | undefined
  maxIdle?: number | undefined
  queueLimit?: number | undefined
  waitForConnections?: boolean | undefined
  bigNumberStrings?: boolean | undefined
  connectAttributes?: object | undefined
  dateStrings?: boolean | string[] | undefined
  debug?: any
  decimalNumbers?: boolean | undefined
  disableEval?: boolean | undefined
  jsonStrings?: boolean | undefined
  maxPreparedStatements?: number | undefined
  multipleStatements?: boolean | undefined
  namedPlaceholders?: boolean | undefined
  nestTables?: boolean | string | undefined
  rowsAsArray?: boolean | undefined
  stringifyObjects?: boolean | undefined
  supportBigNumbers?: boolean | undefined
  timezone?: string | undefined
  trace?: boolean | undefined
  typeCast?: any
}

/** Stores sessions in MySQL or MariaDB, in the table of express-mysql-session. */
export class MySqlStore extends NamedStore {
  constructor(options?: MySqlOptions)
  /** Waits until the server answers and the table exists. */
  onReady(): Promise<void>
  clearExpiredSessions(callback: Callback): void
  clearExpiredSessions(): Promise<null>
  closeStore(callback: Callback): void
  closeStore(): Promise<null>
}

export interface SqliteOptions {
  /** Seals the records. Default: they are as the npm store writes them. */
  sealed?: Sealing | undefined
  /** Name of the file, or `:memory:`. Default: the name of the table. */
  db?: string | undefined
  /** Folder of the file. Default: `.`. */
  dir?: string | undefined
  /** Name of the table. Default: `sessions`. */
  table?: string | undefined
  /** Creates the folder if it is missing. Default: false. */
  createDirIfNotExists?: boolean | undefined
  /** Turns on the write-ahead log. Default: true. */
  concurrentDb?: boolean | undefined
  /** The npm store whose table is used. Default: the one that the table belongs to, or else connect-sqlite3. */
  dialect?: 'connect-sqlite3' | 'better-sqlite3-session-store' | 'connect-session-knex' | undefined
  /** Column of the id in the table of connect-session-knex. Default: `sid`. */
  sidFieldName?: string | undefined
  /** Creates the table if it is missing. Default: true. */
  createTable?: boolean | undefined
  /** Creates an index of the users if it is missing, for the lists of a Rust service on the same table. Default: false. */
  userIndex?: boolean | undefined
  /** TTL of sessions without a cookie expiry, in seconds. Default: a day. */
  ttl?: number | undefined
  /** Interval of the removal of expired sessions, in milliseconds; `false` disables it. Default: the npm store's. */
  cleanupInterval?: number | false | undefined
  /** Durability: after a power failure, `normal` may lose the last writes, and `full` loses none. Default: `normal`. */
  synchronous?: 'normal' | 'full' | undefined
  /** How long to wait while another process writes, in milliseconds. Default: 5000. */
  busyTimeout?: number | undefined
  /** Number of threads that only read, at most 1,024. Default: 2. */
  readers?: number | undefined
  /** Timeout of a call, in milliseconds. Default: 5000. */
  timeout?: number | undefined
}

/** Stores sessions in an SQLite file, in the table of connect-sqlite3 or of one of two other npm stores. */
export class SqliteStore extends ListedStore {
  constructor(options?: SqliteOptions)
  readonly table: string
  clearExpiredSessions(callback: Callback): void
  clearExpiredSessions(): Promise<null>
  dbCleanup(callback: Callback): void
  dbCleanup(): Promise<null>
}

export interface FileOptions {
  /** Seals the records. Default: they are as the npm store writes them. */
  sealed?: Sealing | undefined
  /** Folder of the sessions. Default: `./sessions`. */
  path?: string | undefined
  /** TTL of sessions without a `maxAge`, in seconds. Default: 3600. */
  ttl?: number | undefined
  /** Extension of the files. Default: `.json`. */
  fileExtension?: string | undefined
  /** Interval of the removal of expired sessions, in seconds; -1 disables it. Default: 3600. */
  reapInterval?: number | undefined
  encoding?: 'utf8' | undefined
  /** Waits until the disk has each saved session. Default: true. */
  fsync?: boolean | undefined
  /** Permissions of new files. Default: `0o600`. */
  mode?: number | undefined
  /** Timeout of a call, in milliseconds. Default: 5000. */
  timeout?: number | undefined
  /**
   * This and the options below have no effect: a missing file is not looked for again, and threads of the store remove
   * expired ones.
   */
  retries?: number | undefined
  factor?: number | undefined
  minTimeout?: number | undefined
  maxTimeout?: number | undefined
  reapAsync?: boolean | undefined
  reapSyncFallback?: boolean | undefined
  reapMaxConcurrent?: number | undefined
  logFn?: ((...args: any[]) => void) | undefined
}

/** Stores sessions in a folder, one file each, in the format of session-file-store. */
export class FileStore extends ListedStore {
  constructor(options?: FileOptions)
  /** Returns the names of the files. */
  list(callback: Callback<string[]>): void
  list(): Promise<string[]>
  /** Returns whether a session has expired, or does not exist. */
  expired(sid: string, callback: Callback<boolean>): void
  expired(sid: string): Promise<boolean>
}

export interface MemcachedOptions extends ServerOptions {
  /** Seals the records. Default: they are as the npm store writes them. */
  sealed?: Sealing | undefined
  /** URL of the server. Default: `hosts`. */
  url?: string | undefined
  /** Address of one server. Default: `127.0.0.1:11211`. */
  hosts?: string | [string] | undefined
  /** Prefix of the keys. Default: none. */
  prefix?: string | undefined
  /** TTL of all sessions, in seconds, which overrides the expiry of the cookie. */
  ttl?: number | undefined
  /** Maximum number of connections, at most 65,535. Default: 10. */
  poolSize?: number | undefined
}

/** Stores sessions in Memcached, in the format of connect-memcached. */
export class MemcachedStore extends ListedStore {
  constructor(options?: MemcachedOptions)
  readonly prefix: string
  readonly ttl: number | undefined
  /** Returns the key of a session. */
  getKey(sid: string): string
}

export interface MemoryOptions {
  /**
   * TTL of all sessions, in milliseconds, or a function that returns it for each; it overrides the expiry of the cookie.
   * Default: the expiry of the cookie, or a day.
   */
  ttl?: number | ((options: MemoryOptions, session: any, sid: string) => number) | undefined
  /** Maximum number of sessions; beyond it, the least recently used are evicted. Default: no limit. */
  max?: number | undefined
  /** Maximum size of all sessions, in bytes. */
  maxBytes?: number | undefined
  /** Maximum size of one session, in bytes; saving a larger one fails with `ERR_STORE_UNSUITABLE`. Default: no limit. */
  maxRecordBytes?: number | undefined
  /** No effect: every call removes some of the expired sessions. */
  checkPeriod?: number | undefined
}

/** Stores sessions in this process, outside of JavaScript's heap. Unlike `session.MemoryStore`, it does not leak. */
export class MemoryStore extends NamedStore {
  constructor(options?: MemoryOptions)
  /** No effect: every call removes some of the expired sessions. */
  startInterval(): void
  stopInterval(): void
}

// Without it, the classes that are not exported would be.
export {}
