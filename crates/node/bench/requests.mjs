// How many requests a second the classic application answers: a view counter, with express-session or this package,
// on a store. The application has a process of its own; the requests come from this one.
//
//   node bench/requests.mjs MIDDLEWARE STORE [CONNECTIONS] [SECONDS]
//
// MIDDLEWARE is express-session or express-session-rs. STORE is classic (`session.MemoryStore`), memory, redis,
// connect-redis, and so on: the list is in app.mjs. Servers are those of `testing/servers.mjs`. Prints a line of JSON;
// `cpuMicros` is what a request cost the application's process, on all of its threads.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { fileURLToPath } from 'node:url'

const [middleware = 'express-session-rs', store = 'memory', connections = '32', seconds = '5'] = process.argv.slice(2)

const app = fork(fileURLToPath(new URL('app.mjs', import.meta.url)), [middleware, store])
const [{ port, error }] = await once(app, 'message')
if (error) throw new Error(error)

let answered = 0
let isOver = false
const visitors = Array.from({ length: Number(connections) }, visit)
await after(1000)
// What was slow once, is not counted.
const before = { answered, at: performance.now(), cpu: await cpu() }
await after(Number(seconds) * 1000)
const counted = { answered, at: performance.now(), cpu: await cpu() }
isOver = true
await Promise.all(visitors)
app.disconnect()

const requests = counted.answered - before.answered
console.log(JSON.stringify({
  middleware,
  store,
  connections: Number(connections),
  requests,
  perSecond: Math.round(requests / ((counted.at - before.at) / 1000)),
  cpuMicros: Math.round((counted.cpu - before.cpu) / requests)
}))

// One visitor with a connection, who asks as soon as there is an answer.
async function visit() {
  const socket = net.connect(port, '127.0.0.1')
  await once(socket, 'connect')
  let cookie = ''
  let text = ''
  await new Promise((resolve, reject) => {
    const ask = () => socket.write(`GET / HTTP/1.1\r\nHost: localhost\r\n${cookie && `Cookie: ${cookie}\r\n`}\r\n`)
    socket.setEncoding('latin1').on('error', reject).on('data', (chunk) => {
      text += chunk
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) return
      const [, length] = /\r\ncontent-length: (\d+)/i.exec(text)
      if (text.length < end + 4 + Number(length)) return
      if (!text.startsWith('HTTP/1.1 200')) return reject(new Error(text))
      cookie ||= /\r\nset-cookie: ([^;]+)/i.exec(text)?.[1] ?? ''
      text = ''
      answered += 1
      if (isOver) resolve(socket.destroy())
      else ask()
    })
    ask()
  })
}

async function cpu() {
  app.send('cpu')
  const [{ cpu }] = await once(app, 'message')
  return cpu
}

function after(millis) {
  return new Promise((resolve) => setTimeout(resolve, millis))
}
