'use strict'

module.exports = { isHttps }

// Checks whether a request came over HTTPS; `proxy` is the middleware's option.
function isHttps(req, proxy) {
  if (req.connection && req.connection.encrypted) return true
  if (proxy === false) return false
  // Express decides by its `trust proxy` setting.
  if (proxy !== true) return req.secure === true
  const [first] = (req.headers['x-forwarded-proto'] || '').split(',', 1)
  return first.trim().toLowerCase() === 'https'
}
