// Packs the npm packages into a folder: the main one, and one for each platform with the addon.
//
//   node scripts/pack.mjs FOLDER             the main one and that of this platform, before they are in the registry:
//                                            the main one names the file of the other
//   node scripts/pack.mjs FOLDER main        the main one as it is published
//   node scripts/pack.mjs FOLDER PLATFORM    that of a platform as it is published, once it is built
//
// The packages are put together in a folder of their own: npm leaves out links, such as those to the licences, and the
// checkout's package.json names no platforms, since `npm ci` would look for them in the registry.

import { spawnSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

import { platform, platformHere, platforms } from './platforms.mjs'

// The largest tarball of a published package.
export const LIMIT = 4_000_000

const root = fileURLToPath(new URL('..', import.meta.url))
const LICENCES = ['LICENSE-APACHE', 'LICENSE-MIT']
const ADDON = 'express-session.node'

const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))
const nameOf = (platform) => `${manifest.name}-${platform.name}`

if (process.argv[1] === fileURLToPath(import.meta.url)) main(process.argv.slice(2))

function main([folder, choice]) {
  if (!folder) throw new Error('usage: node scripts/pack.mjs FOLDER [main | PLATFORM]')
  mkdirSync(folder, { recursive: true })
  if (!choice) console.log(Object.values(packBoth(folder)).join('\n'))
  else if (choice === 'main') console.log(packMain(folder))
  else console.log(packPublished(folder, platform(choice)))
}

// Packs the main package and that of this platform, and returns both tarballs.
export function packBoth(folder) {
  const here = platformHere()
  const native = packPlatform(folder, here, addonHere())
  return { main: packMain(folder, { [nameOf(here)]: `file:${native.replaceAll('\\', '/')}` }), native }
}

// Packs the main package, with these packages as the optional ones.
export function packMain(folder, optionalDependencies = published()) {
  const { scripts: _, devDependencies: __, ...rest } = manifest
  return pack(
    folder,
    { ...rest, ...repository(), files: [...manifest.files, ...LICENCES], optionalDependencies },
    [...manifest.files, 'README.md'].map((file) => [path.join(root, file), file])
  )
}

// Packs an addon as the package of a platform.
export function packPlatform(folder, platform, addon) {
  const { version, license, engines } = manifest
  return pack(
    folder,
    {
      name: nameOf(platform),
      version,
      description: `The addon of ${manifest.name} for ${platform.name}`,
      license,
      ...repository(),
      main: ADDON,
      files: [ADDON, ...LICENCES],
      engines,
      os: [platform.os],
      cpu: [platform.cpu],
      ...(platform.libc && { libc: [platform.libc] })
    },
    [[addon, ADDON]],
    `# ${nameOf(platform)}\n\nThe addon of \`${manifest.name}\` for ${platform.name}. Install that package, which brings this one.\n`
  )
}

function packPublished(folder, platform) {
  const addon = builtFor(platform)
  if (!existsSync(addon)) throw new Error(`the addon is not built: run "npm run build ${platform.name}"`)
  const tarball = packPlatform(folder, platform, addon)
  checkSize(tarball)
  return tarball
}

// Throws if a package is too large to be published.
export function checkSize(tarball) {
  const { size } = statSync(tarball)
  if (size > LIMIT) throw new Error(`${path.basename(tarball)} has ${size} bytes, and may have ${LIMIT}`)
}

function published() {
  return Object.fromEntries(platforms.map((platform) => [nameOf(platform), manifest.version]))
}

// Returns the path of the addon for this platform that was built last: the checkout's, or that of the package.
export function addonHere() {
  const built = [path.join(root, ADDON), builtFor(platformHere())].filter((file) => existsSync(file))
  if (built.length === 0) throw new Error('the addon is not built: run "npm run build"')
  return built.reduce((one, other) => (statSync(other).mtimeMs > statSync(one).mtimeMs ? other : one))
}

// Returns the path of a platform's addon as it is published.
export function builtFor(platform) {
  return path.join(root, 'dist', platform.name, ADDON)
}

// The repository that builds the package: the registry compares it with the provenance.
function repository() {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: name } = process.env
  return name ? { repository: { type: 'git', url: `git+${server}/${name}.git`, directory: 'crates/node' } } : {}
}

// Packs copies of the files with a manifest and the licences, and returns the tarball.
function pack(folder, manifest, files, readme) {
  const stage = mkdtempSync(path.join(os.tmpdir(), 'express-session-pack-'))
  try {
    writeFileSync(path.join(stage, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`)
    if (readme) writeFileSync(path.join(stage, 'README.md'), readme)
    for (const [from, to] of files) cpSync(from, path.join(stage, to), { recursive: true })
    for (const licence of LICENCES) copyFileSync(path.join(root, '../..', licence), path.join(stage, licence))
    npmPack(stage, folder)
  } finally {
    rmSync(stage, { recursive: true })
  }
  return path.resolve(folder, `${manifest.name}-${manifest.version}.tgz`)
}

function npmPack(stage, folder) {
  // A shell, because npm is a script on Windows.
  const args = ['pack', '--ignore-scripts', '--pack-destination', `"${path.resolve(folder)}"`]
  const { status, error, stderr } = spawnSync('npm', args, {
    cwd: stage,
    shell: true,
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8'
  })
  if (error) throw error
  if (status !== 0) throw new Error(`npm pack failed: ${stderr}`)
}
