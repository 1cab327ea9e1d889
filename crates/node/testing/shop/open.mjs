// The shop: services in processes of their own, behind a reverse proxy that selects one for each request.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import { fileURLToPath } from 'node:url'

import { build } from '../../scripts/cargo.mjs'
import { serve } from '../browser.mjs'

const SECRET = 'keyboard cat'

// Opens the shop with its sessions in a Redis server, until the test ends. `draw` selects an element of a list.
export async function openShop(t, url, store, draw) {
  const services = await Promise.all([
    start(t, 'express-session', 'express.mjs', ['express-session', 'connect-redis', url]),
    start(t, 'express-session-rs', 'express.mjs', ['express-session-rs', store, url]),
    start(t, 'axum', 'axum.mjs', [axum(), url])
  ])
  const shop = new Shop(services, draw)
  await shop.open(t)
  return shop
}

let built

function axum() {
  built ??= build('beside-express', 'beside-express').find((file) => /beside-express(\.exe)?$/.test(file))
  return built
}

async function start(t, name, program, args) {
  const file = fileURLToPath(new URL(program, import.meta.url))
  const child = fork(file, args, { env: { ...process.env, SECRET } })
  const exit = once(child, 'exit')
  t.after(async () => {
    if (child.connected) child.disconnect()
    await exit
  })
  const [{ port }] = await Promise.race([
    once(child, 'message'),
    exit.then(() => {
      throw new Error(`${name} exited before it was ready`)
    })
  ])
  return { name, port, requests: 0 }
}

class Shop {
  #draw
  #served = []
  // Visitors take turns, so that each service needs one connection only.
  #agent = new http.Agent({ keepAlive: true })

  constructor(services, draw) {
    this.services = services
    this.#draw = draw
  }

  async open(t) {
    this.url = await serve(t, (req, res) => this.#forward(req, res))
    t.after(() => this.#agent.destroy())
  }

  // Returns the names of the services that have answered since the last call, in their order.
  served() {
    return this.#served.splice(0)
  }

  #forward(req, res) {
    // Browsers request it at any time, and would make the choice of services irreproducible.
    if (req.url === '/favicon.ico') return res.writeHead(404).end()
    const service = this.#draw(this.services)
    service.requests += 1
    this.#served.push(service.name)
    const { url: path, method, headers } = req
    const options = { port: service.port, host: '127.0.0.1', path, method, agent: this.#agent }
    const forwarded = http.request({ ...options, headers: { ...headers, 'x-forwarded-proto': 'https' } })
    forwarded.on('response', (answer) => {
      res.writeHead(answer.statusCode, answer.rawHeaders)
      answer.pipe(res)
    })
    forwarded.on('error', () => res.destroy())
    req.pipe(forwarded)
  }
}
