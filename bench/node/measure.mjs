// The measurements that a program takes for the bench, one for each line of its standard input.

import { createInterface } from 'node:readline'

// Answers each line, which is a measurement's name and its arguments, with the result as JSON.
export async function answer(measurements) {
  for await (const line of createInterface({ input: process.stdin })) {
    const [name, ...given] = line.split(' ')
    process.stdout.write(`${JSON.stringify(await measurements[name](...given))}\n`)
  }
  process.exit()
}

// Returns the time of some work in milliseconds, and how many of its outcomes are failures.
export async function measure(work) {
  const start = performance.now()
  const outcomes = await work()
  return {
    ms: performance.now() - start,
    failed: outcomes.filter(({ status }) => status === 'rejected').length
  }
}

// Calls a function with each item, one after the other, and returns the outcomes.
export async function inTurn(items, call) {
  const outcomes = []
  for (const item of items) outcomes.push(...(await Promise.allSettled([call(item)])))
  return outcomes
}
