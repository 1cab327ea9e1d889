// Visitors of the shop, who know what they must see there whoever answers: the model, and two ways to visit.

import assert from 'node:assert/strict'

import { Browser } from '../browser.mjs'
import { openChromium } from '../chromium.mjs'

// What a visit is before anything has happened.
const NOBODY = { views: 0, cart: [] }

// What each act does to a visit. What is new in it says who served the request.
const ACTS = {
  count: { path: '/', change: (visit) => ({ ...visit, views: visit.views + 1 }) },
  look: { path: '/look', change: (visit) => visit },
  cart: { form: 'cart', isNamed: true, change: (visit, item) => ({ ...visit, cart: [...visit.cart, item] }) },
  login: { form: 'login', isNamed: true, isRenewed: true, change: ({ cart }, user) => ({ views: 0, cart, user }) },
  renew: { form: 'renew', isRenewed: true, change: (visit) => visit },
  logout: { form: 'logout', change: () => NOBODY }
}

// A way to visit has `open(path)`, `send(form, fields)`, which give a page's text, and `cookie()`.
class Visitor {
  #visit = NOBODY
  #ended = []
  isStored = false

  constructor(shop) {
    this.shop = shop
  }

  // Does something under a name, and says that what comes is right.
  async play(act, name) {
    if (act === 'replay') return this.#replay()
    const { path, form, isNamed, isRenewed = false, change } = ACTS[act]
    const before = await this.cookie()
    const page = form ? await this.send(form, isNamed ? { name } : {}) : await this.open(path)
    const after = await this.cookie()

    const served = this.shop.served()
    assert.equal(served.length, form ? 2 : 1, 'a form leads to a page')
    this.#visit = change(this.#visit, { name, by: served[0] })
    assert.deepEqual(read(page), { by: served.at(-1), visit: this.#visit })

    const wasStored = this.isStored
    if (act !== 'look') this.isStored = act !== 'logout'
    if (wasStored && (isRenewed || act === 'logout')) this.#ended.push(before)
    if (isRenewed || (this.isStored && !wasStored)) {
      assert(after && after !== before, 'a new session has a new cookie')
    } else if (after !== before) {
      // express-session leaves it where it is.
      assert(act === 'logout' && !after, 'a cookie goes only with its session')
    }
  }

  // Somebody who kept the cookies of sessions that have ended gets nowhere with them.
  async #replay() {
    for (const cookie of this.#ended.splice(0)) {
      const stranger = new FetchVisitor(this.shop, { sid: cookie })
      await stranger.play('look')
    }
  }
}

// A client that keeps cookies.
export class FetchVisitor extends Visitor {
  #browser

  constructor(shop, jar = {}) {
    super(shop)
    this.#browser = Object.assign(new Browser(shop.url), { jar })
  }

  open(path) {
    return this.#browser.text(path)
  }

  send(form, fields) {
    return this.#browser.text(`/${form}`, { method: 'POST', body: new URLSearchParams(fields) })
  }

  cookie() {
    return this.#browser.jar.sid
  }
}

// A real browser.
export class ChromiumVisitor extends Visitor {
  #browser

  // Ends with the test.
  static async open(t, shop) {
    const visitor = new ChromiumVisitor(shop)
    visitor.#browser = await openChromium()
    t.after(() => visitor.#browser.close())
    await visitor.play('look')
    return visitor
  }

  open(path) {
    return this.#browser.open(this.shop.url + path)
  }

  send(form, fields) {
    return this.#browser.send(`#${form}`, fields)
  }

  async cookie() {
    const [cookie] = await this.#browser.cookies()
    if (!cookie) return
    const { value, name, path, httpOnly, secure } = cookie
    assert.deepEqual({ name, path, httpOnly, secure }, { name: 'sid', path: '/', httpOnly: true, secure: true })
    return value
  }
}

// What a page says: its JSON stands before its forms.
function read(page) {
  return JSON.parse(page.slice(page.indexOf('{'), page.lastIndexOf('}') + 1))
}
