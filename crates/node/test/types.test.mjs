// The types, by the compiler: what `testing/types` expects to be refused is refused, and nothing else.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'

test('applications compile, with their data declared for either module', () => {
  const manifest = createRequire(import.meta.url).resolve('typescript/package.json')
  const project = fileURLToPath(new URL('../testing/types', import.meta.url))
  const compiler = join(dirname(manifest), 'bin', 'tsc')
  const { status, stdout, stderr } = spawnSync(process.execPath, [compiler, '-p', project], { encoding: 'utf8' })
  assert.equal(status, 0, stdout + stderr)
})
