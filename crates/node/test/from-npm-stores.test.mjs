// `docs/from-npm-stores.md`: the application of each section runs, with the npm store as with the native one where it is
// installed; and the store accepts and refuses the options that the page names.

import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'

import stores from 'express-session-rs/stores'
import { PACKAGE, runNode, tool } from '../testing/commands.mjs'
import { folder, missingServer, urls } from '../testing/servers.mjs'

// The server of each section, and the npm stores among the development dependencies.
const SERVERS = {
  'connect-redis': 'redis', 'connect-pg-simple': 'postgres', 'express-mysql-session': 'mysql', 'connect-memcached': 'memcached'
}
const INSTALLED = ['connect-redis', 'session-file-store', 'memorystore']

// How the applications name the server, and how to name that of the tests.
const ADDRESS = {
  redis: [/redis:\/\/127\.0\.0\.1:6379/, (url) => url],
  postgres: [/postgres:\/\/web@127\.0\.0\.1:5432\/shop/, (url) => url],
  mysql: [/host: [^]*?database: 'shop'/, (url) => `url: '${url}'`],
  memcached: [/127\.0\.0\.1:11211/, (url) => new URL(url).host]
}

// Added to each application: counts the visits, two in a row with the given cookie, and prints the cookie and the pages.
const VISITS = `
app.get('/', (req, res) => {
  req.session.views = (req.session.views ?? 0) + 1
  res.send(String(req.session.views))
})
const server = app.listen(0, '127.0.0.1')
await new Promise((resolve) => server.on('listening', resolve))
let cookie = process.env.COOKIE ?? ''
const pages = []
for (let visit = 0; visit < 2; visit++) {
  const response = await fetch('http://127.0.0.1:' + server.address().port, { headers: { cookie } })
  cookie = response.headers.get('set-cookie')?.split(';')[0] ?? cookie
  pages.push(await response.text())
}
console.log(JSON.stringify({ cookie, pages }))
process.exit()
`

const PAGE = readFileSync(path.join(PACKAGE, 'docs', 'from-npm-stores.md'), 'utf8')
const SECTIONS = PAGE.split('\n## From ').slice(1).map((text) => ({ name: text.slice(0, text.indexOf('\n')), text }))

test('the page has a section for each npm store that the README names', () => {
  const readme = readFileSync(path.join(PACKAGE, 'README.md'), 'utf8')
  const table = readme.split('| native store | replaces |\n')[1].split('\n\n')[0]
  for (const { name } of SECTIONS) assert.match(table, new RegExp(`\\b${name}\\b`))
  assert.equal(SECTIONS.length, 8)
})

const FOLDER = folder()

describe('sections', { concurrency: 2 }, () => {
  for (const section of SECTIONS) describe(section.name, () => check(section))
})

