// The npm stores, and the form of their records in the server.
//
// A store has `packages`, the npm packages with their versions; `prepare`, which creates an empty database and
// returns its URL; and `open`, which returns the store itself, of the module `session`, and functions that bypass it:
//   raw(id)         returns the stored text, and the expiry in milliseconds (null: never)
//   expire(id, at)  sets the expiry
//   ids()           returns the stored ids
//   empty()         removes everything

import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import original from 'express-session'

// The functions behind options that are functions on Node. The Rust side has the same, by the same name.
const functions = {
  'by member': (data) => (data.views > 3 ? 60 : 7200)
}

// The newest package for this version of Node.
const [major] = process.versions.node.split('.')
const connectRedis = Number(major) >= 22 ? 'connect-redis-10' : 'connect-redis'

export const stores = {
  redis: {
    packages: [connectRedis, 'redis'],
    prepare: ({ url, place }) => `${url}/${place}`,
    async open({ url, options }) {
      const { createClient } = await import('redis')
      const client = await createClient({ url }).connect()
      return redis(client, options, () => client.flushDb())
    }
  },

  'redis cluster': {
    packages: [connectRedis, 'redis'],
    prepare: ({ url }) => url,
    async open({ url, options }) {
      const { createCluster } = await import('redis')
      const rootNodes = url.split(',').map((url) => ({ url }))
      const client = await createCluster({ rootNodes }).connect()
      const flush = async (master) => (await client.nodeClient(master)).flushAll()
      return redis(client, options, () => Promise.all(client.masters.map(flush)))
    }
  },

  'redis sentinel': {
    packages: [connectRedis, 'redis'],
    prepare: ({ url }) => url,
    async open({ url, options, name }) {
      const { createSentinel } = await import('redis')
      const sentinelRootNodes = url.split(',').map((url) => {
        const { hostname: host, port } = new URL(url)
        return { host, port: Number(port) }
      })
      const client = await createSentinel({ name, sentinelRootNodes }).connect()
      return redis(client, options, () => client.flushAll())
    }
  },

  postgres: {
    packages: ['connect-pg-simple', 'pg'],
    async prepare({ url, place, options, timezone }) {
      const { default: pg } = await import('pg')
      const name = `interop${place}`
      const query = async (url, ...statements) => {
        const client = new pg.Client({ connectionString: url })
        await client.connect()
        for (const statement of statements) await client.query(statement)
        await client.end()
      }
      await query(url, `CREATE DATABASE ${name}`)
      if (timezone) await query(url, `ALTER DATABASE ${name} SET timezone = '${timezone}'`)
      const own = Object.assign(new URL(url), { pathname: `/${name}` }).href
      if (options.schemaName) await query(own, `CREATE SCHEMA "${options.schemaName}"`)
      return own
    },
    async open({ url, options, session = original }) {
      const { default: pg } = await import('pg')
      const { default: connect } = await import('connect-pg-simple')
      const pool = new pg.Pool({ connectionString: url })
      const store = new (connect(session))({ pool, ...options })
      const table = store.quotedTable()
      // The first call creates the table.
      await done((callback) => store.get('no session', callback))
      const rows = async (sql, values) => (await pool.query(sql, values)).rows
      return {
        store,
        pool,
        async raw(id) {
          const columns = 'sess::text AS text, extract(epoch FROM expire::timestamptz) AS expires'
          const [row] = await rows(`SELECT ${columns} FROM ${table} WHERE sid = $1`, [id])
          return row && { text: row.text, expires: row.expires * 1000 }
        },
        expire: (id, at) =>
          rows(`UPDATE ${table} SET expire = to_timestamp($2) WHERE sid = $1`, [id, at / 1000]),
        ids: async () => (await rows(`SELECT sid FROM ${table}`)).map((row) => row.sid),
        empty: () => rows(`DELETE FROM ${table}`)
      }
    }
  },

  mysql: {
    packages: ['express-mysql-session', 'mysql2'],
    async prepare({ url, place }) {
      const own = Object.assign(new URL(url), { pathname: `/interop${place}` })
      const { default: connect } = await import('express-mysql-session')
      const store = new (connect(original))({ ...mysql(url), createDatabaseTable: false })
      await store.query(`CREATE DATABASE interop${place}`)
      await store.close()
      return own.href
    },
    async open({ url, options, session = original }) {
      const { default: connect } = await import('express-mysql-session')
      const store = new (connect(session))({ ...mysql(url), ...options })
      await store.onReady()
      const { tableName, columnNames } = store.options.schema
      const { session_id: id, expires, data } = columnNames
      const rows = async (...query) => (await store.query(...query))[0]
      return {
        store,
        async raw(sid) {
          const sql = 'SELECT ?? AS text, ?? AS expires FROM ?? WHERE ?? = ?'
          const [row] = await rows(sql, [data, expires, tableName, id, sid])
          return row && { text: row.text, expires: row.expires * 1000 }
        },
        expire: (sid, at) =>
          rows('UPDATE ?? SET ?? = ? WHERE ?? = ?', [tableName, expires, at / 1000, id, sid]),
        ids: async () =>
          (await rows('SELECT ?? AS id FROM ??', [id, tableName])).map((row) => row.id),
        empty: () => rows('DELETE FROM ??', [tableName])
      }
    }
  },

  'connect-sqlite3': {
    packages: ['connect-sqlite3', 'sqlite3'],
    prepare: ({ folder }) => path.join(folder, 'sessions.db'),
    async open({ url, options, session = original }) {
      const { default: connect } = await import('connect-sqlite3')
      const place = { dir: path.dirname(url), db: path.basename(url) }
      const store = new (connect(session))({ ...place, ...options })
      await new Promise((resolve) => store.client.on('connect', resolve))
      // Waits for another program's write, as every program that shares the file must.
      store.db.configure('busyTimeout', 5000)
      const rows = (sql, ...values) =>
        done((callback) => store.db.all(sql.replace('$', store.table), values, callback))
      return {
        store,
        async raw(id) {
          const [row] = await rows('SELECT sess, expired FROM $ WHERE sid = ?', id)
          return row && { text: row.sess, expires: row.expired }
        },
        expire: (id, at) => rows('UPDATE $ SET expired = ? WHERE sid = ?', at, id),
        ids: async () => (await rows('SELECT sid FROM $')).map((row) => row.sid),
        empty: () => rows('DELETE FROM $')
      }
    }
  },

  // Licensed under the GPL, version 3: this tool installs it and runs it in a process of its own, and the project
  // contains no part of it.
  'better-sqlite3-session-store': {
    packages: ['better-sqlite3-session-store', 'better-sqlite3'],
    prepare: ({ folder }) => path.join(folder, 'sessions.db'),
    async open({ url, options, session = original }) {
      const { default: Database } = await import('better-sqlite3')
      const { default: connect } = await import('better-sqlite3-session-store')
      const client = new Database(url)
      const store = new (connect(session))({ client, ...options })
      return {
        store,
        async raw(id) {
          const row = client.prepare('SELECT sess, expire FROM sessions WHERE sid = ?').get(id)
          return row && { text: row.sess, expires: Date.parse(row.expire) }
        },
        async expire(id, at) {
          const update = client.prepare('UPDATE sessions SET expire = ? WHERE sid = ?')
          update.run(new Date(at).toISOString(), id)
        },
        ids: async () => client.prepare('SELECT sid FROM sessions').pluck().all(),
        empty: async () => client.prepare('DELETE FROM sessions').run()
      }
    }
  },

  'connect-session-knex': {
    packages: ['connect-session-knex', 'knex', 'sqlite3'],
    prepare: ({ folder }) => path.join(folder, 'sessions.db'),
    async open({ url, options }) {
      const { default: createKnex } = await import('knex')
      const { ConnectSessionKnexStore } = await import('connect-session-knex')
      const knex = createKnex({
        client: 'sqlite3',
        connection: { filename: url },
        useNullAsDefault: true,
        pool: { afterCreate: (db, use) => { db.configure('busyTimeout', 5000); use(null, db) } }
      })
      const store = new ConnectSessionKnexStore({ knex, ...options })
      await store.ready
      const { tableName, sidFieldName } = store.options
      const of = (id) => knex(tableName).where(sidFieldName, id)
      return {
        store,
        async raw(id) {
          const row = await of(id).first()
          return row && { text: row.sess, expires: Date.parse(row.expired) }
        },
        expire: (id, at) => of(id).update({ expired: new Date(at).toISOString() }),
        ids: () => knex(tableName).pluck(sidFieldName),
        empty: () => knex(tableName).del()
      }
    }
  },

  file: {
    packages: ['session-file-store'],
    prepare: ({ folder }) => path.join(folder, 'sessions'),
    async open({ url, options, session = original }) {
      const { default: connect } = await import('session-file-store')
      // The format does not depend on the wait for a missing file, which takes a quarter of a second each time.
      const store = new (connect(session))({ path: url, retries: 0, logFn() {}, ...options })
      const { ttl, fileExtension } = store.options
      const file = (id) => path.join(url, id + fileExtension)
      const read = (id) => fs.existsSync(file(id)) && fs.readFileSync(file(id), 'utf8')
      const lifetime = (data) => data.cookie?.originalMaxAge || ttl * 1000
      return {
        store,
        async raw(id) {
          const text = read(id)
          if (!text) return
          const data = JSON.parse(text)
          return { text, expires: data.__lastAccess + lifetime(data) }
        },
        async expire(id, at) {
          const data = JSON.parse(read(id))
          fs.writeFileSync(file(id), JSON.stringify({ ...data, __lastAccess: at - lifetime(data) }))
        },
        ids: async () => fs.readdirSync(url, { withFileTypes: true })
          .filter((entry) => entry.isFile() && entry.name.endsWith(fileExtension))
          .map(({ name }) => name.slice(0, name.length - fileExtension.length)),
        async empty() {
          for (const id of await this.ids()) fs.rmSync(file(id))
        }
      }
    }
  },

  memcached: {
    packages: ['connect-memcached', 'memcached'],
    prepare: ({ url }) => url,
    async open({ url, options, session = original }) {
      const { default: connect } = await import('connect-memcached')
      const { host } = new URL(url)
      const store = new (connect(session))({ hosts: [host], ...options })
      const ask = (line) => memcached(host, line)
      const key = (id) => store.prefix + id
      return {
        store,
        async raw(id) {
          const now = Date.now()
          const [head, text] = (await ask(`mg ${key(id)} v t f`)).split('\r\n')
          if (!head.startsWith('VA')) return
          const flag = (letter) => Number(new RegExp(` ${letter}(-?\\d+)`).exec(head)[1])
          const left = flag('t')
          return { text, flags: flag('f'), expires: left < 0 ? null : now + left * 1000 }
        },
        // A negative time expires the record immediately.
        expire: (id, at) =>
          ask(`touch ${key(id)} ${at < Date.now() ? -1 : Math.ceil(at / 1000)}`),
        async ids() {
          const dump = await ask('lru_crawler metadump all')
          const keys = [...dump.matchAll(/^key=(\S+)/gm)].map(([, key]) => decodeURIComponent(key))
          const { prefix } = store
          return keys.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length))
        },
        empty: () => ask('flush_all')
      }
    }
  }
}

