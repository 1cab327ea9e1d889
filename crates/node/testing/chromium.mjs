// A real browser: headless Chromium, with a profile that is thrown away.
//
// `cargo xtask test --only node` installs it.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

import { chromium } from 'playwright-core'

import { folder, leftOut } from './servers.mjs'

const executablePath = (process.env.PATH ?? '')
  .split(path.delimiter)
  .map((folder) => path.join(folder, 'chromium'))
  .find((file) => fs.existsSync(file))

// Says why what needs it is left out, or `false`.
export const withoutChromium = () => leftOut(executablePath, 'Chromium')

// Starts a browser of its own. It is spoken to over a pipe, and so ends with this process however that ends.
export async function openChromium() {
  const context = await chromium.launchPersistentContext(folder(), {
    executablePath,
    // Its sandbox refuses to be root's. The only pages are ours.
    chromiumSandbox: os.userInfo().uid !== 0,
    // What it would like to know from elsewhere, it is not told.
    args: ['--no-proxy-server', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1']
  })
  return new Chromium(context)
}

class Chromium {
  #context
  #page

  constructor(context) {
    this.#context = context
    ;[this.#page] = context.pages()
  }

  // Opens a page, and gives its text.
  async open(url) {
    await this.#page.goto(url)
    return this.text()
  }

  // Fills in the fields of the page's form by their names, sends it, and gives the text of the page that comes.
  async send(form, fields = {}) {
    for (const [name, value] of Object.entries(fields)) await this.#page.fill(`${form} [name=${name}]`, value)
    const come = this.#page.waitForEvent('load')
    await this.#page.click(`${form} button`)
    await come
    return this.text()
  }

  // Reloads the page, and gives its text.
  async reload() {
    await this.#page.reload()
    return this.text()
  }

  text() {
    return this.#page.textContent('body')
  }

  // What a script of the page's gives.
  run(script) {
    return this.#page.evaluate(script)
  }

  cookies() {
    return this.#context.cookies()
  }

  // Has the cookies that `cookies` gave, and no others.
  async restore(cookies) {
    await this.#context.clearCookies()
    await this.#context.addCookies(cookies)
  }

  close() {
    return this.#context.close()
  }
}
