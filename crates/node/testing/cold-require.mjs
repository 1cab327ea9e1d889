// Measures a cold `require` of express-session and of this package, each in processes of its own, in turns.
//
//   node testing/cold-require.mjs [STARTS] [FOLDER]    FOLDER has `node_modules` with the packages (else this checkout)

import { spawnSync } from 'node:child_process'
import path from 'node:path'

import { PACKAGE } from './commands.mjs'

const [starts = '40', folder] = process.argv.slice(2)
const packages = {
  'express-session': folder ? path.join(folder, 'node_modules', 'express-session') : path.join(PACKAGE, 'node_modules', 'express-session'),
  'express-session-rs': folder ? path.join(folder, 'node_modules', 'express-session-rs') : PACKAGE
}

const times = Object.fromEntries(Object.keys(packages).map((name) => [name, []]))
for (let start = 0; start < Number(starts); start += 1) {
  for (const [name, file] of Object.entries(packages)) times[name].push(timeOf(file))
}
for (const [name, measured] of Object.entries(times)) {
  measured.sort((one, other) => one - other)
  const [least, median] = [measured[0], measured[measured.length >> 1]]
  console.log(`${name}: median ${median.toFixed(1)} ms, least ${least.toFixed(1)} ms, of ${starts} starts`)
}

// Returns how many milliseconds a new process needs to load a package.
function timeOf(file) {
  const script = `const start = performance.now(); require(${JSON.stringify(file)}); console.log(performance.now() - start)`
  const { stdout, stderr } = spawnSync(process.execPath, ['--eval', script], { encoding: 'utf8' })
  if (!stdout) throw new Error(stderr)
  return Number(stdout)
}
