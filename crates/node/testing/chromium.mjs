// Headless Chromium, with a temporary profile. `cargo xtask test --only node` installs it.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

import { chromium } from 'playwright-core'

import { folder, missing } from './servers.mjs'

const executablePath = (process.env.PATH ?? '')
  .split(path.delimiter)
  .map((folder) => path.join(folder, 'chromium'))
  .find((file) => fs.existsSync(file))

// Returns why tests in Chromium are skipped, or `false`.
export const withoutChromium = () => missing(executablePath, 'Chromium')

// Starts a browser. Playwright controls it through a pipe, so that it ends with this process in any case.
export async function openChromium() {
  const context = await chromium.launchPersistentContext(folder(), {
    executablePath,
    // The sandbox does not start as root. All pages are ours.
    chromiumSandbox: os.userInfo().uid !== 0,
    // Chromium's own requests to other hosts fail.
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

  // Opens a page, and returns its text.
  async open(url) {
    await this.#page.goto(url)
    return this.#text()
  }

  async reload() {
    await this.#page.reload()
    return this.#text()
  }

  // Fills in the page's form of this id, sends it, and returns the text of the next page.
  async send(form, fields = {}) {
    for (const [name, value] of Object.entries(fields)) await this.#page.fill(`#${form} [name=${name}]`, value)
    const loaded = this.#page.waitForEvent('load')
    await this.#page.click(`#${form} button`)
    await loaded
    return this.#text()
  }

  // Runs a script in the page, and returns its result.
  run(script) {
    return this.#page.evaluate(script)
  }

  cookies() {
    return this.#context.cookies()
  }

  // Replaces the cookies by those that `cookies` returned.
  async restore(cookies) {
    await this.#context.clearCookies()
    await this.#context.addCookies(cookies)
  }

  close() {
    return this.#context.close()
  }

  #text() {
    return this.#page.textContent('body')
  }
}
