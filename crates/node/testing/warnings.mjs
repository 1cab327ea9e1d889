// The warnings of this process, in the place of Node's own listener, which prints them to standard error.

process.removeAllListeners('warning')

const all = []
process.on('warning', (warning) => all.push(warning))

// Runs a function, and returns its warnings as [code without its prefix, text].
export async function warningsOf(play) {
  all.length = 0
  await play()
  // Node emits a warning in the next tick.
  await new Promise((resolve) => setImmediate(resolve))
  return all.map(({ name, code, message }) => {
    if (name !== 'ExpressSessionWarning' || !code.startsWith(PREFIX)) throw new Error(`${name} ${code}: ${message}`)
    return [code.slice(PREFIX.length), message]
  })
}

const PREFIX = 'EXPRESS_SESSION_'
