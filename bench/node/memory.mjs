// Fills a memory store on Node, and measures the memory of the process.
//
// `node --expose-gc memory.mjs COUNT RECORD [native]` puts COUNT sessions into express-session's, or into the native
// one of our npm package, each like the record. It prints the resident memory before and after in bytes, and the
// same of JavaScript's heap, as JSON. Garbage is not counted.

import { randomBytes } from 'node:crypto'
import session from 'express-session'

const [count, record] = [Number(process.argv[2]), JSON.parse(process.argv[3])]
const { MemoryStore } = process.argv[4] === 'native' ? await import('../../crates/node/lib/stores.js') : session

const store = new MemoryStore()
await fill(100)
await new Promise((resolve) => store.clear(resolve))
const before = memory()
await fill(count)
const after = memory()
const sessions = await new Promise((resolve) => store.length((_error, sessions) => resolve(sessions)))
const [resident, heap] = ['rss', 'heapUsed'].map((of) => ({ before: before[of], after: after[of] }))
process.stdout.write(`${JSON.stringify({ resident, heap, sessions })}\n`)

// The store answers in a later turn, so that the loop waits for it now and then.
async function fill(sessions) {
  for (let done = 0; done < sessions; ) {
    const last = Math.min(sessions, done + 1000)
    for (; done < last - 1; done++) store.set(randomBytes(24).toString('base64url'), record, () => {})
    done++
    await new Promise((resolve) => store.set(randomBytes(24).toString('base64url'), record, resolve))
  }
}

function memory() {
  global.gc()
  global.gc()
  return process.memoryUsage()
}
