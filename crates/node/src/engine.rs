//! The engine, for JavaScript.

pub mod rules;
pub mod signer;

use napi_derive::napi;

/// Panics, so that a test can see that a panic is an error in JavaScript, and no abort.
///
/// # Panics
///
/// Always.
#[napi(catch_unwind)]
pub fn panic(message: String) {
    std::panic::resume_unwind(Box::new(message));
}
