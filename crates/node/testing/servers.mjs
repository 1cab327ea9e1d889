// The servers and npm stores that the tests of the stores need.
//
// `cargo xtask test --only node` starts the servers and sets their URLs in the environment. Without a server, its tests
// are skipped, or fail if EXPRESS_SESSION_REQUIRE_SERVERS is set.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const NAMES = ['redis', 'postgres', 'mysql', 'memcached', 'redis_tls', 'mysql_tls', 'postgres_tls']

export const urls = Object.fromEntries(
  NAMES.map((name) => [name, process.env[`SESSION_TEST_${name.toUpperCase()}`]])
)

// Returns why a test is skipped, or `false` if what it needs is there.
export function missing(isThere, what) {
  if (isThere) return false
  assert(process.env.EXPRESS_SESSION_REQUIRE_SERVERS !== '1', `${what} is required`)
  return `${what} is missing`
}

// The same for a server, where the tests of some stores need none, and for the npm stores of the interop task.
export const missingServer = (name) => missing(!name || urls[name], `the server of ${name}`)
export const missingNpmStores = () =>
  missing(
    fs.existsSync(new URL('../../../interop/node/node_modules/.package-lock.json', import.meta.url)),
    'interop/node/node_modules'
  )

// Creates a folder that is removed when the process exits.
export function folder() {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'express-session-node-'))
  process.on('exit', () => fs.rmSync(made, { recursive: true, force: true }))
  return made
}
