// The types: TypeScript refuses exactly the lines of `testing/types` that expect an error.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'

import { folder } from '../testing/servers.mjs'

const PACKAGE = fileURLToPath(new URL('..', import.meta.url))
const TYPES = path.join(PACKAGE, 'testing', 'types')

// TypeScript 7 has no `node10`.
const RESOLUTIONS = [
  ['node10', 'commonjs', 'typescript5'],
  ['node16', 'node16', 'typescript'],
  ['nodenext', 'nodenext', 'typescript'],
  ['bundler', 'esnext', 'typescript']
]

test('applications compile with session data declared for either module', () => {
  compile('typescript', ['-p', TYPES])
})

for (const [resolution, module, compiler] of RESOLUTIONS) {
  test(`the types of the stores are found with moduleResolution: ${resolution}`, () => {
    const application = folder()
    const modules = path.join(application, 'node_modules')
    mkdirSync(modules)
    symlinkSync(PACKAGE, path.join(modules, 'express-session-rs'))
    symlinkSync(path.join(PACKAGE, 'node_modules', '@types'), path.join(modules, '@types'))
    const program = path.join(application, 'app.ts')
    copyFileSync(path.join(TYPES, 'stores.mts'), program)
    compile(compiler, [
      program, '--module', module, '--moduleResolution', resolution, '--target', 'es2022', '--strict', '--noEmit',
      '--esModuleInterop', '--typeRoots', path.join(modules, '@types'), '--types', 'node'
    ])
  })
}

// With pnpm and Yarn's Plug'n'Play, an application finds only the packages of its own package.json.
for (const [resolution, module, compiler] of RESOLUTIONS) {
  for (const [name, source, types] of [
    ['express-session-rs', 'own.mts', []],
    ['express-session', 'original.mts', ['express-session']]
  ]) {
    test(`session data declared for ${name} compiles without hoisting, with moduleResolution: ${resolution}`, () => {
      const application = folder()
      const modules = path.join(application, 'node_modules')
      mkdirSync(path.join(modules, '@types'), { recursive: true })
      symlinkSync(PACKAGE, path.join(modules, 'express-session-rs'))
      for (const type of ['express', 'node', ...types]) {
        symlinkSync(path.join(PACKAGE, 'node_modules', '@types', type), path.join(modules, '@types', type))
      }
      const program = path.join(application, 'app.ts')
      copyFileSync(path.join(TYPES, source), program)
      compile(compiler, [
        program, '--module', module, '--moduleResolution', resolution, '--target', 'es2022', '--strict', '--noEmit',
        '--esModuleInterop', '--typeRoots', path.join(modules, '@types'), '--types', 'node', '--skipLibCheck'
      ])
    })
  }
}

function compile(compiler, args) {
  const manifest = createRequire(import.meta.url).resolve(`${compiler}/package.json`)
  const tsc = path.join(path.dirname(manifest), 'bin', 'tsc')
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, ...args], { encoding: 'utf8' })
  assert.equal(status, 0, stdout + stderr)
}
