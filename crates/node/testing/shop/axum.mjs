// Runs the half of the shop that is examples/beside-express, until its parent process ends:
// `node axum.mjs PROGRAM REDIS_URL`.

import { spawn } from 'node:child_process'
import { once } from 'node:events'

const [program, url] = process.argv.slice(2)
const env = { ...process.env, REDIS_URL: url, PORT: '0' }
const service = spawn(program, { env, stdio: ['ignore', 'pipe', 'inherit'] })
service.on('exit', () => process.exit(1))
process.on('disconnect', () => {
  service.kill()
  process.exit()
})
// Its first line is its URL.
const [line] = await once(service.stdout.setEncoding('utf8'), 'data')
process.send({ port: Number(new URL(line).port) })
