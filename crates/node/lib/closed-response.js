'use strict'

// A response that is held back: to the application it looks as if it had been sent.

const { nextTick } = require('./timers')

module.exports = { closeResponse }

// The methods that throw.
const refuseToSet = () => refuse('set')
const refuseToAppend = () => refuse('append')
const refuseToRemove = () => refuse('remove')
const refuseToWriteHead = () => refuse('write')

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

// Closes a response of Node's HTTP/1, which refuses all by itself once it has the text of its headers, except for the body.
// Each property that a response gets costs V8 a copy of its shape, since Express gives every response another prototype.
function closeOfNode(res) {
  const { writeHead, write } = res
  res._header = HELD
  res._headerSent = true
  res.writeHead = refuseToWriteHead
  res.write = refuseToWrite
  return () => {
    res._header = null
    res._headerSent = false
    res.writeHead = writeHead
    res.write = write
  }
}

// The text of headers that are never sent.
const HELD = 'held\r\n\r\n'

// The response keeps as its own the methods that it has inherited: V8 caches no access to an object that has lost a
// property or has got another prototype.
function closeOther(res) {
  const { setHeader, setHeaders, appendHeader, removeHeader, writeHead, flushHeaders, write } = res
  res.setHeader = refuseToSet
  if (setHeaders) res.setHeaders = refuseToSet
  if (appendHeader) res.appendHeader = refuseToAppend
  res.removeHeader = refuseToRemove
  res.writeHead = refuseToWriteHead
  res.flushHeaders = doNothing
  res.write = refuseToWrite
  closed.add(res)
  if (!Object.hasOwn(res, 'headersSent')) Object.defineProperty(res, 'headersSent', HEADERS_SENT)
  return () => {
    closed.delete(res)
    res.setHeader = setHeader
    if (setHeaders) res.setHeaders = setHeaders
    if (appendHeader) res.appendHeader = appendHeader
    res.removeHeader = removeHeader
    res.writeHead = writeHead
    res.flushHeaders = flushHeaders
    res.write = write
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

function doNothing() {}
