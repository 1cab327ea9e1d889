'use strict'

// Texts of a session, to be compared: two that are equal are no change.

// Of a session with nothing in it.
const EMPTY = '{}'

module.exports = { EMPTY, settingsOf, textOf }

// Gives the text of a session's data, without its cookie.
function textOf(session) {
  // What decides itself how it is written gets to do so.
  if (typeof session.toJSON === 'function') {
    return JSON.stringify(session, function (key, value) {
      return this === session && key === 'cookie' ? undefined : value
    })
  }
  const { cookie: _, ...data } = session
  return JSON.stringify(data)
}

// Gives the text of what a handler can set of a cookie. Its end moves by itself.
function settingsOf(cookie) {
  return JSON.stringify({ ...cookie.data, expires: undefined })
}
