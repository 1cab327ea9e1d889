//! Signed session ids: the value of the cookie, and the secrets that sign it.

mod attempts;
pub(crate) mod constant_time;
mod keyring;
mod secret;
mod signed_id;

pub use attempts::{Attempts, Presented};
pub use keyring::{Keyring, NoSecret};
pub use secret::{WeakSecret, check_secret};
pub use signed_id::{Refusal, Verified, sign, verify};
