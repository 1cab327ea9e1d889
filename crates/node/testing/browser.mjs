// A server on a free port of the loopback interface, and a visitor that keeps cookies.

import http from 'node:http'

// Serves until the test ends, and returns the URL.
export async function serve(t, app) {
  const server = app instanceof http.Server ? app : http.createServer(app)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => new Promise((resolve) => {
    server.close(resolve)
    server.closeAllConnections()
  }))
  return `http://127.0.0.1:${server.address().port}`
}

// A visitor without a browser, with the methods of `Chromium`: it fetches pages, follows redirects and keeps cookies.
export class Browser {
  // The cookies by name: each value with its attributes.
  jar = {}

  constructor(url, headers = {}) {
    this.url = url
    this.headers = headers
  }

  // Opens a page, and returns its text.
  async open(url) {
    return (await this.text(url)).replace(/<[^>]*>/g, '')
  }

  reload() {
    return this.open(this.url)
  }

  // Posts a form, whose id is also its path.
  send(form, fields = {}) {
    return this.text(`/${form}`, { method: 'POST', body: new URLSearchParams(fields) })
  }

  // Returns the source of a page.
  async text(path, request = {}) {
    this.url = new URL(path, this.url).href
    const cookie = this.cookies().map(({ name, value }) => `${name}=${value}`).join('; ')
    const response = await fetch(this.url, {
      ...request,
      headers: { ...this.headers, ...(cookie && { cookie }) },
      redirect: 'manual'
    })
    for (const line of response.headers.getSetCookie()) this.#keep(line)
    const text = await response.text()
    const location = response.headers.get('location')
    return location ? this.text(location) : text
  }

  cookies() {
    return Object.entries(this.jar).map(([name, line]) => {
      const [value, ...attributes] = line.split('; ')
      const path = attributes.find((one) => one.startsWith('Path='))?.slice('Path='.length)
      return { name, value, path, httpOnly: attributes.includes('HttpOnly'), secure: attributes.includes('Secure') }
    })
  }

  // Replaces the cookies by those that `cookies` returned.
  restore(cookies) {
    this.jar = Object.fromEntries(cookies.map(({ name, value }) => [name, value]))
  }

  close() {}

  #keep(line) {
    const at = line.indexOf('=')
    const name = line.slice(0, at)
    const [, expires] = /; Expires=([^;]*)/.exec(line) ?? []
    if (expires && new Date(expires) < new Date()) delete this.jar[name]
    else this.jar[name] = line.slice(at + 1)
  }
}
