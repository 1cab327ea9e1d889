// Loads the package in another realm, with modules and globals of its own, as Jest does for each file of tests.

import { readFileSync } from 'node:fs'
import { createRequire, isBuiltin } from 'node:module'
import path from 'node:path'
import vm from 'node:vm'

import { PACKAGE } from './commands.mjs'

// Returns the realm's globals, and a function that loads a module of the package by its path there.
export function openRealm() {
  const { Buffer, URL, clearTimeout, console, setImmediate, setInterval, setTimeout } = globalThis
  const globals = { Buffer, URL, clearTimeout, console, setImmediate, setInterval, setTimeout }
  globals.process = Object.create(process)
  vm.createContext(globals)
  const modules = new Map()

  function load(file) {
    const known = modules.get(file)
    if (known) return known.exports
    const module = { exports: {} }
    modules.set(file, module)
    const source = readFileSync(file, 'utf8')
    if (file.endsWith('.json')) {
      module.exports = JSON.parse(source)
      return module.exports
    }
    const names = ['exports', 'require', 'module', '__filename', '__dirname']
    const run = vm.compileFunction(source, names, { filename: file, parsingContext: globals })
    run.call(module.exports, module.exports, requireFrom(file), module, file, path.dirname(file))
    return module.exports
  }

  // Node and the addon are the same in all realms.
  function requireFrom(file) {
    const outer = createRequire(file)
    return (name) => {
      const found = isBuiltin(name) ? name : outer.resolve(name)
      return isBuiltin(name) || found.endsWith('.node') ? outer(found) : load(found)
    }
  }

  return { globals, load: (file) => load(path.join(PACKAGE, file)) }
}
