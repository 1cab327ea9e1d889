// The effect of overlapping requests on a session, with express-session and with this package: `node examples/overlap.mjs`.

import http from 'node:http'
import { setTimeout } from 'node:timers/promises'

import expressSession from 'express-session'
import expressSessionRs from 'express-session-rs'
import { MemoryStore } from 'express-session-rs/stores'

const OPTIONS = { secret: 'only for this example', resave: false, saveUninitialized: false }

await show('express-session', expressSession({ ...OPTIONS, store: new expressSession.MemoryStore() }))
await show('express-session-rs', expressSessionRs({ ...OPTIONS, store: new MemoryStore(), integrity: true }))

async function show(name, use) {
  const server = http.createServer((req, res) => use(req, res, () => answer(req, res)))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  let cookie = ''
  const get = async (path) => {
    const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers: { cookie } })
    cookie = response.headers.get('set-cookie')?.split(';')[0] ?? cookie
    return response.text()
  }

  await get('/login')
  await Promise.all(Array.from({ length: 20 }, (_, number) => get(`/basket/${number}`)))
  const items = await get('/')
  const late = get('/basket/late')
  await setTimeout(50)
  await get('/logout')
  await late
  const end = (await get('/')) === 'logged out' ? 'has ended the session' : 'was undone by a late request'
  console.log(`${name}: ${items} of 20 items are in the basket, and the logout ${end}`)
  server.close()
}

// Puts items into the session, each as a member of its own.
async function answer({ url, session }, res) {
  if (url === '/login') session.user = 'ada'
  else if (url === '/logout') await new Promise((resolve) => session.destroy(resolve))
  else if (url.startsWith('/basket/')) {
    session[url] = true
    await setTimeout(200)
  }
  res.end(session.user ? String(Object.keys(session).filter((key) => key.startsWith('/basket')).length) : 'logged out')
}
