// Encrypted connections, to servers whose certificate a private authority has signed.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import stores from 'express-session-rs/stores'
import { run } from '../../testing/program.mjs'
import { missingServer, urls } from '../../testing/servers.mjs'
import { sessionOf } from '../../testing/sides.mjs'

const { MySqlStore, PostgresStore, RedisStore } = stores

// [server, a function that makes a store for a URL and certificates, the options of such a store as text, its URLs]
const STORES = [
  [
    'redis_tls',
    (url, tls) => new RedisStore({ url, tls }),
    'tls: {}',
    {
      verified: (url) => `${url}?ssl_cert_reqs=required`,
      any: (url) => `${url}?ssl_cert_reqs=none`,
      authority: 'ssl_ca_certs'
    }
  ],
  [
    'mysql_tls',
    (url, ssl) => new MySqlStore({ url, ssl, schema: { tableName: 'encrypted' } }),
    'ssl: {}',
    {
      verified: (url) => `${url}?useSSL=true&verifyServerCertificate=true`,
      any: (url) => `${url}?ssl-mode=REQUIRED`,
      authority: 'ssl-ca'
    }
  ],
  [
    'postgres_tls',
    (url, ssl) => new PostgresStore({ url, ssl, createTableIfMissing: true }),
    'ssl: {}',
    {
      verified: (url) => `${url}?sslmode=require`,
      any: (url) => `${url}?sslmode=no-verify`,
      authority: 'sslrootcert'
    }
  ]
]

// Returns the URL without its parameters, and the file of the authority, which is one of them.
function parts(name) {
  const [url, parameters] = urls[name].split('?')
  return [url, parameters.split('=')[1]]
}

// Returns whether a store of another process connects, which has this NODE_EXTRA_CA_CERTS.
function isTrusted(name, { url, more = '' }, extra) {
  const Store = { redis_tls: 'RedisStore', mysql_tls: 'MySqlStore', postgres_tls: 'PostgresStore' }[name]
  const create = name === 'postgres_tls' ? 'createTableIfMissing: true,' : ''
  const script = `
    const { ${Store} } = require('express-session-rs/stores')
    const store = new ${Store}({ url: ${JSON.stringify(url)}, ${create} ${more} })
    store.get('missing').then(() => console.log('trusted'), (error) => console.log(error.message))`
  const { stdout, stderr } = run(script, { env: { ...process.env, NODE_EXTRA_CA_CERTS: extra } })
  assert.match(stdout, /^trusted$|not trusted/m, stderr)
  return stdout === 'trusted\n'
}

async function visit(store) {
  await store.set('visitor', sessionOf())
  assert.equal((await store.get('visitor')).views, sessionOf().views)
  await store.close()
}

for (const [name, open, options, parameters] of STORES) {
  const skip = missingServer(name)

  test(`${name}: the authority of the options is trusted`, { skip }, async () => {
    const [url, file] = parts(name)
    const pem = readFileSync(file)
    await visit(open(url, { ca: pem }))
    await visit(open(url, { ca: [pem.toString()], minVersion: 'TLSv1.2', servername: '127.0.0.1' }))
    await visit(open(url, { rejectUnauthorized: false }))
    await visit(open(urls[name], true))
  })

  test(`${name}: no other authority is trusted, and the error names the option`, { skip }, async () => {
    const store = open(parts(name)[0], {})
    await assert.rejects(store.set('visitor', sessionOf()), (error) => {
      assert.equal(error.code, 'ERR_STORE_REFUSED')
      return /not trusted: .* or ca, .*rejectUnauthorized: false/.test(error.message)
    })
  })

  test(`${name}: NODE_EXTRA_CA_CERTS is trusted too, where the options or the URL verify the certificate`, { skip }, () => {
    const [url, file] = parts(name)
    // [the URL and more options, NODE_EXTRA_CA_CERTS, whether the server is trusted]
    const tried = [
      [{ url, more: options }, file, true],
      [{ url, more: options }, '/nowhere/hunter2.pem', false],
      [{ url: parameters.verified(url) }, file, true],
      // An authority in the URL decides, and a connection that verifies nothing needs none.
      [{ url: `${parameters.verified(url)}&${parameters.authority}=${file}` }, '/etc/hostname', true],
      [{ url: parameters.any(url) }, '/nowhere/hunter2.pem', true]
    ]
    for (const [given, extra, expected] of tried) assert.equal(isTrusted(name, given, extra), expected, given.url)
  })
}

test('a server that offers no encryption is never spoken to in plain text', { skip: missingServer('mysql') }, async () => {
  const store = new MySqlStore({ url: urls.mysql, ssl: { rejectUnauthorized: false } })
  await assert.rejects(store.get('missing'), { code: 'ERR_STORE_REFUSED', message: /offers no encryption/ })
})

test('PostgresStore: conObject has ssl too, and the URL does not disagree', { skip: missingServer('postgres_tls') }, async () => {
  const [url, file] = parts('postgres_tls')
  const conObject = { connectionString: url, ssl: { ca: readFileSync(file) } }
  await visit(new PostgresStore({ conObject, createTableIfMissing: true }))
  for (const [mode, ssl, expected] of [
    ['require', false, /ssl is false/],
    ['verify-full', { rejectUnauthorized: false }, /rejectUnauthorized is false/],
    ['require', { servername: 'elsewhere' }, /servername must be the host/],
    ['require', { cert: 'pem' }, /cert and key need each other/]
  ]) {
    assert.throws(() => new PostgresStore({ url: `${url}?sslmode=${mode}`, ssl }), { name: 'TypeError', message: expected })
  }
})
