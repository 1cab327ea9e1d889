'use strict'

// The answer of a call, which another thread gives later. It costs less than a promise, and a caller that awaits it has one.

exports.Answer = class Answer {
  #isSettled = false
  #error = null
  #value
  #listeners
  #promise

  // Calls a function with the error or the value: when the answer is there, or now.
  listen(fn) {
    if (this.#isSettled) fn(this.#error, this.#value)
    else if (this.#listeners) this.#listeners.push(fn)
    else this.#listeners = [fn]
  }

  // Reports the answer to the listeners, once. They must not throw.
  settle(error, value) {
    this.#isSettled = true
    this.#error = error
    this.#value = value
    const listeners = this.#listeners
    this.#listeners = undefined
    if (listeners) for (const fn of listeners) fn(error, value)
  }

  then(resolve, reject) {
    this.#promise ??= new Promise((resolve, reject) => {
      this.listen((error, value) => (error ? reject(error) : resolve(value)))
    })
    return this.#promise.then(resolve, reject)
  }

  catch(reject) {
    return this.then(undefined, reject)
  }
}
