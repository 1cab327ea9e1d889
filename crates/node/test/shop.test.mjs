// A shop of three services (express-session, this package and axum) behind one reverse proxy, on one Redis. Each
// request goes to a random service, and the visitors must see the pages of a shop with one service.

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'

import { openChromium, withoutChromium } from '../testing/chromium.mjs'
import { openNpmStore } from '../testing/npm-store.mjs'
import { missingNpmStores, missingServer, urls } from '../testing/servers.mjs'
import { openShop } from '../testing/shop/open.mjs'
import { Browser } from '../testing/browser.mjs'
import { Visitor } from '../testing/shop/visitor.mjs'

const STEPS = 300

const SEED = Number(process.env.EXPRESS_SESSION_SHOP_SEED ?? randomInt(2 ** 31))

// The Redis database, which no other test uses.
const DATABASE = 15

// The acts of visitors, each repeated by its weight.
const ACTS = Object.entries({ count: 6, look: 4, cart: 3, login: 2, renew: 2, logout: 2, replay: 1 })
  .flatMap(([act, weight]) => Array(weight).fill(act))

const NAMES = ['ada', "O'Neil & <b>sons</b>", 'Zoë "☃"', '日本 \u{1f980}', '%2C; = {}', '']

const skip = missingServer('redis') || missingNpmStores()

for (const store of ['connect-redis', 'native']) {
  test(`visitors have one session in three services, with the store ${store} for express-session-rs`, { skip }, async (t) => {
    t.diagnostic(`EXPRESS_SESSION_SHOP_SEED=${SEED}`)
    const draw = seededDraw(SEED)
    const records = await openNpmStore('redis', { url: urls.redis, place: DATABASE, options: { prefix: 'shop:' } })
    t.after(() => records.close())
    await records.empty()
    const shop = await openShop(t, records.url, store, draw)
    const browsers = [new Browser(), new Browser()]
    if (!withoutChromium()) browsers.push(await openChromium())
    t.after(() => Promise.all(browsers.map((browser) => browser.close())))
    const visitors = browsers.map((browser) => new Visitor(shop, browser))
    // Opens a page with the forms.
    for (const visitor of visitors) await visitor.play('look')
    // The first visitor comes most often, and Chromium, which is slow, least often.
    const turns = [...visitors, ...Array(3).fill(visitors[0]), visitors[1]]

    const played = []
    try {
      for (let step = 0; step < STEPS; step++) {
        const visitor = draw(turns)
        const act = draw(ACTS)
        played.push(`${visitors.indexOf(visitor)} ${act}`)
        await visitor.play(act, draw(NAMES))
        const stored = visitors.filter(({ isStored }) => isStored)
        assert.equal((await records.ids()).length, stored.length, 'destroyed sessions leave no records')
      }
    } catch (error) {
      t.diagnostic(`failed at step ${played.length}: … ${played.slice(-10).join(', ')}`)
      throw error
    }
    for (const { name, requests } of shop.services) {
      assert(requests > STEPS / 5, `${name} has answered ${requests} times`)
    }
  })
}

// Returns a function that draws an element of a list, reproducible by the seed: mulberry32.
function seededDraw(seed) {
  let state = seed
  return (list) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return list[Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * list.length)]
  }
}
