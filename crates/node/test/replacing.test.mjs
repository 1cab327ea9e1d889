// This package under the name `express-session`, installed by each package manager with the recipe of the README.

import assert from 'node:assert/strict'
import { copyFileSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { before, describe, test } from 'node:test'

import { PACKAGE, pack, run, tool } from '../testing/commands.mjs'
import { folder } from '../testing/servers.mjs'

const PROGRAMS = path.join(PACKAGE, 'testing', 'replacing')
const README = readFileSync(path.join(PACKAGE, 'README.md'), 'utf8')

// The dependencies of an application of a few years: stores that bring express-session along, and types.
const DEPENDENCIES = {
  'connect-mongo': '6.0.0',
  'connect-redis': '9.0.0',
  'express': '5.3.0',
  'memorystore': '1.6.8',
  'mongodb': '7.9.0',
  'redis': '5.12.1',
  'session-file-store': '1.5.0'
}
const TYPES = { '@types/express': '5.0.6', '@types/node': '20.19.43' }

// Yarn's plug-and-play has no `node_modules`: programs start with its loader, and it patches the compiler.
const MANAGERS = {
  'npm': { install: ['npm', ['install', '--prefer-offline']], types: { '@types/express-session': '1.18.2' } },
  'pnpm': { install: [process.execPath, [tool('pnpm', 'bin/pnpm.cjs'), 'install', '--prefer-offline', '--ignore-scripts']] },
  'Yarn 1': { install: [process.execPath, [tool('yarn', 'bin/yarn.js'), 'install', '--prefer-offline', '--no-lockfile']] },
  'Yarn 4': {
    install: [process.execPath, [tool('@yarnpkg/cli-dist', 'bin/yarn.js'), 'install']],
    types: { typescript: '5.9.3' },
    node: [process.execPath, [tool('@yarnpkg/cli-dist', 'bin/yarn.js'), 'node']],
    compiler: [process.execPath, [tool('@yarnpkg/cli-dist', 'bin/yarn.js'), 'tsc']]
  }
}

// TypeScript 7 has no `node10`.
const RESOLUTIONS = {
  node10: { module: 'commonjs', compiler: 'typescript5', files: ['app.ts', 'deep.ts'] },
  node16: { module: 'node16', compiler: 'typescript', files: ['app.mts', 'app.cts', 'deep.cts'] },
  nodenext: { module: 'nodenext', compiler: 'typescript', files: ['app.mts', 'app.cts', 'deep.cts'] },
  bundler: { module: 'esnext', compiler: 'typescript', files: ['app.ts'] }
}

let tarball
let registry
before(async () => {
  tarball = await pack(folder())
  registry = (await run('npm', ['config', 'get', 'registry'])).trim()
})

describe('package managers', { concurrency: 2 }, () => {
  for (const [name, manager] of Object.entries(MANAGERS)) describe(name, () => replace(name, manager))
})

// Tests that an application of a package manager has this package everywhere.
function replace(name, manager) {
  const application = folder()
  const call = ([program, args], more) => run(program, [...args, ...more], { cwd: application, env: environment() })

  before(async () => {
    const recipe = recipeOf(name)
    const manifest = { name: 'shop', private: true, ...recipe.manifest }
    Object.assign(manifest.dependencies, DEPENDENCIES)
    manifest.devDependencies = { ...TYPES, ...manager.types }
    writeFileSync(path.join(application, 'package.json'), JSON.stringify(manifest))
    if (recipe.workspace) writeFileSync(path.join(application, 'pnpm-workspace.yaml'), recipe.workspace)
    for (const file of readdirSync(PROGRAMS)) copyFileSync(path.join(PROGRAMS, file), path.join(application, file))
    for (const [from, to] of [['app.ts', 'app.mts'], ['app.ts', 'app.cts'], ['deep.ts', 'deep.cts']]) {
      copyFileSync(path.join(application, from), path.join(application, to))
    }
    await call(manager.install, [])
  })

  test('every package gets this one, deep imports and names exist, and a login works in each store', async () => {
    const printed = await call(manager.node ?? [process.execPath, []], ['app.mjs'])
    const { name, pages } = JSON.parse(printed)
    assert.equal(name, 'express-session-rs')
    assert.deepEqual(Object.keys(pages), ['connect-redis', 'memorystore', 'session-file-store', 'native'])
    for (const page of Object.values(pages)) assert.equal(page, '["ada",2]')
  })

  for (const [resolution, { module, compiler, files }] of Object.entries(RESOLUTIONS)) {
    test(`the application compiles with moduleResolution: ${resolution}`, async () => {
      const tsc = manager.compiler ?? [process.execPath, [tool(compiler, 'bin/tsc')]]
      await call(tsc, [
        ...files, '--module', module, '--moduleResolution', resolution, '--target', 'es2022', '--strict', '--noEmit',
        '--esModuleInterop', '--types', 'node', '--skipLibCheck', isTypeScript5(tsc) ? 'true' : 'false'
      ])
    })
  }
}

// TypeScript 5 needs three times as long to check the libraries too. `types.test.mjs` checks ours with it.
const isTypeScript5 = ([, args]) => args.some((one) => /typescript5|yarn/.test(one))

// Returns the package.json and pnpm-workspace.yaml of a recipe in the README, with the tarball as the package.
function recipeOf(name) {
  const [, section] = README.split(`\n### ${name}\n`)
  assert(section, `the README has a recipe of ${name}`)
  const block = (language) =>
    section.split(/\n##/)[0].match(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``))?.[1]
      .replaceAll(/npm:express-session-rs@[^"\n]+/g, `file:${tarball}`)
  return { manifest: JSON.parse(block('json')), workspace: block('yaml') }
}

// The environment of a package manager that uses npm's registry, and is asked for nothing.
function environment() {
  const { npm_config_user_agent: _, ...env } = process.env
  return {
    ...env,
    npm_config_registry: registry,
    npm_config_audit: 'false',
    npm_config_fund: 'false',
    YARN_NPM_REGISTRY_SERVER: registry.replace(/\/$/, ''),
    YARN_ENABLE_TELEMETRY: 'false',
    YARN_ENABLE_IMMUTABLE_INSTALLS: 'false',
    YARN_ENABLE_SCRIPTS: 'false'
  }
}
