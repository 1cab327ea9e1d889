// Builds the addon with cargo, and copies it to where it is loaded or packed.
//
//   node scripts/build.mjs              for this checkout, quickly
//   node scripts/build.mjs published    for the package of this platform: small, and slow to build
//   node scripts/build.mjs PLATFORM     the same for a platform by its name, as the release workflow does it

import { copyFileSync, mkdirSync, renameSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

import { build } from './cargo.mjs'
import { platform, platformHere } from './platforms.mjs'

// The oldest C library that the packages for glibc run on: that of Node 20.
const GLIBC = '2.28'

const root = fileURLToPath(new URL('..', import.meta.url))
const [choice] = process.argv.slice(2)

if (!choice) {
  place(build('express-session-node', 'express_session_node', ['--release']), root)
} else {
  const target = choice === 'published' ? platformHere() : platform(choice)
  const files = build('express-session-node', 'express_session_node', ...published(target, choice === 'published'))
  place(files, path.join(root, 'dist', target.name))
}

// Returns the options and the environment of cargo, and its command.
function published({ os, libc, target }, isHere) {
  const profile = ['--profile', 'npm']
  if (isHere) return [profile, {}]
  if (os !== 'linux') return [[...profile, '--target', target], {}]
  // Zig links with a C library of the choice: an old one, or musl. A library for musl is linked with it dynamically.
  if (libc === 'glibc') return [[...profile, '--target', `${target}.${GLIBC}`], { command: 'zigbuild' }]
  const env = { ...process.env, RUSTFLAGS: '-C target-feature=-crt-static' }
  return [[...profile, '--target', target], { command: 'zigbuild', env }]
}

// Copies the library among the files into a folder, as the addon.
function place(files, folder) {
  // The name of a library depends on the platform.
  const library = files.find((file) => /\.(so|dylib|dll)$/.test(file))
  if (!library) throw new Error('cargo has not built a library')
  mkdirSync(folder, { recursive: true })
  const addon = path.join(folder, 'express-session.node')
  // Renamed instead of overwritten, because a process may have the old one loaded.
  copyFileSync(library, `${addon}.new`)
  renameSync(`${addon}.new`, addon)
}
