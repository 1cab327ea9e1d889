'use strict'

// A response that is held back: to the application it looks as if it had been sent.

module.exports = { closeResponse }

// The methods that throw, each with Node's word for what it does.
const REFUSED = { setHeader: 'set', setHeaders: 'set', appendHeader: 'append', removeHeader: 'remove', writeHead: 'write' }

// Closes the status, the headers and the body, and returns a function that opens them again, as they were.
function closeResponse(res) {
  // HTTP/2 has no message, and Node warns if it is read.
  const status = res.req?.httpVersionMajor === 2 ? ['statusCode'] : ['statusCode', 'statusMessage']
  const kept = Object.fromEntries(status.map((name) => [name, res[name]]))
  const replaced = { headersSent: { get: () => true }, flushHeaders: method(() => {}), write: method(refuseWrite) }
  for (const [name, verb] of Object.entries(REFUSED)) replaced[name] = method(() => refuse(verb))
  const before = Object.keys(replaced).map((name) => [name, Object.getOwnPropertyDescriptor(res, name)])
  for (const [name, descriptor] of Object.entries(replaced)) {
    Object.defineProperty(res, name, { configurable: true, ...descriptor })
  }
  return function open() {
    for (const [name, descriptor] of before) {
      if (descriptor) Object.defineProperty(res, name, descriptor)
      else delete res[name]
    }
    // As in Node, a status that is set after the headers is not sent.
    Object.assign(res, kept)
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
  if (fn) process.nextTick(fn, error)
  return false
}
