// An npm store in a process of its own, with the time of this one. Two copies of SQLite in one process would not see
// each other's locks.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const PROGRAM = fileURLToPath(new URL('npm-store-process.mjs', import.meta.url))

// Opens a store of a kind in an empty place, and returns it with its URL.
export async function openNpmStore(kind, place) {
  const child = fork(PROGRAM)
  const asked = []
  child.on('message', ({ error, answer }) => {
    const { resolve, reject } = asked.shift()
    if (error) reject(new Error(error))
    else resolve(answer)
  })
  child.on('exit', () => {
    for (const { reject } of asked) reject(new Error('the process of the npm store has exited'))
  })
  const ask = (verb, ...args) =>
    new Promise((resolve, reject) => {
      asked.push({ resolve, reject })
      child.send({ verb, args, now: Date.now() })
    })

  const url = await ask('open', kind, place)
  return {
    url,
    set: (sid, session) => ask('set', sid, JSON.stringify(session)),
    touch: (sid, session) => ask('touch', sid, JSON.stringify(session)),
    get: async (sid) => JSON.parse(await ask('get', sid)),
    destroy: (sid) => ask('destroy', sid),
    raw: (sid) => ask('raw', sid),
    expire: (sid, at) => ask('expire', sid, at),
    ids: () => ask('ids'),
    empty: () => ask('empty'),
    async close() {
      const exit = once(child, 'exit')
      child.disconnect()
      await exit
    }
  }
}
