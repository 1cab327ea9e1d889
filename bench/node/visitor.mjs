// The visitors of contention.mjs, in a process of their own.
//
// `node visitor.mjs` takes a measurement for each line of its standard input, `visits PORT` or `logins PORT`, and answers
// with the time in milliseconds and the number of failures, as JSON.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { answer, inTurn, measure } from './measure.mjs'

const VISITS = 400
const LOGINS = 100

const agent = new http.Agent({ keepAlive: true, maxFreeSockets: VISITS })

await answer({
  // One visitor's concurrent requests.
  async visits(port) {
    const { cookie, body } = await request(port, '/')
    await body()
    return measure(() => Promise.allSettled(Array.from({ length: VISITS }, () => visit(port, cookie))))
  },
  // Logins of visitors without a session, and of as many who have one. A login fails if the next page does not know the
  // user.
  logins: (port) => measure(() => inTurn(Array(LOGINS).keys(), (number) => login(port, number % 2 === 1)))
})

async function visit(port, cookie) {
  const { status, body } = await request(port, '/', cookie)
  await body()
  assert.equal(status, 200)
}

// A client follows a redirect as soon as it has the headers.
async function login(port, hasSession) {
  const earlier = hasSession ? await request(port, '/') : undefined
  await earlier?.body()
  const { status, cookie, body } = await request(port, '/login', earlier?.cookie)
  assert.equal(status, 302)
  const page = await request(port, '/user', cookie ?? earlier.cookie)
  assert.equal(await page.body(), 'bob')
  await body()
}

// Resolves with the headers of a response.
async function request(port, path, cookie) {
  const sent = http.get({ host: '127.0.0.1', port, path, agent, headers: cookie ? { cookie } : {} })
  const [response] = await once(sent, 'response')
  return {
    status: response.statusCode,
    cookie: response.headers['set-cookie']?.[0].split(';')[0],
    body: async () => (await response.setEncoding('utf8').toArray()).join('')
  }
}
