// The package as it is published: its checkers find nothing, and ES modules find the names that express-session has.

import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { before, test } from 'node:test'

import { PACKAGE, pack, runNode, tool } from '../testing/commands.mjs'
import { folder } from '../testing/servers.mjs'

const manifest = JSON.parse(readFileSync(path.join(PACKAGE, 'package.json'), 'utf8'))

let tarball
before(async () => {
  tarball = await pack(folder())
})

test('attw finds nothing wrong with the types', async () => {
  const printed = await runNode([tool('@arethetypeswrong/cli', 'dist/index.js'), tarball, '--format', 'json'])
  const { analysis } = JSON.parse(printed)
  assert.deepEqual(analysis.problems, [])
  assert.deepEqual(Object.keys(analysis.entrypoints).length, Object.keys(manifest.exports).length)
})

test('publint finds nothing wrong with the package', async () => {
  const printed = await runNode([tool('publint', 'src/cli.js'), 'run', '--strict', tarball])
  assert.match(printed, /All good!/)
})

test('the version is one of express-session 1.19, as the ranges of stores demand', () => {
  const original = JSON.parse(readFileSync(tool('express-session', 'package.json'), 'utf8')).version
  const [major, minor, patch] = manifest.version.split('.').map(Number)
  const [originalMajor, originalMinor, originalPatch] = original.split('.').map(Number)
  assert.deepEqual([major, minor], [originalMajor, originalMinor])
  // A hundred releases for each of express-session's.
  assert.equal(Math.floor(patch / 100), originalPatch + 1)
})

test('every file that the package exports exists', () => {
  for (const target of Object.values(manifest.exports)) {
    for (const file of files(target)) assert(existsSync(path.join(PACKAGE, file)), file)
  }
  function files(target) {
    return typeof target === 'string' ? [target] : Object.values(target).flatMap(files)
  }
})

for (const name of ['express-session', 'express-session-rs']) {
  test(`${name}: an ES module finds the names, also through a CommonJS module`, async () => {
    const application = folder()
    mkdirSync(path.join(application, 'node_modules'))
    const target = name === 'express-session' ? tool('express-session', '') : PACKAGE
    symlinkSync(target, path.join(application, 'node_modules', name))
    writeFileSync(path.join(application, 'wrapper.cjs'), `module.exports = require('${name}')`)
    writeFileSync(path.join(application, 'app.mjs'), `
      import session, { Cookie, MemoryStore, Session, Store } from '${name}'
      import wrapped, * as names from './wrapper.cjs'
      import * as index from '${name}/index.js'
      const same = [Cookie, MemoryStore, Session, Store].map((one) => names[one.name] === one && index[one.name] === one)
      const { 'module.exports': _, ...rest } = names
      console.log(JSON.stringify([Object.keys(rest).sort(), same, wrapped === session, index.default === session]))
    `)
    const printed = await runNode(['app.mjs'], { cwd: application })
    const names = ['Cookie', 'MemoryStore', 'Session', 'Store', 'default']
    assert.deepEqual(JSON.parse(printed), [names, [true, true, true, true], true, true])
  })
}
