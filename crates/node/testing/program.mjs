// Runs JavaScript in a process of its own, in the folder of the package.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const cwd = fileURLToPath(new URL('..', import.meta.url))

// Returns what the process printed, and how it exited. `options` go to `spawnSync`.
export function run(script, { flags = [], args = [], ...options } = {}) {
  return spawnSync(process.execPath, [...flags, '--eval', script, ...args], {
    cwd,
    encoding: 'utf8',
    timeout: 60_000,
    ...options
  })
}
