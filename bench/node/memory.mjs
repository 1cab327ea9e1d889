// Fills express-session's memory store, and says what it takes.
//
// `node --expose-gc memory.mjs COUNT RECORD` puts COUNT sessions into it, each like the record, and prints the
// resident memory before and after in bytes, as JSON. Garbage is not counted.

import { randomBytes } from 'node:crypto'
import session from 'express-session'

const [count, record] = [Number(process.argv[2]), JSON.parse(process.argv[3])]

const store = new session.MemoryStore()
await fill(100)
store.clear()
const before = resident()
await fill(count)
const after = resident()
const sessions = Object.keys(store.sessions).length
process.stdout.write(`${JSON.stringify({ before, after, sessions })}\n`)

// The store answers in a later turn, so that it is waited for now and then.
async function fill(sessions) {
  for (let done = 0; done < sessions; ) {
    const last = Math.min(sessions, done + 1000)
    for (; done < last - 1; done++) store.set(randomBytes(24).toString('base64url'), record)
    done++
    await new Promise((resolve) => store.set(randomBytes(24).toString('base64url'), record, resolve))
  }
}

function resident() {
  global.gc()
  global.gc()
  return process.memoryUsage.rss()
}
