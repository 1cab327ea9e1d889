'use strict'

// The end of a response, held back until the store has answered.

const { ServerResponse } = require('node:http')

const debug = require('debug')('express-session')

const { setImmediate, setTimeout } = require('./timers')

const { write, end } = ServerResponse.prototype

// How long the start of a short response waits for the store, so that all of it leaves in one write: half of the time of
// a response is spent in the system's calls.
const PATIENCE = { turn: setImmediate, moment: waitForMoment }
const MOMENT = 2

exports.PATIENCE = PATIENCE

// The headers and the body leave immediately, except for the end: the last byte if the length is known, otherwise
// the marker that ends the body. The client knows that the response is incomplete, and waits.
exports.ResponseEnd = class ResponseEnd {
  constructor(res, write, end, chunk, encoding) {
    this.res = res
    this.write = write
    this.end = end
    this.chunk = chunk
    this.encoding = encoding
    this.isChunkPending = true
    this.isHeld = false
    this.result = undefined
  }

  // Sends everything but the end: immediately, or after the `patience` with a store that is expected to be faster. Does
  // nothing if the store has already answered.
  sendStart(patience) {
    const { res } = this
    if (!this.isChunkPending) return this.result
    sendHeaders(res)
    if (this.chunk === null || this.chunk === undefined) return (this.result = true)
    if (!patience || !this.canHold()) return this.sendChunk()
    this.isHeld = true
    if (debug.enabled) this.debugSplit()
    // The handler's own writes after the end stay behind it.
    const { write } = this
    res.write = (...args) => {
      this.sendHeld()
      return write.apply(res, args)
    }
    patience(sendHeld, this)
    return (this.result = true)
  }

  // Checks whether the handler cannot tell the difference: nothing else sees the writes, there is room for all of it, and
  // neither call would throw.
  canHold() {
    const { res, chunk, encoding } = this
    if (this.write !== write || this.end !== end) return false
    if (encoding !== undefined && encoding !== 'utf8') return false
    if (typeof chunk !== 'string' && !Buffer.isBuffer(chunk)) return false
    const { socket } = res
    if (!socket || socket.destroyed || res._hasBody !== true || res.strictContentLength) return false
    // Node's own text of the headers, which other runtimes lack.
    if (typeof res._header !== 'string') return false
    const most = res._header.length + 3 * chunk.length + MARKS
    return socket.writableLength + most < socket.writableHighWaterMark
  }

  sendHeld() {
    if (!this.isHeld) return
    this.isHeld = false
    this.sendChunk(true)
  }

  debugSplit() {
    if (this.chunk.length > 0 && isLengthKnown(this.res)) debug('split response')
  }

  sendChunk(wasHeld = false) {
    const { res } = this
    if (isLengthKnown(res)) {
      const bytes = Buffer.isBuffer(this.chunk) ? this.chunk : Buffer.from(this.chunk, this.encoding)
      this.chunk = bytes
      this.encoding = undefined
      if (bytes.length !== 0) {
        if (!wasHeld) debug('split response')
        this.chunk = bytes.subarray(-1)
        return (this.result = this.write.call(res, bytes.subarray(0, -1)))
      }
    }
    this.result = this.write.call(res, this.chunk, this.encoding)
    this.isChunkPending = false
    return this.result
  }

  // Sends the rest, and returns what `res.end` returns to the handler.
  sendEnd() {
    this.isHeld = false
    if (this.isChunkPending) {
      this.result = this.end.call(this.res, this.chunk, this.encoding)
      this.isChunkPending = false
    } else {
      this.end.call(this.res)
    }
    return this.result
  }
}

// More than the marks around a chunk.
const MARKS = 64

function isLengthKnown(res) {
  return Number(res.getHeader('Content-Length')) > 0
}

// Sends the headers, as `write` and `end` do. A response of HTTP/2 has no `_implicitHeader`.
function sendHeaders(res) {
  if (res._header) return
  if (res._implicitHeader) res._implicitHeader()
  else res.writeHead(res.statusCode)
}

function sendHeld(responseEnd) {
  responseEnd.sendHeld()
}

// The calls that are due within a moment: one timer for all.
let due = []

// Calls a function with its argument within a moment, after the answers that have arrived by then.
function waitForMoment(fn, argument) {
  if (due.push([fn, argument]) === 1) setTimeout(endMoment, MOMENT)
}

function endMoment() {
  setImmediate(callAll, due)
  due = []
}

function callAll(calls) {
  for (const [fn, argument] of calls) fn(argument)
}
