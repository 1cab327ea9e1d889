// A request and a response of Node's without a network: what is written can be looked at as it is written.

import http from 'node:http'
import { Writable } from 'node:stream'

// The client's end of a connection.
export class Wire extends Writable {
  text = ''

  _write(chunk, _encoding, done) {
    this.text += chunk.toString('latin1')
    done()
  }

  get head() {
    return this.text.split('\r\n\r\n')[0]
  }

  // As it was sent, chunks and all.
  get body() {
    return this.text.slice(this.head.length + 4)
  }

  get cookies() {
    return this.head
      .split('\r\n')
      .filter((line) => /^set-cookie: /i.test(line))
      .map((line) => line.slice('set-cookie: '.length))
  }
}

export function exchange({ method = 'GET', path = '/', headers = {}, encrypted = false } = {}) {
  const wire = new Wire()
  wire.encrypted = encrypted
  const req = new http.IncomingMessage(wire)
  req.httpVersionMajor = req.httpVersionMinor = 1
  req.httpVersion = '1.1'
  req.method = method
  req.url = path
  const raw = Object.entries({ host: 'localhost', ...headers }).flat()
  req._addHeaderLines(raw, raw.length)
  req.complete = true
  const res = new http.ServerResponse(req)
  res.sendDate = false
  res.assignSocket(wire)
  return { req, res, wire }
}

// Runs a request through a middleware, and gives what the client got. `late` has what was told to `next`
// after the first time.
export async function answer(middleware, request, handler) {
  const { req, res, wire } = exchange(request)
  const late = []
  const errors = []
  await new Promise((resolve, reject) => {
    res.on('finish', resolve)
    let isCalled = false
    middleware(req, res, (error) => {
      if (isCalled) {
        late.push(error?.message)
        return
      }
      isCalled = true
      if (error) {
        errors.push(error.message)
        res.statusCode = 500
        res.end()
        return
      }
      Promise.resolve(handler(req, res)).catch(reject)
    })
  })
  // What is told late.
  await turn()
  const { cookies, body } = wire
  return { status: [res.statusCode, res.statusMessage], cookies, body, errors, late }
}

// Lets everything happen that is due.
export function turn() {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}
