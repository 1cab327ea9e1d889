// Runs programs without blocking the other tests, and finds the tools among the package's development dependencies.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export const PACKAGE = fileURLToPath(new URL('..', import.meta.url))

// Runs a program that has to succeed, and returns what it printed.
export async function run(program, args, options = {}) {
  const child = spawn(program, args, { timeout: 180_000, ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => (stdout += chunk))
  child.stderr.on('data', (chunk) => (stderr += chunk))
  const [code, signal] = await once(child, 'close')
  assert.equal(code, 0, `${program} ${args.join(' ')} ended with ${code ?? signal}:\n${stdout}${stderr}`)
  return stdout
}

// Runs a JavaScript program that has to succeed, and returns what it printed.
export const runNode = (args, options) => run(process.execPath, args, options)

// Returns the program of a package, by its file there.
export const tool = (name, file) => path.join(PACKAGE, 'node_modules', name, file)

// Packs the main package and that of this platform into a folder, and returns the path of the main one, which names the
// file of the other.
export async function pack(folder) {
  const printed = await runNode([path.join(PACKAGE, 'scripts', 'pack.mjs'), folder])
  return printed.split('\n')[0]
}
