'use strict'

module.exports = { isSecure }

// Says whether a request came over HTTPS; `proxy` is the option.
function isSecure(req, proxy) {
  if (req.connection && req.connection.encrypted) return true
  if (proxy === false) return false
  // Express knows by its `trust proxy`.
  if (proxy !== true) return req.secure === true
  const [first] = (req.headers['x-forwarded-proto'] || '').split(',', 1)
  return first.trim().toLowerCase() === 'https'
}
