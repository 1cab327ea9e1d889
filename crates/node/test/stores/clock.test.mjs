// Audit M1: the clock of one machine ends no session that is live by the store's clock, or by another machine's.
//
// A store that returns sessions by the caller's clock leaves the record of one that is over by it.

import assert from 'node:assert/strict'
import { afterEach, describe, mock, test } from 'node:test'

import session from 'express-session-rs'
import { missingServer } from '../../testing/servers.mjs'
import { options, sessionOf } from '../../testing/sides.mjs'
import { allStores } from '../../testing/stores.mjs'
import { answer } from '../../testing/wire.mjs'

const HOUR = 3_600_000
// The stores whose server alone says whether a session has ended.
const JUDGES = ['redis', 'memcached']

afterEach(() => mock.timers.reset())

for (const [name, open, server] of allStores('clock')) {
  describe(name, { skip: missingServer(server) }, () => {
    for (const integrity of [false, true]) {
      const how = integrity ? 'with integrity' : 'without integrity'
      test(`an explicit save on a machine whose clock is ahead ends no session: ${how}`, async () => {
        const store = open()
        const use = session({ ...options({ store, integrity, cookie: { maxAge: HOUR } }), genid: undefined })
        const login = await answer(use, {}, (req, res) => {
          req.session.user = 'bob'
          res.end('ok')
        })
        const headers = { cookie: login.cookies[0].split(';')[0] }
        const now = Date.now()
        mock.timers.enable({ apis: ['Date'], now: now + HOUR / 2 })
        let id
        let error
        await answer(use, { headers }, async (req, res) => {
          id = req.sessionID
          assert.equal(req.session.user, 'bob')
          req.session.seen = true
          // The clock of a machine that is ahead, or was set while the request ran.
          mock.timers.setTime(now + 25 * HOUR)
          error = await new Promise((resolve) => req.session.save(resolve))
          res.end('ok')
        })
        mock.timers.reset()
        const stored = await store.get(id)
        assert.deepEqual([stored?.user, stored?.seen], ['bob', JUDGES.includes(name) ? true : undefined])
        if (JUDGES.includes(name)) assert.ifError(error)
        await store.destroy(id)
        await store.close()
      })
    }

    for (const limit of ['idleTimeout', 'absoluteTimeout']) {
      test(`a limit by a clock that is ahead ends no session: ${limit}`, async () => {
        const store = open()
        const use = session({ ...options({ store, integrity: true, [limit]: HOUR }), genid: undefined })
        const login = await answer(use, {}, (req, res) => {
          req.session.user = 'bob'
          res.end('ok')
        })
        const headers = { cookie: login.cookies[0].split(';')[0] }
        const visit = async () => {
          let found
          await answer(use, { headers }, (req, res) => {
            found = [req.session.user, req.session.endedBy]
            res.end('ok')
          })
          return found
        }
        mock.timers.enable({ apis: ['Date'], now: Date.now() + 25 * HOUR })
        const ended = JUDGES.includes(name) ? limit.replace('Timeout', '') : undefined
        assert.deepEqual(await visit(), [undefined, ended])
        mock.timers.reset()
        assert.deepEqual(await visit(), ['bob', undefined])
        await store.close()
      })
    }

    const ways = [
      ['without integrity', { integrity: false }],
      ['with mergeChanges', { departures: ['mergeChanges'] }],
      ['with integrity', { integrity: true }]
    ]
    for (const [how, more] of ways) {
      // For files the time of the last access counts, as in session-file-store, which writes the file again too.
      if (name === 'file' && !more.integrity) continue
      test(`an explicit save brings no session back that is over: ${how}`, async () => {
        const [store, other] = [open(), open()]
        const use = session({ ...options({ store, ...more, cookie: { maxAge: HOUR } }), genid: undefined })
        const login = await answer(use, {}, (req, res) => {
          req.session.user = 'bob'
          res.end('ok')
        })
        const headers = { cookie: login.cookies[0].split(';')[0] }
        const now = Date.now()
        let id
        let error
        await answer(use, { headers }, async (req, res) => {
          id = req.sessionID
          req.session.seen = true
          mock.timers.enable({ apis: ['Date'], now: now + 2 * HOUR })
          // As the store does by its own clock.
          await other.destroy(id)
          error = await new Promise((resolve) => req.session.save(resolve))
          // The job goes on, and tries again.
          await req.session.save().catch(() => {})
          res.end('ok')
        })
        assert.equal(await store.get(id), null)
        mock.timers.reset()
        assert.equal(await store.get(id), null)
        assert.equal(error?.code, more.integrity === false ? undefined : 'ERR_SESSION_ENDED')
        for (const each of new Set([store, other])) await each.close()
      })
    }

    test('a clock ahead ends no session that was not touched, and one without a lifetime is deleted', async () => {
      const store = open()
      const now = Date.now()
      await store.set('sid', sessionOf(HOUR, 1))
      const stale = sessionOf(HOUR, 2)
      mock.timers.enable({ apis: ['Date'], now: now + 25 * HOUR })
      const error = await store.set('sid', stale).then(() => null, (error) => error)
      await store.touch('sid', stale)
      mock.timers.reset()
      assert.equal((await store.get('sid')).views, JUDGES.includes(name) ? 2 : 1)
      if (JUDGES.includes(name)) assert.ifError(error)
      if (name !== 'file') {
        await store.set('sid', sessionOf(-1, 3))
        assert.equal(await store.get('sid'), null)
      }
      await store.destroy('sid')
      await store.close()
    })
  })
}
