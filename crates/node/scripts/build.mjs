// Builds the addon with cargo, and puts it where lib/native.js looks for it.

import { spawnSync } from 'node:child_process'
import { copyFileSync, renameSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const addon = fileURLToPath(new URL('../express-session.node', import.meta.url))

const build = spawnSync(
  'cargo',
  ['build', '--release', '--package', 'express-session-node', '--message-format', 'json-render-diagnostics'],
  { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8', maxBuffer: 1 << 28 }
)
if (build.error) throw build.error
if (build.status !== 0) process.exit(build.status ?? 1)

// Where cargo puts a library, and what it is called, is cargo's and the platform's to say.
const library = build.stdout
  .split('\n')
  .filter((line) => line.startsWith('{'))
  .map((line) => JSON.parse(line))
  .filter((message) => message.reason === 'compiler-artifact')
  .find(({ target }) => target.name === 'express_session_node' && target.kind.includes('cdylib'))
  ?.filenames.find((file) => /\.(so|dylib|dll)$/.test(file))
if (!library) throw new Error('cargo built no library')

// Renamed, not written over: a process that has the old one loaded keeps it.
copyFileSync(library, `${addon}.new`)
renameSync(`${addon}.new`, addon)