function check({ name, text }) {
  const [, Store] = /new (\w+Store)\(/.exec(text)
  const server = SERVERS[name]
  const { before, after } = sides(text)
  const isInstalled = INSTALLED.includes(name)
  const isSkipped = missingServer(server)

  test('the application with the native store starts', { skip: !isSkipped && 'a visitor opens it' }, async () => {
    await execute(application(), after)
  })

  test('the application with the npm store is JavaScript', { skip: isInstalled && !isSkipped && 'a visitor opens it' }, async () => {
    const home = application()
    writeFileSync(path.join(home, 'before.mjs'), before)
    await runNode(['--check', 'before.mjs'], { cwd: home })
  })

  const what = name === 'memorystore' ? 'each process counts from the beginning' : 'a visitor stays logged in, from process to process'
  test(what, { skip: isSkipped }, async () => {
    const home = application()
    const play = async (code, cookie) => {
      const printed = await execute(home, addressed(code, server) + VISITS, { COOKIE: cookie ?? '' })
      return JSON.parse(printed.trim().split('\n').at(-1))
    }
    if (name === 'memorystore') {
      assert.deepEqual((await play(before)).pages, ['1', '2'])
      assert.deepEqual((await play(after)).pages, ['1', '2'])
      return
    }
    // There, back and there again, if the npm store is installed.
    const turns = isInstalled ? [before, after, before, after] : [after, after]
    let cookie
    for (const [turn, code] of turns.entries()) {
      const seen = await play(code, cookie)
      assert.deepEqual(seen.pages, [String(2 * turn + 1), String(2 * turn + 2)])
      assert(!cookie || seen.cookie === cookie)
      cookie = seen.cookie
    }
  })

  test('the options that stay are accepted', () => {
    const [paragraph] = text.split('**Stays:**')[1].split('\n\n')
    const options = paragraph.split(/options? /).slice(1).join().match(/`[a-z]\w*`/gi) ?? []
    for (const option of options.map((one) => one.slice(1, -1))) {
      if (option in NOT_OPTIONS) continue
      assert.doesNotMatch(messageOf(Store, option), new RegExp(`has no option ${option}\\b`))
    }
    assert(options.length > 0 || name === 'better-sqlite3-session-store')
  })

  test('the options of the table are refused, and the page has all of them', () => {
    const rows = text.split('| refused | instead |\n|---|---|\n')[1].split('\n\n')[0].trim().split('\n')
    for (const row of rows) {
      const [first] = row.slice(2).split(' |')
      // Those that are only refused with some values.
      const rule = / as an object| with several servers/.test(first) ? /the option \w+ must be/ : /has no option \w+: /
      for (const [, option] of first.matchAll(/`(\w+)`/g)) assert.match(messageOf(Store, option), rule, option)
    }
    const source = readFileSync(path.join(PACKAGE, 'lib', 'stores', `${Store.replace('Store', '').toLowerCase()}.js`), 'utf8')
    const [, refused] = /  refused: \{\n([^]*?)\n  \}/.exec(source)
    for (const [, option] of refused.matchAll(/^ {4}(\w+): /gm)) assert(PAGE.includes(`\`${option}\``), option)
  })
}

// Names in the paragraph that are no options of the store.
const NOT_OPTIONS = { DATABASE_URL: true, PGHOST: true, PGUSER: true, integrity: true }

// Returns the error of a store with an option that has no possible value.
function messageOf(Store, option) {
  try {
    new stores[Store]({ [option]: [{}, {}] })
  } catch (error) {
    return error.message
  }
  return ''
}

// Returns the code before and after the change.
function sides(text) {
  const [, diff] = /```diff\n([^]*?)```/.exec(text)
  const lines = diff.trimEnd().split('\n')
  assert(lines.every((line) => /^[ +-]/.test(line)), 'a diff')
  const side = (other) => `${lines.filter((line) => line[0] !== other).map((line) => line.slice(1)).join('\n')}\n`
  return { before: side('+'), after: side('-') }
}

// Returns the code with the address of the test's server, if there is one.
function addressed(code, server) {
  if (!urls[server]) return code
  const [pattern, address] = ADDRESS[server]
  assert.match(code, pattern)
  return code.replace(pattern, () => address(urls[server]))
}

// Makes a folder in which an application finds its packages.
function application() {
  const home = mkdtempSync(path.join(FOLDER, 'application-'))
  const modules = path.join(home, 'node_modules')
  mkdirSync(modules)
  symlinkSync(PACKAGE, path.join(modules, 'express-session-rs'))
  symlinkSync(tool('express5', ''), path.join(modules, 'express'))
  for (const name of [...INSTALLED, 'express-session', 'redis']) symlinkSync(tool(name, ''), path.join(modules, name))
  return home
}

function execute(home, code, env) {
  writeFileSync(path.join(home, 'app.mjs'), code)
  return runNode(['app.mjs'], { cwd: home, env: { ...process.env, SESSION_SECRET: 'keyboard cat', ...env } })
}
