// A request and a response without a network, so that a test can examine the output as it is written.

import http from 'node:http'
import { Writable } from 'node:stream'

// The client's side of a connection.
export class Wire extends Writable {
  text = ''

  _write(chunk, _encoding, done) {
    this.text += chunk.toString('latin1')
    done()
  }

  get head() {
    return this.text.split('\r\n\r\n')[0]
  }

  // The body as it was sent, with the marks of chunks.
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

// Returns a request, its response, and the client's side. Headers are an object or a list of pairs; `extra` has
// properties that other middlewares may have set.
export function exchange({ method = 'GET', path = '/', headers = {}, encrypted = false, extra } = {}) {
  const wire = new Wire()
  wire.encrypted = encrypted
  const req = new http.IncomingMessage(wire)
  req.httpVersionMajor = req.httpVersionMinor = 1
  req.httpVersion = '1.1'
  req.method = method
  req.url = path
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers)
  const raw = ['host', 'localhost', ...pairs.flat()]
  req._addHeaderLines(raw, raw.length)
  req.complete = true
  Object.assign(req, extra)
  const res = new http.ServerResponse(req)
  res.sendDate = false
  res.assignSocket(wire)
  return { req, res, wire }
}

// Runs a request through a middleware, and returns the response. `late` has the errors of all calls of `next` but the
// first.
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
  await turn()
  const { cookies, body } = wire
  return { status: [res.statusCode, res.statusMessage], cookies, body, errors, late }
}

// Waits until everything that is due has happened.
export function turn() {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}
