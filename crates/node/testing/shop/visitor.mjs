// A visitor of the shop, with a model of the pages that it must see, on any of the services.

import assert from 'node:assert/strict'

import { Browser } from '../browser.mjs'

const NEW_VISIT = { views: 0, cart: [] }

// The effect of each act on the visit. New entries name the service that served the request.
const ACTS = {
  count: { path: '/', change: (visit) => ({ ...visit, views: visit.views + 1 }) },
  look: { path: '/look', change: (visit) => visit },
  cart: { form: 'cart', isNamed: true, change: (visit, item) => ({ ...visit, cart: [...visit.cart, item] }) },
  login: { form: 'login', isNamed: true, isRenewed: true, change: ({ cart }, user) => ({ views: 0, cart, user }) },
  renew: { form: 'renew', isRenewed: true, change: (visit) => visit },
  logout: { form: 'logout', change: () => NEW_VISIT }
}

export class Visitor {
  #shop
  #browser
  #visit = NEW_VISIT
  #ended = []
  isStored = false

  // `browser` is a `Browser` or a `Chromium`.
  constructor(shop, browser) {
    this.#shop = shop
    this.#browser = browser
  }

  // Does something, and checks the page and the cookie.
  async play(act, name) {
    if (act === 'replay') return this.#replay()
    const { path, form, isNamed, isRenewed = false, change } = ACTS[act]
    const before = await this.#cookie()
    const page = form
      ? await this.#browser.send(form, isNamed ? { name } : {})
      : await this.#browser.open(this.#shop.url + path)
    const after = await this.#cookie()

    const served = this.#shop.served()
    assert.equal(served.length, form ? 2 : 1, 'a form leads to a page')
    this.#visit = change(this.#visit, { name, by: served[0] })
    assert.deepEqual(read(page), { by: served.at(-1), visit: this.#visit })

    const wasStored = this.isStored
    if (act !== 'look') this.isStored = act !== 'logout'
    if (wasStored && (isRenewed || act === 'logout')) this.#ended.push(before)
    if (isRenewed || (this.isStored && !wasStored)) {
      assert(after && after.value !== before?.value, 'a new session has a new cookie')
    } else if (after?.value !== before?.value) {
      // express-session does not delete the cookie.
      assert(act === 'logout' && !after, 'a cookie is deleted only with its session')
    }
  }

  // Checks that the cookies of ended sessions are worthless.
  async #replay() {
    for (const cookie of this.#ended.splice(0)) {
      const thief = new Browser()
      thief.restore([cookie])
      await new Visitor(this.#shop, thief).play('look')
    }
  }

  async #cookie() {
    const [cookie] = await this.#browser.cookies()
    if (cookie?.path) {
      const { name, path, httpOnly, secure } = cookie
      assert.deepEqual({ name, path, httpOnly, secure }, { name: 'sid', path: '/', httpOnly: true, secure: true })
    }
    return cookie
  }
}

// Reads the JSON of a page, which stands before its forms.
function read(page) {
  return JSON.parse(page.slice(page.indexOf('{'), page.lastIndexOf('}') + 1))
}
