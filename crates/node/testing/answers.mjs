// An application whose responses wait for the store, each in another way: it visits its own pages, and prints the status
// and the body of each, and the errors that have reached its error handler. Started by `install.test.mjs`, where the
// packages are installed.

import express from 'express'
import session from 'express-session-rs'
import { MemoryStore } from 'express-session-rs/stores'

const pages = {
  send: (req, res) => res.send('sent'),
  json: (req, res) => res.json({ sent: true }),
  end: (req, res) => res.end('ended'),
  buffer: (req, res) => res.send(Buffer.from('bytes')),
  large: (req, res) => res.send('x'.repeat(100_000)),
  empty: (req, res) => res.status(204).end(),
  head: (req, res) => { res.writeHead(200, { 'Content-Length': 4 }); res.end('head') },
  parts: async (req, res) => { res.write('first '); await later(); res.end('last') },
  saved: async (req, res) => { await req.session.save(); res.send('saved') },
  again: async (req, res) => { await req.session.save(); await req.session.reload(); res.send('again') },
  other: async (req, res) => { await req.session.regenerate(); req.session.views = 0; res.send('other') },
  gone: async (req, res) => { await req.session.destroy(); res.send('gone') }
}

const errors = []
for (const [name, store] of [['session.MemoryStore'], ['MemoryStore', new MemoryStore()]]) {
  for (const more of name === 'MemoryStore' ? [{}, { integrity: true }] : [{}]) {
    const app = express()
    app.use(session({ secret: process.env.SESSION_SECRET, resave: false, saveUninitialized: true, store, ...more }))
    for (const [page, answer] of Object.entries(pages)) {
      for (const isLater of [false, true]) {
        app.get(`/${page}/${isLater ? 'later' : 'now'}`, async (req, res) => {
          if (isLater) await later()
          req.session.views = (req.session.views ?? 0) + 1
          await answer(req, res)
        })
      }
    }
    app.use((error, req, res, next) => {
      errors.push(error.stack)
      next(error)
    })
    await visit(app, `${name} ${JSON.stringify(more)}`)
  }
}
console.log(JSON.stringify(errors))
process.exit()

async function visit(app, name) {
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  let cookie = ''
  for (const page of Object.keys(pages)) {
    for (const when of ['now', 'later']) {
      const url = `http://127.0.0.1:${server.address().port}/${page}/${when}`
      const answer = await fetch(url, { headers: { cookie }, signal: AbortSignal.timeout(10_000) })
      const sent = answer.headers.get('set-cookie')
      if (sent) cookie = sent.split(';')[0]
      const text = (await answer.text()).slice(0, 60)
      console.log(`${name} ${page} ${when}: ${answer.status} ${text}${sent ? ', with a cookie' : ''}`)
    }
  }
}

function later() {
  return new Promise((resolve) => setTimeout(resolve, 5))
}
