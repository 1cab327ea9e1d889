//! The session engine for JavaScript: signatures, cookies, decisions, and the checks of warnings.

pub mod checks;
pub mod rules;
pub mod signer;

use napi_derive::napi;

/// Panics, so that a test can verify that JavaScript catches the panic as an error.
///
/// # Panics
///
/// Always.
#[napi(catch_unwind)]
pub fn panic(message: String) {
    std::panic::resume_unwind(Box::new(message));
}
