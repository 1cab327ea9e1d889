// Builds the addon with cargo, and puts it where lib/native.js looks for it.

import { copyFileSync, renameSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { build } from './cargo.mjs'

const addon = fileURLToPath(new URL('../express-session.node', import.meta.url))

const files = build('express-session-node', 'express_session_node', ['--release'])
// What a library is called is the platform's to say.
const library = files.find((file) => /\.(so|dylib|dll)$/.test(file))
if (!library) throw new Error('cargo built no library')

// Renamed, not written over: a process that has the old one loaded keeps it.
copyFileSync(library, `${addon}.new`)
renameSync(`${addon}.new`, addon)
