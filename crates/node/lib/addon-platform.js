'use strict'

// The platform that an addon is built for, from the header of its file, and the C library that Node is built for.

const fs = require('node:fs')

module.exports = { isMusl, platformOf }

// The processors by their numbers in the header, named as `process.arch`.
const ELF = { 0x03: 'ia32', 0x15: 'ppc64', 0x16: 's390x', 0x28: 'arm', 0x3e: 'x64', 0xb7: 'arm64', 0xf3: 'riscv64', 0x102: 'loong64' }
const MACH = { 0x01000007: 'x64', 0x0100000c: 'arm64' }
const PE = { 0x14c: 'ia32', 0x8664: 'x64', 0xaa64: 'arm64' }

// Returns the platform and the processor, such as `linux x64`, or undefined if the file is no library.
function platformOf(file) {
  const header = headerOf(file)
  return header.length < 64 ? undefined : read(header)
}

// Checks whether a program of Linux is for musl, by the loader that its header names. A report of Node would tell too, but
// takes some milliseconds.
function isMusl(program = process.execPath) {
  try {
    return loaderOf(headerOf(program))?.includes('/ld-musl-') ?? isMuslByReport()
  } catch {
    return isMuslByReport()
  }
}

function isMuslByReport() {
  return !process.report?.getReport().header.glibcVersionRuntime
}

// Returns the loader (PT_INTERP) of a 64-bit program, or undefined if the beginning of the file does not tell.
function loaderOf(header) {
  const [isElf, is64, isLittle] = [header.readUInt32BE(0) === 0x7f454c46, header[4] === 2, header[5] === 1]
  if (!isElf || !is64 || !isLittle) return undefined
  const [at, size, count] = [Number(header.readBigUInt64LE(32)), header.readUInt16LE(54), header.readUInt16LE(56)]
  for (let entry = at; entry < at + size * count; entry += size) {
    if (header.readUInt32LE(entry) !== 3) continue
    const start = Number(header.readBigUInt64LE(entry + 8))
    const loader = header.toString('latin1', start, start + Number(header.readBigUInt64LE(entry + 32)))
    return loader || undefined
  }
  return undefined
}

function headerOf(file) {
  const header = Buffer.alloc(4096)
  const descriptor = fs.openSync(file)
  try {
    return header.subarray(0, fs.readSync(descriptor, header, 0, header.length, 0))
  } finally {
    fs.closeSync(descriptor)
  }
}

function read(header) {
  const magic = header.readUInt32BE(0)
  if (magic === 0x7f454c46) {
    // The byte order is that of the processor.
    const machine = header[5] === 2 ? header.readUInt16BE(18) : header.readUInt16LE(18)
    return named(header[7] === 9 ? 'freebsd' : 'linux', ELF, machine)
  }
  if (magic === 0xcffaedfe) return named('darwin', MACH, header.readUInt32LE(4))
  if (magic === 0xcafebabe) return 'darwin, several processors'
  if (header.toString('latin1', 0, 2) !== 'MZ') return undefined
  const at = header.readUInt32LE(0x3c)
  return at + 6 > header.length ? undefined : named('win32', PE, header.readUInt16LE(at + 4))
}

function named(platform, processors, number) {
  return `${platform} ${processors[number] ?? 'on an unknown processor'}`
}
