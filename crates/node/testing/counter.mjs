// A view counter with a renewal, a reload and a logout, which make every kind of store call.

import { Browser, serve } from './browser.mjs'

// Serves the counter until the test ends, and returns a visitor.
export async function visit(t, middleware) {
  const url = await serve(t, (req, res) => {
    middleware(req, res, (error) => {
      if (error) return res.end(`failed: ${error.message}`)
      if (!req.session) return res.end('no session')
      answer(req, res)
    })
  })
  return new Browser(url)
}

function answer(req, res) {
  const done = (text) => (error) => res.end(error ? `failed: ${error.message}` : String(text()))
  switch (req.url) {
    case '/look':
      return res.end(String(req.session.views ?? 'nothing'))
    case '/renew':
      return req.session.regenerate(done(() => 'new'))
    case '/reload':
      req.session.views = 100
      return req.session.reload(done(() => req.session.views))
    case '/leave':
      return req.session.destroy(done(() => 'bye'))
    default:
      req.session.views = (req.session.views ?? 0) + 1
      return res.end(String(req.session.views))
  }
}
