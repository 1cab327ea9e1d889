// Measures a cold `require` of express-session and of this package, each in processes of its own, in turns: the time, and
// the time of the processor, which depends less on what else the machine does.
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
  const [elapsed, processor] = ['elapsed', 'processor'].map((kind) => {
    const sorted = measured.map((one) => one[kind]).sort((one, other) => one - other)
    return `median ${sorted[sorted.length >> 1].toFixed(1)} ms, least ${sorted[0].toFixed(1)} ms`
  })
  console.log(`${name}: ${elapsed}; of the processor: ${processor}; ${starts} starts`)
}

// Returns how many milliseconds a new process needs to load a package.
function timeOf(file) {
  const script = `
    const [start, before] = [performance.now(), process.cpuUsage()]
    require(${JSON.stringify(file)})
    const [end, { user, system }] = [performance.now(), process.cpuUsage(before)]
    console.log(JSON.stringify({ elapsed: end - start, processor: (user + system) / 1000 }))`
  const { stdout, stderr } = spawnSync(process.execPath, ['--eval', script], { encoding: 'utf8' })
  if (!stdout) throw new Error(stderr)
  return JSON.parse(stdout)
}
