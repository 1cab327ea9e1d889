'use strict'

// The end of a response, held back until the store has answered.

const debug = require('debug')('express-session')

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
    this.result = undefined
  }

  // Sends everything but the end. Does nothing if the store has already answered.
  sendStart() {
    const { res } = this
    if (!this.isChunkPending) return this.result
    sendHeaders(res)
    if (this.chunk === null || this.chunk === undefined) return (this.result = true)
    if (Number(res.getHeader('Content-Length')) > 0) {
      const bytes = Buffer.isBuffer(this.chunk) ? this.chunk : Buffer.from(this.chunk, this.encoding)
      this.chunk = bytes
      this.encoding = undefined
      if (bytes.length !== 0) {
        debug('split response')
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
    if (this.isChunkPending) {
      this.result = this.end.call(this.res, this.chunk, this.encoding)
      this.isChunkPending = false
    } else {
      this.end.call(this.res)
    }
    return this.result
  }
}

// Sends the headers, as `write` and `end` do. A response of HTTP/2 has no `_implicitHeader`.
function sendHeaders(res) {
  if (res._header) return
  if (res._implicitHeader) res._implicitHeader()
  else res.writeHead(res.statusCode)
}
