// Answers the fuzzer's questions by the packages that express-session itself uses: one question a line
// in, one answer a line out. The answer is null if the package throws.

import { createRequire } from 'node:module'
import readline from 'node:readline'

const packages = createRequire(new URL('../../conformance/node/package.json', import.meta.url))
const cookie = packages('cookie')
const signature = packages('cookie-signature')
const Store = packages('express-session/session/store')

let clock = 0
Date.now = () => clock

// There is an answer, but ours may be another.
const skip = { skip: true }

const isAscii = (text) => /^[\0-\x7f]*$/.test(text)

// The form of ECMA-262 §21.4.1.32 with a zone, and that of toUTCString: those that sessions are stored with.
const isStored = (text) =>
  /^([+-]\d\d)?\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?)?)?$/.test(text) ||
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/.test(text)

const judges = {
  cookie_header({ header }) {
    const all = Object.entries(cookie.parse(header))
    return Object.fromEntries(all.filter(([name]) => isAscii(name) && name !== '__proto__'))
  },

  date({ text, millis }) {
    const date = new Date(millis)
    return {
      millis: text === null ? null : new Date(text).getTime(),
      iso: date.toISOString(),
      utc: date.toUTCString(),
    }
  },

  record_text({ text, reserved }) {
    const record = attempt(() => JSON.parse(text))
    const isRecord = record && typeof record === 'object' && !Array.isArray(record)
    if (!isRecord || !Object.hasOwn(record, 'cookie')) return null
    for (const name of reserved) delete record[name]
    return JSON.stringify(record)
  },

  set_cookie(question) {
    const { name, value, path, domain, httpOnly, secure, partitioned, priority, sameSite } = question
    const expires = question.expires === null
      ? (question.lives ? new Date(NaN) : null)
      : new Date(question.expires)
    const options = { path, domain, httpOnly, secure, partitioned, expires }
    if (priority !== null) options.priority = priority
    if (sameSite !== null) options.sameSite = sameSite
    return attempt(() => cookie.serialize(name, value, options)) ?? null
  },

  stored_cookie({ text, now }) {
    clock = now
    const stored = attempt(() => JSON.parse(text))
    const known = ['originalMaxAge', 'partitioned', 'priority', 'expires', 'secure', 'httpOnly', 'domain',
      'path', 'sameSite', 'maxAge']
    if (!stored || typeof stored !== 'object' || Array.isArray(stored)) {
      // JavaScript takes the members of a text or a list for those of a cookie.
      return null
    }
    if (Object.keys(stored).some((key) => !known.includes(key))) return skip
    if (typeof stored.expires === 'string' && !isStored(stored.expires)) return skip
    const session = attempt(() =>
      new Store().createSession({ session: null }, { cookie: stored }))
    if (!session) return null
    const loaded = JSON.stringify(session.cookie)
    const touched = attempt(() => JSON.stringify(session.touch().cookie))
    return touched === undefined ? null : [loaded, touched]
  },

  token({ secret, id, values }) {
    const open = (value) => signature.unsign(value.slice(2), secret) || null
    return { sealed: 's:' + signature.sign(id, secret), opened: values.map(open) }
  },
}

function attempt(work) {
  try {
    return work()
  } catch {
    return undefined
  }
}

const lines = readline.createInterface({ input: process.stdin, crlfDelay: Infinity })
for await (const line of lines) {
  const question = JSON.parse(line)
  process.stdout.write(JSON.stringify(judges[question.target](question)) + '\n')
}
