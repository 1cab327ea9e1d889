// Bundles with the addon, by the recipes of the README.

import assert from 'node:assert/strict'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { before, test } from 'node:test'

import { PACKAGE, pack, run, runNode, tool } from '../testing/commands.mjs'
import { folder } from '../testing/servers.mjs'

const EXPECTED = '["ada","ada"]\n'
const README = readFileSync(path.join(PACKAGE, 'README.md'), 'utf8')

const APPLICATION = `
  import session, { MemoryStore } from 'express-session-rs'
  import { MemoryStore as Native } from 'express-session-rs/stores'

  async function visit() {
    const store = new MemoryStore()
    const one = store.createSession({ sessionID: 'sid', sessionStore: store }, { cookie: {} })
    one.user = 'ada'
    await one.save()
    const native = new Native()
    await native.set('sid', one)
    session({ secret: 'keyboard cat', resave: false, saveUninitialized: false, store: native })
    console.log(JSON.stringify([(await store.get('sid')).user, (await native.get('sid')).user]))
  }
  visit()
`

let application
before(async () => {
  application = folder()
  const tarball = await pack(application)
  writeFileSync(path.join(application, 'package.json'), '{"private":true}')
  writeFileSync(path.join(application, 'app.js'), APPLICATION)
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball], { cwd: application })
})

test('esbuild copies the addon', async () => {
  const [command] = recipes('esbuild', 'console')
  await bundle(tool('esbuild', 'bin/esbuild'), command)
  await runAlone('app.js')
})

test('esbuild leaves the package in node_modules', async () => {
  const [, command] = recipes('esbuild', 'console')
  await bundle(tool('esbuild', 'bin/esbuild'), command)
  await runInPlace('app.mjs')
})

test('webpack copies the addon', async () => {
  const [config] = recipes('webpack', 'js')
  await webpack(config)
  await runAlone('app.js')
})

test('webpack leaves the package in node_modules', async () => {
  const [, config] = recipes('webpack', 'js')
  await webpack(config)
  await runInPlace('app.js')
})

test('ncc copies the addon', async () => {
  const [command] = recipes('ncc', 'console')
  await bundle(tool('@vercel/ncc', 'dist/ncc/cli.js'), command)
  await runAlone('index.js')
})

// Returns the code blocks of a bundler in the README.
function recipes(name, language) {
  const section = README.split(`\n### ${name}\n`)[1].split(/\n##/)[0]
  return [...section.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, 'g'))].map(([, block]) => block.trim())
}

// Runs a command of the README with a program.
async function bundle(program, command) {
  const [, , , ...args] = command.replace(/\\\n\s*/g, '').split(' ')
  empty()
  await run(program, args, { cwd: application })
}

// Runs webpack with a configuration, in a process of its own that finds the loader.
async function webpack(config) {
  empty()
  writeFileSync(path.join(application, 'webpack.config.cjs'), config)
  const script = `
    const config = require('./webpack.config.cjs')
    const modules = [${JSON.stringify(path.join(PACKAGE, 'node_modules'))}]
    require(${JSON.stringify(tool('webpack', ''))})({ ...config, resolveLoader: { modules } }, (error, stats) => {
      if (error || stats.hasErrors()) throw error ?? new Error(stats.toString())
    })`
  await runNode(['--eval', script], { cwd: application })
}

function empty() {
  rmSync(path.join(application, 'dist'), { recursive: true, force: true })
}

// Runs the bundle where there is nothing but its own files.
async function runAlone(program) {
  const alone = folder()
  cpSync(path.join(application, 'dist'), alone, { recursive: true })
  assert.equal(await runNode([program], { cwd: alone }), EXPECTED)
}

// Runs the bundle beside the packages.
async function runInPlace(program) {
  assert.equal(await runNode([path.join('dist', program)], { cwd: application }), EXPECTED)
}
