// The packages as they are published: those of the platforms fit to the main one, the checkers of npm packages find
// nothing, and ES modules find the names that express-session has.

import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { before, test } from 'node:test'

import { LIMIT, checkSize, packMain, packPlatform } from '../scripts/pack.mjs'
import { platforms } from '../scripts/platforms.mjs'
import { PACKAGE, pack, run, runNode, tool } from '../testing/commands.mjs'
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

test('the main package asks for the package of every platform, in its own version', async () => {
  const packed = await manifestOf(packMain(folder()))
  assert.deepEqual(
    packed.optionalDependencies,
    Object.fromEntries(platforms.map(({ name }) => [`express-session-rs-${name}`, manifest.version]))
  )
  assert.equal(packed.scripts, undefined)
})

test('the package of each platform names its system, and brings the licences', async () => {
  process.env.GITHUB_SERVER_URL = 'https://git.test'
  process.env.GITHUB_REPOSITORY = 'owner/name'
  const addon = path.join(folder(), 'addon')
  writeFileSync(addon, 'an addon')
  for (const platform of platforms) {
    const tarball = packPlatform(folder(), platform, addon)
    const packed = await manifestOf(tarball)
    assert.equal(packed.name, `express-session-rs-${platform.name}`)
    assert.equal(packed.version, manifest.version)
    assert.deepEqual([packed.os, packed.cpu], [[platform.os], [platform.cpu]])
    assert.deepEqual(packed.libc, platform.libc && [platform.libc])
    // As the provenance names it.
    const { repository } = packed
    assert.deepEqual(repository, { type: 'git', url: 'git+https://git.test/owner/name.git', directory: 'crates/node' })
    assert.deepEqual(await filesOf(tarball), ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'express-session.node', 'package.json'])
  }
})

test('the main package brings the licences, and no addon', async () => {
  const files = await filesOf(packMain(folder()))
  assert(files.includes('LICENSE-APACHE') && files.includes('LICENSE-MIT'))
  assert.deepEqual(files.filter((file) => file.endsWith('.node')), [])
})

test('a package that is too large is not published', () => {
  const tarball = path.join(folder(), 'package.tgz')
  writeFileSync(tarball, Buffer.alloc(LIMIT))
  checkSize(tarball)
  writeFileSync(tarball, Buffer.alloc(LIMIT + 1))
  assert.throws(() => checkSize(tarball), /package.tgz has 4000001 bytes, and may have 4000000/)
})

test('the release publishes the packages of the platforms first, and only all of them', async () => {
  const packed = folder()
  const publish = (env) => {
    const { GITHUB_REF_TYPE: _, ...own } = process.env
    return runNode([path.join(PACKAGE, 'scripts', 'publish.mjs'), packed, '--dry-run'], { env: { ...own, ...env } })
  }
  const addon = path.join(folder(), 'addon')
  writeFileSync(addon, 'an addon')
  for (const platform of platforms) packPlatform(packed, platform, addon)
  await assert.rejects(publish(), /not packed: express-session-rs\n/)
  packMain(packed)
  const names = [...platforms.map(({ name }) => `express-session-rs-${name}`), 'express-session-rs']
  const all = names.map((name) => `${name} ${manifest.version}\n`).join('')
  assert.equal(await publish(), all)
  // As the release workflow runs for a tag: one of another version would leave out everything, and succeed.
  const tagged = (version) => publish({ GITHUB_REF_TYPE: 'tag', GITHUB_REF_NAME: `npm-v${version}` })
  assert.equal(await tagged(manifest.version), all)
  await assert.rejects(tagged('1.19.1'), new RegExp(`the tag is npm-v1.19.1, and package.json has ${manifest.version}`))
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

const manifestOf = async (tarball) => JSON.parse(await run('tar', ['-xzOf', tarball, 'package/package.json']))

async function filesOf(tarball) {
  const listed = (await run('tar', ['-tzf', tarball])).trim().split('\n')
  return listed.map((file) => file.replace('package/', '')).sort()
}
