// Stores of npm that derive from express-session's `Store`, each with a database in memory.

import { RedisStore } from 'connect-redis'
import MongoStore from 'connect-mongo'

import { original } from './sides.mjs'

// Returns a client of the npm package `redis`, as far as connect-redis needs it.
export function redisClient() {
  const records = new Map()
  return {
    records,
    get: async (key) => records.get(key) ?? null,
    set: async (key, text) => void records.set(key, text),
    expire: async () => {},
    del: async (keys) => keys.forEach((key) => records.delete(key))
  }
}

// Returns a client of the npm package `mongodb`, as far as connect-mongo needs it.
function mongoClient() {
  const records = new Map()
  const collection = {
    createIndex: async () => {},
    findOne: async ({ _id }) => structuredClone(records.get(_id) ?? null),
    deleteOne: async ({ _id }) => void records.delete(_id),
    async updateOne({ _id }, { $set }, { upsert }) {
      const found = records.get(_id)
      if (found || upsert) records.set(_id, { _id, ...found, ...$set })
      return { matchedCount: found ? 1 : 0, upsertedCount: found ? 0 : 1 }
    }
  }
  return { db: () => ({ collection: () => collection }), close: async () => {} }
}

// A store whose sessions are of a class of their own. Its sessions count their saves.
class SubclassStore extends original.MemoryStore {
  createSession(req, record) {
    class Counted extends original.Session {
      save(fn) {
        this.saves = (this.saves ?? 0) + 1
        return super.save(fn)
      }
    }
    const { cookie } = super.createSession(req, record)
    req.session = new Counted(req, { ...record, cookie })
    return req.session
  }
}

// A store whose sessions have methods of their own, which tell each call.
class InstrumentedStore extends original.MemoryStore {
  createSession(req, record) {
    const session = super.createSession(req, record)
    for (const name of ['save', 'reload', 'regenerate', 'destroy']) {
      const method = session[name]
      const value = (...args) => {
        this.emit(name)
        return method.apply(session, args)
      }
      Object.defineProperty(session, name, { configurable: true, writable: true, value })
    }
    return session
  }
}

export const FOREIGN_STORES = {
  'connect-redis': () => new RedisStore({ client: redisClient() }),
  'connect-mongo': () => MongoStore.create({ client: mongoClient() }),
  "express-session's MemoryStore": () => new original.MemoryStore(),
  'a store with a subclass of Session': () => new SubclassStore(),
  'a store with instrumented sessions': () => new InstrumentedStore()
}
