// A server on a free port of loopback, and a visitor with a jar of cookies.

import http from 'node:http'

// Serves until the test is over, and gives the address.
export async function serve(t, app) {
  const server = app instanceof http.Server ? app : http.createServer(app)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => new Promise((resolve) => {
    server.close(resolve)
    server.closeAllConnections()
  }))
  return `http://127.0.0.1:${server.address().port}`
}

export class Browser {
  jar = {}

  constructor(url, headers = {}) {
    this.url = url
    this.headers = headers
  }

  // Gives the text of a page, following redirects as browsers do.
  async text(path, request = {}) {
    const cookie = Object.entries(this.jar).map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(this.url + path, {
      ...request,
      headers: { ...this.headers, ...(cookie && { cookie }) },
      redirect: 'manual'
    })
    for (const line of response.headers.getSetCookie()) this.keep(line)
    const text = await response.text()
    const location = response.headers.get('location')
    return location ? this.text(location) : text
  }

  keep(line) {
    const [pair, ...attributes] = line.split('; ')
    const at = pair.indexOf('=')
    const name = pair.slice(0, at)
    const expires = attributes.find((one) => one.startsWith('Expires='))
    if (expires && new Date(expires.slice('Expires='.length)) < new Date()) delete this.jar[name]
    else this.jar[name] = pair.slice(at + 1)
  }
}
