// The platforms that have a package with the addon, from the table that lib/native.js has too.
//
//   node scripts/platforms.mjs    prints them as the matrix of the release workflow

import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)

export const platforms = require('../lib/platforms.json')

// Returns the platform with this name.
export function platform(name) {
  const found = platforms.find((one) => one.name === name)
  if (!found) throw new Error(`no platform ${name}: there are ${platforms.map((one) => one.name).join(', ')}`)
  return found
}

// Returns the platform of this process.
export function platformHere() {
  const libc = require('../lib/addon-platform').isMusl() ? 'musl' : 'glibc'
  const isHere = (one) => one.os === process.platform && one.cpu === process.arch && (!one.libc || one.libc === libc)
  const found = platforms.find(isHere)
  if (!found) throw new Error(`no package is for ${process.platform} ${process.arch}`)
  return found
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(JSON.stringify(platforms))
