'use strict'

// The functions of a session's updates, by numbers that count up. Only those that a save may still need are kept.

exports.Updates = class Updates {
  #kept = []
  // The number of the first one that is kept.
  #first = 0

  // The number of the next one.
  get next() {
    return this.#first + this.#kept.length
  }

  get size() {
    return this.#kept.length
  }

  // Keeps a function, and returns its number.
  add(update) {
    return this.#first + this.#kept.push(update) - 1
  }

  get(number) {
    return this.#kept[number - this.#first]
  }

  // Forgets one that nothing needs, the latest.
  takeBack(number) {
    if (number === this.next - 1) this.#kept.pop()
  }

  // Forgets those before a number.
  forget(number) {
    const gone = number - this.#first
    if (gone <= 0) return
    this.#kept.splice(0, gone)
    this.#first = number
  }
}
