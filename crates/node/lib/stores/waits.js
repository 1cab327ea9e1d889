'use strict'

// The pauses of requests that have to wait for another one, and the times of the locks, in milliseconds.

const { setTimeout } = require('../timers')

module.exports = {
  // After failed attempts to save, and between the questions for a lock. Each pause is a random part, so that the requests
  // that failed together do not meet again.
  SAVE: { shortest: 2, longest: 32 },
  LOCK: { shortest: 10, longest: 160 },
  times: { wait: 10_000, lease: 30_000 },
  pause
}

function pause({ shortest, longest }, attempts) {
  const most = Math.min(longest, shortest * 2 ** attempts)
  return new Promise((resolve) => setTimeout(resolve, Math.random() * most))
}
