//! Signed session ids: the value of the cookie, and the secrets that sign it.

pub(crate) mod constant_time;
mod keyring;
mod signed_id;

pub use keyring::{Keyring, NoSecret};
pub use signed_id::{Refusal, Verified, sign, verify};
