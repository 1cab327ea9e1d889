// Builds with cargo, and finds the built files in its output.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

// Builds a package of the workspace, and returns the files of one of its targets.
export function build(packageName, targetName, options = [], { command = 'build', env = process.env } = {}) {
  const build = spawnSync(
    'cargo',
    [command, ...options, '--package', packageName, '--message-format', 'json-render-diagnostics'],
    { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8', maxBuffer: 1 << 28 }
  )
  if (build.error) throw build.error
  if (build.status !== 0) throw new Error(`cargo failed to build ${packageName}`)
  return build.stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .filter(({ reason, target }) => reason === 'compiler-artifact' && target.name === targetName)
    .flatMap(({ filenames }) => filenames)
}
