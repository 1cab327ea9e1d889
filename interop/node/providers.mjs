// Connects with an npm client as a provider's page says, and prints whether the connection is encrypted.
//
// node providers.mjs CLIENT URL

import pg from 'pg'

const CLIENTS = {
  async pg(url) {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    const { rows } = await client.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')
    await client.end()
    return rows[0].ssl
  }
}

const [client, url] = process.argv.slice(2)
process.stdout.write((await CLIENTS[client](url)) ? 'encrypted' : 'plain')
