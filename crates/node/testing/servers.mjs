// Where the tests of the stores have their servers, and the npm stores that they play against.
//
// `cargo xtask test --only node` starts the servers and says so in the environment. Without, what needs them is
// left out, unless EXPRESS_SESSION_REQUIRE_SERVERS demands everything.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const NAMES = ['redis', 'postgres', 'mysql', 'memcached']

export const isRequired = process.env.EXPRESS_SESSION_REQUIRE_SERVERS === '1'

export const urls = Object.fromEntries(
  NAMES.map((name) => [name, process.env[`SESSION_TEST_${name.toUpperCase()}`]])
)

// Says why something is left out, or `false`.
export function leftOut(isThere, what) {
  if (isThere) return false
  assert(!isRequired, `${what} is required`)
  return `${what} is missing`
}

// Makes a folder that goes with the process.
export function folder() {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'express-session-node-'))
  process.on('exit', () => fs.rmSync(made, { recursive: true, force: true }))
  return made
}

// Whether the npm stores of the interop task are installed.
export const hasNpmStores = fs.existsSync(
  new URL('../../../interop/node/node_modules/.package-lock.json', import.meta.url)
)
