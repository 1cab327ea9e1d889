// An application that declares its session data for this package.

import type { Request } from 'express'
import session, { type WarningCode } from 'express-session-rs'

declare module 'express-session-rs' {
  interface SessionData {
    cart: string[]
  }
}

session({ secret: 'keyboard cat', warnings: false })
// @ts-expect-error: a boolean
session({ secret: 'keyboard cat', warnings: 'off' })

const code: WarningCode = 'EXPRESS_SESSION_WEAK_SECRET'
process.on('warning', (warning: Error & { code?: string }) => warning.code === code)

export function count(req: Request): number {
  // @ts-expect-error: a list
  req.session.cart = 1
  return req.session.cart?.length ?? 0
}
