'use strict'

// A response that is held back: to the application it looks as if it had been sent.

const { nextTick } = require('./timers')

module.exports = { closeResponse }

// The methods that throw, each with Node's word for what it does.
const REFUSED = { setHeader: 'set', setHeaders: 'set', appendHeader: 'append', removeHeader: 'remove', writeHead: 'write' }

// The properties of a closed response.
const CLOSED = { headersSent: { get: () => true }, flushHeaders: method(() => {}), write: method(refuseWrite) }
for (const [name, verb] of Object.entries(REFUSED)) CLOSED[name] = method(() => refuse(verb))
const NAMES = Object.keys(CLOSED)

// The prototypes of closed responses, by those of open ones.
const closedPrototypes = new WeakMap()

// Closes the status, the headers and the body, and returns a function that opens them again, as they were. A response
// inherits what is closed, because each property that it had and lost would make it slower until it is collected.
function closeResponse(res) {
  const isHttp2 = res.req?.httpVersionMajor === 2
  const { statusCode } = res
  // HTTP/2 has no message, and Node warns if it is read.
  const statusMessage = isHttp2 ? undefined : res.statusMessage
  const prototype = Object.getPrototypeOf(res)
  let closed = closedPrototypes.get(prototype)
  if (!closed) closedPrototypes.set(prototype, (closed = Object.create(prototype, CLOSED)))
  const own = []
  for (const name of NAMES) {
    if (!Object.hasOwn(res, name)) continue
    const descriptor = Object.getOwnPropertyDescriptor(res, name)
    own.push([name, descriptor])
    // An assignment is faster, and a wrapper of `writeHead` is always there.
    if (descriptor.writable && CLOSED[name].value) res[name] = CLOSED[name].value
    else Object.defineProperty(res, name, { ...CLOSED[name], configurable: true })
  }
  Object.setPrototypeOf(res, closed)
  return function open() {
    Object.setPrototypeOf(res, prototype)
    for (const [name, descriptor] of own) {
      if (descriptor.writable && CLOSED[name].value) res[name] = descriptor.value
      else Object.defineProperty(res, name, descriptor)
    }
    // As in Node, a status that is set after the headers is not sent.
    res.statusCode = statusCode
    if (!isHttp2) res.statusMessage = statusMessage
  }
}

function method(value) {
  return { value, writable: true }
}

function refuse(verb) {
  const message = `Cannot ${verb} headers after they are sent to the client`
  throw Object.assign(new Error(message), { code: 'ERR_HTTP_HEADERS_SENT' })
}

// Reports the error to the callback only. Node also emits `error`, which ends the process of an application without a
// listener.
function refuseWrite(...args) {
  const fn = args.find((arg) => typeof arg === 'function')
  const error = Object.assign(new Error('write after end'), { code: 'ERR_STREAM_WRITE_AFTER_END' })
  if (fn) nextTick(fn, error)
  return false
}
