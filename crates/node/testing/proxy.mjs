// A proxy before a server: it counts how often a client waits for an answer, and can be shut.

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

  // Gives how many round trips something takes.
  async counts(some) {
    const before = this.roundTrips
    await some()
    return this.roundTrips - before
  }

  #join(client) {
    const server = net.connect(this.#target)
    // What comes in pieces is one question, and so are several that are sent before an answer.
    let isAsking = false
    for (const socket of [client, server]) {
      this.#sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#sockets.delete(socket)
        client.destroy()
        server.destroy()
      })
    }
    client.on('data', (data) => {
      if (!isAsking) this.roundTrips += 1
      isAsking = true
      server.write(data)
    })
    server.on('data', (data) => {
      isAsking = false
      client.write(data)
    })
  }
}
