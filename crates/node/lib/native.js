'use strict'

// The addon: that of the platform's package, or the one that `npm run build` makes in a checkout.

const fs = require('node:fs')
const { createRequire } = require('node:module')
const path = require('node:path')

const { isMusl, platformOf } = require('./addon-platform')

const FOLDER = path.join(__dirname, '..')
const BUILT = 'express-session.node'

const platform = platformHere()

module.exports = load()

// Each name is a literal within `try`: bundlers find the package that is installed, and do not fail for the others.
function load() {
  let failure
  try {
    switch (platform) {
      case 'linux-x64-gnu': return require('express-session-rs-linux-x64-gnu')
      case 'linux-x64-musl': return require('express-session-rs-linux-x64-musl')
      case 'linux-arm64-gnu': return require('express-session-rs-linux-arm64-gnu')
      case 'linux-arm64-musl': return require('express-session-rs-linux-arm64-musl')
      case 'darwin-x64': return require('express-session-rs-darwin-x64')
      case 'darwin-arm64': return require('express-session-rs-darwin-arm64')
      case 'win32-x64-msvc': return require('express-session-rs-win32-x64-msvc')
      case 'win32-arm64-msvc': return require('express-session-rs-win32-arm64-msvc')
    }
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') failure = error
  }
  try {
    return require('../express-session.node')
  } catch (error) {
    throw failure ? explained(failure, `express-session-rs-${platform}`) : explained(error, BUILT)
  }
}

// Returns this platform's name in the names of the packages.
function platformHere() {
  const name = `${process.platform}-${process.arch}`
  if (process.platform === 'linux') return `${name}-${isMusl() ? 'musl' : 'gnu'}`
  return process.platform === 'win32' ? `${name}-msvc` : name
}

// Returns the error with what to do about it, or any other error unchanged.
function explained(error, name) {
  const here = `${process.platform} ${process.arch}`
  const fail = (code, what) => {
    return Object.assign(new Error(`express-session-rs: ${what}: ${remedy()}`, { cause: error }), { code })
  }
  if (error.code === 'MODULE_NOT_FOUND') return fail('ERR_ADDON_MISSING', missing())
  // A bundle has the addon in another place.
  const file = fileOf(name)
  if (error.code !== 'ERR_DLOPEN_FAILED' || !file) return error
  const built = platformOf(file)
  if (built === undefined) return fail('ERR_ADDON_UNSUITABLE', `${name} is cut off, or no addon`)
  if (built !== here) return fail('ERR_ADDON_UNSUITABLE', `${name} is built for ${built}, not for ${here}`)
  // For example, the system has an older C library.
  const [reason] = error.message.split('\n')
  return fail('ERR_ADDON_UNSUITABLE', `${name} is built for another system of ${here} (${reason})`)
}

function missing() {
  if (hasPackage()) return `the package express-session-rs-${platform} is not installed, and the addon ${BUILT} is not built`
  return `there is no package for ${platform}, and the addon ${BUILT} is not built`
}

function remedy() {
  const build = 'run "npm ci && npm run build"'
  const rust = 'which needs Rust with cargo (https://rustup.rs)'
  // Only a checkout has the scripts.
  if (fs.existsSync(path.join(FOLDER, 'scripts'))) return `${build} in ${FOLDER}, ${rust}`
  const source = `${build} in crates/node of a checkout of the repository, ${rust}, and install that folder`
  return hasPackage() ? `run "npm install" on this platform, without --omit=optional; or ${source}` : source
}

function hasPackage() {
  return require('./platforms.json').some(({ name }) => name === platform)
}

// Returns the file of a package, or of the addon that was built here, if it exists.
function fileOf(name) {
  try {
    return createRequire(__filename).resolve(name === BUILT ? path.join(FOLDER, BUILT) : name)
  } catch {
    return undefined
  }
}
