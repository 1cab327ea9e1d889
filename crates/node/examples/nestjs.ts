// NestJS with sessions. Overlapping requests of a visitor lose no visit.

import 'reflect-metadata'
import { setTimeout } from 'node:timers/promises'

import { Controller, Get, Module, Post, Req, Session } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import session from 'express-session-rs'
import type { IntegritySession, SessionOf } from 'express-session-rs'
import { MemoryStore } from 'express-session-rs/stores'

declare module 'express-session-rs' {
  interface SessionData {
    user: string
    views: number
  }

  interface Session extends IntegritySession {}
}

type Visitor = SessionOf<{}>

@Controller()
class Visits {
  @Post('login')
  async login(@Req() req: { session: Visitor }) {
    await req.session.regenerate()
    req.session.user = 'ada'
    return {}
  }

  @Post('logout')
  async logout(@Session() session: Visitor) {
    await session.destroy()
    return {}
  }

  @Get()
  async visit(@Session() session: Visitor) {
    const views = session.update('views', (views = 0) => views + 1)
    await setTimeout(20) // Other requests run meanwhile.
    return { user: session.user, views }
  }
}

@Module({ controllers: [Visits] })
class App {}

const app = await NestFactory.create(App, { logger: ['error', 'warn'] })
app.use(session({
  secret: process.env.SECRET ?? 'only for this example',
  resave: false,
  saveUninitialized: false,
  store: new MemoryStore(), // or RedisStore, PostgresStore, …
  integrity: true
}))
await app.listen(process.env.PORT ?? 3000)
console.log(await app.getUrl())
