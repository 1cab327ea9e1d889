// Publishes the packed packages of a folder with their provenance: those of the platforms first, so that the main one
// never names a package that is not there. A second run leaves out what the first one has published. A tag of another
// version is an error: nothing new would be published, and the run would succeed.
//
//   node scripts/publish.mjs FOLDER [--dry-run]

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

import { checkSize } from './pack.mjs'
import { platforms } from './platforms.mjs'

const [folder, ...options] = process.argv.slice(2)
if (!folder) throw new Error('usage: node scripts/publish.mjs FOLDER [--dry-run]')

const { name, version } = JSON.parse(readFileSync(fileURLToPath(new URL('../package.json', import.meta.url)), 'utf8'))
const tag = process.env.GITHUB_REF_TYPE === 'tag' ? process.env.GITHUB_REF_NAME : undefined
if (tag !== undefined && tag !== `npm-v${version}`) throw new Error(`the tag is ${tag}, and package.json has ${version}`)

const names = [...platforms.map((platform) => `${name}-${platform.name}`), name]
const tarballs = names.map((name) => [name, path.resolve(folder, `${name}-${version}.tgz`)])

const missing = tarballs.filter(([, tarball]) => !existsSync(tarball))
if (missing.length > 0) throw new Error(`not packed: ${missing.map(([name]) => name).join(', ')}`)
for (const [, tarball] of tarballs) checkSize(tarball)

for (const [name, tarball] of tarballs) {
  if (options.includes('--dry-run')) console.log(`${name} ${version}`)
  else if (isPublished(name)) console.log(`${name} ${version} is published`)
  else publish(tarball)
}

function isPublished(name) {
  return spawnSync('npm', ['view', `${name}@${version}`, 'version'], { encoding: 'utf8' }).stdout?.trim() === version
}

function publish(tarball) {
  const { status } = spawnSync('npm', ['publish', tarball, '--provenance', '--access', 'public'], { stdio: 'inherit' })
  if (status !== 0) throw new Error(`npm publish failed for ${tarball}`)
}
