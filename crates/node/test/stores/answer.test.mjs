// The answer of a call: for listeners, and for callers that await it.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import test from 'node:test'

const { Answer } = createRequire(import.meta.url)('../../lib/stores/answer.js')

test('every listener gets the answer, also one that comes later', () => {
  const answer = new Answer()
  const got = []
  answer.listen((error, value) => got.push(['one', error, value]))
  answer.listen((error, value) => got.push(['two', error, value]))
  answer.settle(null, 17)
  answer.listen((error, value) => got.push(['late', error, value]))
  assert.deepEqual(got, [['one', null, 17], ['two', null, 17], ['late', null, 17]])
})

test('a caller can await it, before it is there and after', async () => {
  const answer = new Answer()
  const before = answer.then((value) => value + 1)
  answer.settle(null, 17)
  assert.equal(await before, 18)
  assert.equal(await answer, 17)
})

test('a caller that awaits a failure gets its error', async () => {
  const answer = new Answer()
  const before = assert.rejects(answer, /out/)
  answer.settle(new Error('out'))
  await before
  assert.equal(await answer.catch(({ message }) => message), 'out')
})

test('a failure that only listeners hear of is no unhandled rejection', async (t) => {
  t.mock.method(process, 'emit')
  new Answer().settle(new Error('out'))
  await new Promise(setImmediate)
  assert(!process.emit.mock.calls.some(({ arguments: [name] }) => name === 'unhandledRejection'))
})
