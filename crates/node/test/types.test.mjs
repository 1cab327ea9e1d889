// The types: TypeScript refuses exactly the lines of `testing/types` that expect an error.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'

test('applications compile with session data declared for either module', () => {
  const manifest = createRequire(import.meta.url).resolve('typescript/package.json')
  const project = fileURLToPath(new URL('../testing/types', import.meta.url))
  const compiler = join(dirname(manifest), 'bin', 'tsc')
  const { status, stdout, stderr } = spawnSync(process.execPath, [compiler, '-p', project], { encoding: 'utf8' })
  assert.equal(status, 0, stdout + stderr)
})
