// A proxy in front of a server, which counts round trips, can be shut down, and can lose an answer or be late with a request.

import { once } from 'node:events'
import net from 'node:net'

export async function proxied(url) {
  const { hostname, port } = new URL(url)
  const proxy = new Proxy({ host: hostname, port: Number(port) })
  await proxy.open()
  proxy.url = Object.assign(new URL(url), { host: `127.0.0.1:${proxy.port}` }).href
  return proxy
}

class Proxy {
  #target
  #server
  #sockets = new Set()
  port = 0
  roundTrips = 0
  // Whether connections on which something is asked now are never answered, or reach the server only when released.
  mutes = false
  holds = false
  #held = []

  constructor(target) {
    this.#target = target
  }

  async open() {
    this.#server = net.createServer((client) => this.#join(client)).listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = this.#server.address().port
  }

  async shut() {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  // Sends what was held, also of clients that have gone.
  release() {
    for (const send of this.#held.splice(0)) send()
  }

  // Returns the number of round trips that a call takes.
  async counts(some) {
    const before = this.roundTrips
    await some()
    return this.roundTrips - before
  }

  #join(client) {
    const server = net.connect(this.#target)
    // Everything that is sent before an answer counts as one request.
    let isWaiting = false
    let isMute = false
    let isHeld = false
    for (const socket of [client, server]) {
      this.#sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#sockets.delete(socket)
        client.destroy()
        if (!isHeld) server.destroy()
      })
    }
    client.on('data', (data) => {
      if (!isWaiting) this.roundTrips += 1
      isWaiting = true
      isMute ||= this.mutes
      isHeld ||= this.holds
      if (isHeld) this.#held.push(() => server.write(data))
      else server.write(data)
    })
    server.on('data', (data) => {
      isWaiting = false
      if (!isMute) client.write(data)
    })
  }
}
