// The addon: which package it comes from, and the errors where it is missing, or built for another platform.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'

import { platformHere, platforms } from '../scripts/platforms.mjs'
import { folder } from '../testing/servers.mjs'

const LIB = fileURLToPath(new URL('../lib', import.meta.url))
const BUILD = /: run "npm ci && npm run build" in .*, which needs Rust with cargo/

// Returns the error of a checkout with this addon, or with none.
function errorOf(addon) {
  const root = checkout()
  if (addon) writeFileSync(path.join(root, 'express-session.node'), addon)
  const error = errorIn(root)
  assert.match(error.message, BUILD)
  assert(error.message.includes(root))
  return error
}

// Makes a folder with the files that load the addon, and `scripts`, as only a checkout has it.
function checkout() {
  const root = folder()
  for (const name of ['lib', 'scripts']) mkdirSync(path.join(root, name))
  for (const file of ['native.js', 'addon-platform.js', 'platforms.json']) {
    copyFileSync(path.join(LIB, file), path.join(root, 'lib', file))
  }
  return root
}

// Makes a folder with the same files as npm installs them, and this addon as the package of a platform.
function installed(platform, addon) {
  const root = folder()
  cpSync(path.join(checkout(), 'lib'), path.join(root, 'node_modules', 'express-session-rs', 'lib'), { recursive: true })
  if (addon) {
    const native = path.join(root, 'node_modules', `express-session-rs-${platform.name}`)
    mkdirSync(native)
    writeFileSync(path.join(native, 'package.json'), '{"main":"express-session.node"}')
    writeFileSync(path.join(native, 'express-session.node'), addon)
  }
  return path.join(root, 'node_modules', 'express-session-rs')
}

function errorIn(root) {
  try {
    createRequire(import.meta.url)(path.join(root, 'lib', 'native.js'))
  } catch (error) {
    assert(error.cause)
    return error
  }
  return assert.fail('it is loaded')
}

// Returns what a process prints that pretends to be on a platform, and loads the addon.
function onPlatform(root, os, cpu, more = '') {
  const script = `
    Object.defineProperty(process, 'platform', { value: '${os}' })
    Object.defineProperty(process, 'arch', { value: '${cpu}' })
    ${more}
    try {
      console.log('loaded', require(${JSON.stringify(path.join(root, 'lib', 'native.js'))}))
    } catch ({ code, message }) {
      console.log(code, message)
    }`
  return spawnSync(process.execPath, ['--eval', script], { encoding: 'utf8' }).stdout
}

// Makes a program of 64 bits with a loader.
function programWith(loader) {
  const bytes = Buffer.alloc(4096)
  Buffer.from('7f454c46020101', 'hex').copy(bytes)
  bytes.writeBigUInt64LE(64n, 32)
  bytes.writeUInt16LE(56, 54)
  bytes.writeUInt16LE(2, 56)
  bytes.writeUInt32LE(3, 64 + 56)
  bytes.writeBigUInt64LE(512n, 64 + 56 + 8)
  bytes.writeBigUInt64LE(BigInt(loader.length), 64 + 56 + 32)
  bytes.write(loader, 512)
  const file = path.join(folder(), 'program')
  writeFileSync(file, bytes)
  return file
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
  const name = `express-session-rs-${platformHere().name}`
  assert(message.startsWith(
    `express-session-rs: the package ${name} is not installed, and the addon express-session.node is not built: `
  ), message)
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

test('the loader asks for the package of every platform in the table, and for no other', () => {
  const source = readFileSync(path.join(LIB, 'native.js'), 'utf8')
  const asked = [...source.matchAll(/case '(.*)': return require\('express-session-rs-(.*)'\)/g)]
  assert.deepEqual(asked.map(([, name]) => name), platforms.map(({ name }) => name))
  assert.deepEqual(asked.map(([, , name]) => name), platforms.map(({ name }) => name))
})

test('each platform loads its own package', () => {
  for (const platform of platforms) {
    const root = installed(platform, ' ')
    // The package has JavaScript in place of the addon, which any platform can load.
    const native = path.join(root, '..', `express-session-rs-${platform.name}`)
    writeFileSync(path.join(native, 'package.json'), '{"main":"addon.js"}')
    writeFileSync(path.join(native, 'addon.js'), `module.exports = '${platform.name}'`)
    const program = programWith(platform.libc === 'musl' ? '/lib/ld-musl-x86_64.so.1' : '/lib64/ld-linux-x86-64.so.2')
    const printed = onPlatform(root, platform.os, platform.cpu, `process.execPath = ${JSON.stringify(program)}`)
    assert.equal(printed, `loaded ${platform.name}\n`)
  }
})

test('an installed package without its addon says how to install it, and how to build it', () => {
  const { code, message } = errorIn(installed(platformHere()))
  assert.equal(code, 'ERR_ADDON_MISSING')
  assert.match(message, /: run "npm install" on this platform, without --omit=optional; or run "npm ci && npm run build" in/)
})

test('an addon of another platform in the package is named by its platform', () => {
  const bytes = header('7f454c4602010100', 18, 0xffff)
  const { code, message } = errorIn(installed(platformHere(), bytes))
  assert.equal(code, 'ERR_ADDON_UNSUITABLE')
  const name = `express-session-rs-${platformHere().name}`
  assert(message.includes(`${name} is built for linux on an unknown processor, not for `), message)
})

test('a platform without a package says so, and how to build the addon', () => {
  for (const [root, where] of [[checkout(), 'in '], [installed(platformHere()), 'in crates/node of a checkout']]) {
    const printed = onPlatform(root, 'freebsd', 'riscv64')
    assert.match(printed, /^ERR_ADDON_MISSING express-session-rs: there is no package for freebsd-riscv64, and the addon/)
    assert(printed.includes(`: run "npm ci && npm run build" ${where}`), printed)
  }
})

test('the loader of the program names the C library, or else the report of Node does', () => {
  const { isMusl } = createRequire(import.meta.url)('../lib/addon-platform.js')
  assert.equal(isMusl(programWith('/lib/ld-musl-aarch64.so.1')), true)
  assert.equal(isMusl(programWith('/lib64/ld-linux-x86-64.so.2')), false)
  assert.equal(isMusl(programWith('/nix/store/musl-data/glibc-2.40/lib/ld-linux-x86-64.so.2')), false)
  const byReport = process.platform === 'linux' && !process.report.getReport().header.glibcVersionRuntime
  for (const unknown of [programWith(''), fileURLToPath(import.meta.url), path.join(folder(), 'none')]) {
    if (process.platform === 'linux') assert.equal(isMusl(unknown), byReport)
  }
})
