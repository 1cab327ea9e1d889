// The addon: the errors where it is missing, or built for another platform.

import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'

import { folder } from '../testing/servers.mjs'

const LIB = fileURLToPath(new URL('../lib', import.meta.url))
const BUILD = /: run "npm ci && npm run build" in .*, which needs Rust with cargo/

// Returns the error of a package with this addon, or with none.
function errorOf(addon) {
  const root = folder()
  mkdirSync(path.join(root, 'lib'))
  for (const file of ['native.js', 'addon-platform.js']) copyFileSync(path.join(LIB, file), path.join(root, 'lib', file))
  if (addon) writeFileSync(path.join(root, 'express-session.node'), addon)
  try {
    createRequire(import.meta.url)(path.join(root, 'lib', 'native.js'))
  } catch (error) {
    assert.match(error.message, BUILD)
    assert(error.message.includes(root))
    assert(error.cause)
    return error
  }
  return assert.fail('it is loaded')
}

// Makes a file of a header, with a two-byte or four-byte number at a place in it.
function header(magic, at, number, length = 2) {
  const bytes = Buffer.alloc(256)
  Buffer.from(magic, 'hex').copy(bytes)
  bytes.writeUIntLE(number, at, length)
  return bytes
}

function windows(machine) {
  const bytes = header('4d5a', 0x3c, 0x80)
  bytes.writeUInt16LE(machine, 0x84)
  return bytes
}

test('without the build, the error says how to build the addon', () => {
  const { code, message } = errorOf()
  assert.equal(code, 'ERR_ADDON_MISSING')
  assert.match(message, /^express-session-rs: the addon express-session.node is not built: /)
})

test('an addon of another platform is named by its platform', () => {
  const ELF = '7f454c4602010100'
  const here = `${process.platform} ${process.arch}`
  const all = [
    ['linux x64', header(ELF, 18, 0x3e)],
    ['linux arm64', header(ELF, 18, 0xb7)],
    ['linux on an unknown processor', header(ELF, 18, 0xffff)],
    ['freebsd x64', header('7f454c4602010109', 18, 0x3e)],
    ['darwin x64', header('cffaedfe', 4, 0x01000007, 4)],
    ['darwin arm64', header('cffaedfe', 4, 0x0100000c, 4)],
    ['win32 x64', windows(0x8664)],
    ['win32 arm64', windows(0xaa64)]
  ]
  for (const [built, addon] of all.filter(([built]) => built !== here)) {
    const { code, message } = errorOf(addon)
    assert.equal(code, 'ERR_ADDON_UNSUITABLE')
    assert(message.includes(`express-session.node is built for ${built}, not for ${here}: `), message)
  }
})

test('a file that is no addon is an error with a code', () => {
  for (const addon of ['', 'version https://git-lfs.github.com/spec/v1', header('4d5a', 0x3c, 0xffff)]) {
    const { code, message } = errorOf(addon || ' ')
    assert.equal(code, 'ERR_ADDON_UNSUITABLE')
    assert.match(message, /is cut off, or no addon: /)
  }
})
