// One visitor, three services: express-session, this package and axum behind one reverse proxy, on one Redis. Who
// answers is drawn for each request, and what must be seen is what a shop of one service would show.

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'

import { withoutChromium } from '../testing/chromium.mjs'
import { openNpmStore } from '../testing/npm-store.mjs'
import { hasNpmStores, leftOut, urls } from '../testing/servers.mjs'
import { openShop } from '../testing/shop/open.mjs'
import { ChromiumVisitor, FetchVisitor } from '../testing/shop/visitors.mjs'

const STEPS = 300

const SEED = Number(process.env.EXPRESS_SESSION_SHOP_SEED ?? randomInt(2 ** 31))

// Of Redis's sixteen databases, one that no other test uses.
const DATABASE = 15

// What visitors do, the more often the more usual.
const ACTS = Object.entries({ count: 6, look: 4, cart: 3, login: 2, renew: 2, logout: 2, replay: 1 })
  .flatMap(([act, weight]) => Array(weight).fill(act))

const NAMES = ['ada', "O'Neil & <b>sons</b>", 'Zoë "☃"', '日本 \u{1f980}', '%2C; = {}', '']

const skip = leftOut(urls.redis, 'the server of redis') || leftOut(hasNpmStores, 'connect-redis')

for (const store of ['connect-redis', 'native']) {
  test(`one visitor, three services, express-session-rs with its store ${store}`, { skip }, async (t) => {
    t.diagnostic(`EXPRESS_SESSION_SHOP_SEED=${SEED}`)
    const draw = drawing(SEED)
    const records = await openNpmStore('redis', { url: urls.redis, place: DATABASE, options: { prefix: 'shop:' } })
    t.after(() => records.close())
    await records.empty()
    const shop = await openShop(t, records.url, store, draw)
    const visitors = [new FetchVisitor(shop), new FetchVisitor(shop)]
    if (!withoutChromium()) visitors.push(await ChromiumVisitor.open(t, shop))
    // The first comes most often, and Chromium, which takes its time, less.
    const turns = [...visitors, ...Array(3).fill(visitors[0]), visitors[1]]

    const played = []
    try {
      for (let step = 0; step < STEPS; step++) {
        const visitor = draw(turns)
        const act = draw(ACTS)
        played.push(`${visitors.indexOf(visitor)} ${act}`)
        await visitor.play(act, draw(NAMES))
        const living = visitors.filter(({ isStored }) => isStored)
        assert.equal((await records.ids()).length, living.length, 'sessions that have ended leave nothing')
      }
    } catch (error) {
      t.diagnostic(`it went wrong at step ${played.length}: … ${played.slice(-10).join(', ')}`)
      throw error
    }
    for (const { name, requests } of shop.services) {
      assert(requests > STEPS / 5, `${name} has answered ${requests} times`)
    }
  })
}

// Gives a function that draws one of a list, the same for the same seed: mulberry32.
function drawing(seed) {
  let state = seed
  return (list) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return list[Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * list.length)]
  }
}
