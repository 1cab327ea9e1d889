'use strict'

// The addon that `npm run build` makes.

const fs = require('node:fs')
const path = require('node:path')

const { platformOf } = require('./addon-platform')

const FOLDER = path.join(__dirname, '..')
const FILE = path.join(FOLDER, 'express-session.node')

module.exports = load()

function load() {
  try {
    // As text, so that bundlers find it.
    return require('../express-session.node')
  } catch (error) {
    throw explained(error)
  }
}

// Returns the error with what to do about it, or any other error unchanged.
function explained(error) {
  const build = `run "npm ci && npm run build" in ${FOLDER}, which needs Rust with cargo (https://rustup.rs)`
  const fail = (code, what) => {
    return Object.assign(new Error(`express-session-rs: ${what}: ${build}`, { cause: error }), { code })
  }
  if (error.code === 'MODULE_NOT_FOUND') return fail('ERR_ADDON_MISSING', 'the addon express-session.node is not built')
  // A bundle has the addon in another place.
  if (error.code !== 'ERR_DLOPEN_FAILED' || !fs.existsSync(FILE)) return error
  const [built, here] = [platformOf(FILE), `${process.platform} ${process.arch}`]
  if (built === undefined) return fail('ERR_ADDON_UNSUITABLE', 'express-session.node is cut off, or no addon')
  if (built !== here) return fail('ERR_ADDON_UNSUITABLE', `express-session.node is built for ${built}, not for ${here}`)
  // For example, the system has another C library, or an older one.
  const [reason] = error.message.split('\n')
  return fail('ERR_ADDON_UNSUITABLE', `express-session.node is built for another system of ${here} (${reason})`)
}
