//! The engine, for JavaScript.

mod rules;
mod signer;
