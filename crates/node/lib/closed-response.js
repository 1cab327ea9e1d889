'use strict'

// A response that is held back: to the application it looks as if it had been sent.

const { nextTick } = require('./timers')

module.exports = { closeResponse }

// The methods that throw, each with Node's word for what it does.
const REFUSED = { setHeader: 'set', setHeaders: 'set', appendHeader: 'append', removeHeader: 'remove', writeHead: 'write' }

// The methods of a closed response.
const CLOSED = { flushHeaders() {}, write: refuseToWrite }
for (const [name, verb] of Object.entries(REFUSED)) CLOSED[name] = () => refuse(verb)

// The closed responses that are not of Node's HTTP/1.
const closed = new WeakSet()

// Closes the status, the headers and the body, and returns a function that opens them again, as they were.
function closeResponse(res) {
  const isHttp2 = res.req?.httpVersionMajor === 2
  const { statusCode } = res
  // HTTP/2 has no message, and Node warns if it is read.
  const statusMessage = isHttp2 ? undefined : res.statusMessage
  const open = res._header === null && res._headerSent === false ? closeOfNode(res) : closeOther(res)
  return () => {
    open()
    // As in Node, a status that is set after the headers is not sent.
    res.statusCode = statusCode
    if (!isHttp2) res.statusMessage = statusMessage
  }
}

// Closes a response of Node's HTTP/1. Once it has the text of its headers, it refuses others by itself, but not a body. A
// property more would cost V8 a copy of the response's shape, since Express gives every response another prototype.
function closeOfNode(res) {
  const { writeHead, write } = res
  res._header = HELD
  res._headerSent = true
  res.writeHead = CLOSED.writeHead
  res.write = CLOSED.write
  return () => {
    res._header = null
    res._headerSent = false
    res.writeHead = writeHead
    res.write = write
  }
}

// The text of headers that are never sent.
const HELD = 'held\r\n\r\n'

// Closes a response of HTTP/2 or of another runtime, which keeps as its own the methods that it has inherited: V8 caches no
// access to an object that has lost a property or has got another prototype.
function closeOther(res) {
  const before = Object.keys(CLOSED).filter((name) => res[name]).map((name) => [name, res[name]])
  for (const [name] of before) res[name] = CLOSED[name]
  closed.add(res)
  if (!Object.hasOwn(res, 'headersSent')) Object.defineProperty(res, 'headersSent', HEADERS_SENT)
  return () => {
    closed.delete(res)
    for (const [name, method] of before) res[name] = method
  }
}

// Whether the headers are sent, or the response is closed.
const HEADERS_SENT = {
  configurable: true,
  enumerable: false,
  get() {
    return closed.has(this) || Reflect.get(Object.getPrototypeOf(this), 'headersSent', this)
  }
}

function refuse(verb) {
  const message = `Cannot ${verb} headers after they are sent to the client`
  throw Object.assign(new Error(message), { code: 'ERR_HTTP_HEADERS_SENT' })
}

// Reports the error to the callback only. Node also emits `error`, which ends the process of an application without a
// listener.
function refuseToWrite(...args) {
  const fn = args.find((arg) => typeof arg === 'function')
  const error = Object.assign(new Error('write after end'), { code: 'ERR_STREAM_WRITE_AFTER_END' })
  if (fn) nextTick(fn, error)
  return false
}
