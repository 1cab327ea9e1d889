// Applications, or parts of them, that several tests serve.

import passport from 'passport'
import { Strategy } from 'passport-local'

// The classic application, which counts, and a way out of it.
export function classic(express, use) {
  const app = express()
  app.use(use)
  app.get('/', (req, res) => {
    if (req.session.views) {
      req.session.views++
      res.send(`<p>Number of views: ${req.session.views}</p>`)
    } else {
      req.session.views = 1
      res.send('<p>Welcome! This is your first visit.</p>')
    }
  })
  app.get('/logout', (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.redirect('/')))
  })
  return app
}

// Passport, to whom anybody is a user who knows the password.
export function authenticator() {
  const auth = new passport.Passport()
  auth.use(new Strategy((user, password, done) => done(null, password === 'secret' && { id: user })))
  auth.serializeUser((user, done) => done(null, user.id))
  auth.deserializeUser((id, done) => done(null, { id }))
  return auth
}
