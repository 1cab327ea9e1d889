// Builds the addon with cargo, and copies it to the path that lib/native.js loads.

import { copyFileSync, renameSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { build } from './cargo.mjs'

const addon = fileURLToPath(new URL('../express-session.node', import.meta.url))

const files = build('express-session-node', 'express_session_node', ['--release'])
// The name of a library depends on the platform.
const library = files.find((file) => /\.(so|dylib|dll)$/.test(file))
if (!library) throw new Error('cargo has not built a library')

// Renamed instead of overwritten, because a process may have the old one loaded.
copyFileSync(library, `${addon}.new`)
renameSync(`${addon}.new`, addon)
