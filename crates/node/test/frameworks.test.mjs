// The applications in `examples`, each in a process of its own: a visitor logs in, is counted, sends overlapping
// requests, and logs out.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import { test } from 'node:test'

import { PACKAGE, runNode, tool } from '../testing/commands.mjs'
import { folder } from '../testing/servers.mjs'

const EXAMPLES = path.join(PACKAGE, 'examples')

const OVERLAPPING = 10

for (const example of ['plain-http.mjs', 'fastify-integrity.mjs']) {
  test(`${example}: a visitor logs in and out, and overlapping requests lose no visit`, async (t) => {
    const visitor = await start(t, path.join(EXAMPLES, example))
    assert.equal(await play(visitor), OVERLAPPING)
  })
}

test('nestjs.ts: a visitor logs in and out, and overlapping requests lose no visit', async (t) => {
  const visitor = await start(t, await compiled('nestjs.ts'))
  assert.equal(await play(visitor), OVERLAPPING)
})

test('fastify.mjs: a visitor logs in and out, and @fastify/session writes the whole session each time', async (t) => {
  const visitor = await start(t, path.join(EXAMPLES, 'fastify.mjs'))
  const counted = await play(visitor)
  assert(counted >= 1 && counted <= OVERLAPPING)
})

test('overlap.mjs prints what the README says', async () => {
  const printed = await runNode([path.join(EXAMPLES, 'overlap.mjs')])
  const [, expected] = /\$ node examples\/overlap\.mjs\n([^]*?)```/.exec(readFileSync(path.join(PACKAGE, 'README.md'), 'utf8'))
  // How many items express-session loses depends on the machine.
  const plain = (text) => text.replace(/^(express-session:) ([1-9]|1\d) of/m, '$1 some of')
  assert.equal(plain(printed), plain(expected))
  assert.notEqual(plain(printed), printed)
})

// Returns how many of the overlapping requests were counted.
async function play(visitor) {
  assert.deepEqual(await visitor.fetch('/'), { views: 1 })
  const before = visitor.cookie
  await visitor.fetch('/login', 'POST')
  assert.notEqual(visitor.cookie, before)
  assert.deepEqual(await visitor.fetch('/'), { user: 'ada', views: 1 })
  assert.deepEqual(await visitor.fetch('/'), { user: 'ada', views: 2 })

  await Promise.all(Array.from({ length: OVERLAPPING }, () => visitor.fetch('/')))
  const { views } = await visitor.fetch('/')

  const { cookie } = visitor
  await visitor.fetch('/logout', 'POST')
  visitor.cookie = cookie
  assert.deepEqual(await visitor.fetch('/'), { views: 1 }, 'the old cookie is worthless')
  visitor.cookie = before
  assert.deepEqual(await visitor.fetch('/'), { views: 1 }, 'and so is the one from before the login')
  return views - 3
}

// Starts a program that prints its URL, until the test ends, and returns a visitor that keeps the cookie.
async function start(t, program) {
  const env = { ...process.env, PORT: '0' }
  const child = spawn(process.execPath, [program], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill())
  const lines = readline.createInterface({ input: child.stdout })
  const [url] = await Promise.race([once(lines, 'line'), once(child, 'exit').then(() => assert.fail('it has ended'))])
  return {
    cookie: undefined,
    async fetch(page, method = 'GET') {
      const headers = this.cookie ? { cookie: this.cookie } : {}
      const response = await fetch(new URL(page, url.replace('[::1]', 'localhost')), { method, headers })
      assert(response.ok, `${method} ${page} answered ${response.status}`)
      const [cookie] = response.headers.getSetCookie()
      if (cookie) [this.cookie] = cookie.split(';')
      return response.json()
    }
  }
}

// Compiles an example in a folder of its own, as an application does, and returns the program.
async function compiled(example) {
  const application = folder()
  const modules = path.join(application, 'node_modules')
  mkdirSync(modules)
  symlinkSync(PACKAGE, path.join(modules, 'express-session-rs'))
  for (const name of ['@nestjs', '@types', 'reflect-metadata', 'rxjs']) symlinkSync(tool(name, ''), path.join(modules, name))
  writeFileSync(path.join(application, 'package.json'), JSON.stringify({ type: 'module' }))
  copyFileSync(path.join(EXAMPLES, example), path.join(application, example))
  await runNode([
    tool('typescript', 'bin/tsc'), example, '--module', 'nodenext', '--target', 'es2022', '--strict', '--types', 'node',
    '--experimentalDecorators', '--skipLibCheck'
  ], { cwd: application })
  return path.join(application, example.replace(/ts$/, 'js'))
}
