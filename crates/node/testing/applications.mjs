// Applications that several tests serve.

import { createRequire } from 'node:module'

import passport from 'passport'
import { Strategy } from 'passport-local'

const require = createRequire(import.meta.url)

export const FIRST_VISIT = 'Welcome! This is your first visit.'

// A view counter with a logout on each kind of server. Each function takes the session middleware.
export const COUNTERS = {
  express4: (use) => expressCounter(require('express4'), use),
  express5: (use) => expressCounter(require('express5'), use),
  'a plain server': plainCounter
}

function expressCounter(express, use) {
  const app = express()
  app.use(use)
  app.get('/', (req, res) => res.send(countVisit(req)))
  app.get('/logout', (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.redirect('/')))
  })
  return app
}

function plainCounter(use) {
  return (req, res) => {
    use(req, res, (error) => {
      if (error) throw error
      switch (req.url) {
        case '/':
          res.setHeader('Content-Type', 'text/html')
          res.write(countVisit(req))
          return res.end()
        case '/logout':
          return req.session.destroy(() => res.writeHead(302, { Location: '/' }).end())
        default:
          return res.writeHead(404).end()
      }
    })
  }
}

function countVisit({ session }) {
  session.views = (session.views ?? 0) + 1
  return session.views === 1 ? `<p>${FIRST_VISIT}</p>` : `<p>Number of views: ${session.views}</p>`
}

// An application with passport. Every user with the right password can log in.
export function withLogin(express, use) {
  const auth = new passport.Passport()
  auth.use(new Strategy((user, password, done) => done(null, password === 'secret' && { id: user })))
  auth.serializeUser((user, done) => done(null, user.id))
  auth.deserializeUser((id, done) => done(null, { id }))
  const app = express()
  app.use(express.urlencoded({ extended: false }), use, auth.initialize(), auth.session())
  app.get('/', (req, res) => res.send(loginPage(`hello, ${req.user?.id ?? 'guest'}`)))
  app.get('/no', (req, res) => {
    const [message] = req.session.messages.splice(0)
    res.send(loginPage(message))
  })
  const local = { successRedirect: '/', failureRedirect: '/no', failureMessage: 'no such user' }
  app.post('/login', auth.authenticate('local', local))
  app.post('/logout', (req, res, next) => req.logout((error) => (error ? next(error) : res.redirect('/'))))
  return app
}

function loginPage(text) {
  return `${text}
    <form id="login" method="post" action="/login">
      <input name="username"><input name="password" type="password"><button>Log in</button>
    </form>
    <form id="logout" method="post" action="/logout"><button>Log out</button></form>`
}
