// An npm store in a process of its own, with the time of this one: the Node side of the interop task. Two copies of
// SQLite in one process would not see each other's locks.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import readline from 'node:readline'
import { fileURLToPath } from 'node:url'

const PROGRAM = fileURLToPath(new URL('../../../interop/node/main.mjs', import.meta.url))

// Opens a store of a kind in an empty place, and returns it with its URL.
export async function openNpmStore(kind, place) {
  const child = spawn(process.execPath, [PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] })
  const asked = []
  readline.createInterface({ input: child.stdout }).on('line', (line) => {
    const { ok, error } = JSON.parse(line)
    const { resolve, reject } = asked.shift()
    if (error) reject(new Error(error))
    else resolve(ok)
  })
  child.on('exit', () => {
    for (const { reject } of asked) reject(new Error('the process of the npm store has exited'))
  })
  const ask = (verb, given) =>
    new Promise((resolve, reject) => {
      asked.push({ resolve, reject })
      child.stdin.write(`${JSON.stringify({ do: verb, now: Date.now(), ...given })}\n`)
    })

  const url = await ask('prepare', { kind, ...place })
  await ask('open', { kind, ...place, url })
  return {
    url,
    set: (id, session) => ask('put', { id, text: JSON.stringify(session) }),
    touch: (id, session) => ask('touch', { id, text: JSON.stringify(session) }),
    get: async (id) => JSON.parse(await ask('get', { id })),
    destroy: (id) => ask('destroy', { id }),
    raw: (id) => ask('raw', { id }),
    expire: (id, at) => ask('expire', { id, at }),
    ids: () => ask('ids'),
    empty: () => ask('empty'),
    async close() {
      const exit = once(child, 'exit')
      child.stdin.end()
      await exit
    }
  }
}
