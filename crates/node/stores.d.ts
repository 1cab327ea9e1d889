// `express-session-rs/stores`, for `moduleResolution: node10`, which does not read the `exports` of package.json.

export * from './lib/stores'
