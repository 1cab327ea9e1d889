// Connects with an npm client as a provider's page says, and prints whether the connection is encrypted.
//
// node providers.mjs CLIENT URL

import mysql from 'mysql2/promise'
import pg from 'pg'
import { createClient } from 'redis'

// Each connects, and returns whether the connection is encrypted, according to the server.
const CLIENTS = {
  async pg(url) {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    const { rows } = await client.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')
    await client.end()
    return rows[0].ssl
  },

  async mysql2(url) {
    const connection = await mysql.createConnection(url)
    const [rows] = await connection.query("SHOW STATUS LIKE 'Ssl_cipher'")
    await connection.end()
    return rows[0].Value !== ''
  },

  async redis(url) {
    const client = createClient({ url, socket: { reconnectStrategy: false } })
    await client.connect()
    const { 'tls-port': port } = await client.configGet('tls-port')
    const [, ownPort] = /\bladdr=\S*:(\d+)/.exec(await client.sendCommand(['CLIENT', 'INFO']))
    await client.close()
    return port === ownPort
  }
}

const [client, url] = process.argv.slice(2)
process.stdout.write((await CLIENTS[client](url)) ? 'encrypted' : 'plain')