async function redis(client, { ttl, ...options }, empty) {
  const { RedisStore } = await import(connectRedis)
  const store = new RedisStore({ client, ttl: functions[ttl] ?? ttl, ...options })
  const key = (id) => store.prefix + id
  return {
    store,
    async raw(id) {
      const text = await client.get(key(id))
      const now = Date.now()
      const left = await client.pTTL(key(id))
      return text === null ? undefined : { text, expires: left < 0 ? null : now + left }
    },
    expire: (id, at) => client.pExpireAt(key(id), at),
    ids: () => store.ids(),
    empty
  }
}

function mysql(url) {
  const { hostname: host, port, username: user, pathname } = new URL(url)
  return { host, port: Number(port), user, database: pathname.slice(1) }
}

// One command on a connection of its own.
function memcached(address, line) {
  const [host, port] = address.split(':')
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), host, () => socket.write(`${line}\r\n`))
    let answer = ''
    socket.setEncoding('utf8').on('error', reject).on('data', (chunk) => {
      answer += chunk
      const whole = line.startsWith('mg')
        ? /^(EN|VA (\d+)[^\r]*\r\n)/.test(answer) && answer.endsWith('\r\n') && isWhole(answer)
        : answer.endsWith('\r\n') && (!line.includes('metadump') || answer.endsWith('END\r\n'))
      if (!whole) return
      socket.destroy()
      resolve(answer)
    })
  })
}

function isWhole(answer) {
  const value = /^VA (\d+)[^\r]*\r\n/.exec(answer)
  return !value || Buffer.byteLength(answer) === Buffer.byteLength(value[0]) + Number(value[1]) + 2
}

// Waits for a function that takes a callback.
export function done(start) {
  return new Promise((resolve, reject) => {
    const running = start((error, value) => (error ? reject(error) : resolve(value)))
    // Some stores call back and reject as well.
    running?.catch?.(() => {})
  })
}
