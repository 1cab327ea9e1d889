'use strict'

// Snapshots of a session as text. Two equal snapshots mean that nothing has changed.

// The data of a session with nothing in it.
const EMPTY_DATA = '{}'

module.exports = { EMPTY_DATA, snapshotCookie, snapshotData }

// Returns the session's data as JSON, without its cookie.
function snapshotData(session) {
  // An object with a `toJSON` method decides how it is written.
  if (typeof session.toJSON === 'function') {
    return JSON.stringify(session, function (key, value) {
      return this === session && key === 'cookie' ? undefined : value
    })
  }
  const { cookie: _, ...data } = session
  return JSON.stringify(data)
}

// Returns the cookie's settings as JSON, without `expires`, which moves with every touch.
function snapshotCookie(cookie) {
  return JSON.stringify({ ...cookie.data, expires: undefined })
}
