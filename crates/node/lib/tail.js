'use strict'

// The end of a response, held back until the store has answered.

const debug = require('debug')('express-session')

// The headers and the body leave at once, but for the end of it: with a known length the last byte,
// else what marks the end. A client so knows that there is more to come, and waits for it.
exports.Tail = class Tail {
  constructor(res, write, end, chunk, encoding) {
    this.res = res
    this.write = write
    this.end = end
    this.chunk = chunk
    this.encoding = encoding
    this.isWhole = true
    this.result = undefined
  }

  // Sends what does not wait. Nothing is left of it where the store has answered already.
  lead() {
    const { res } = this
    if (!this.isWhole) return this.result
    if (!res._header) res._implicitHeader()
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
    this.isWhole = false
    return this.result
  }

  // Sends the rest.
  release() {
    if (!this.isWhole) {
      this.end.call(this.res)
      return
    }
    this.result = this.end.call(this.res, this.chunk, this.encoding)
    this.isWhole = false
  }
}
