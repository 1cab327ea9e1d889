//! The signed id in the cookie: `s:` + id + `.` + signature (items 26 to 31).

use super::keyring::SIGNATURE;
use crate::{Keyring, SessionId};

/// A value with a verified signature. Only [`verify`] creates one.
///
/// Code that must not trust unverified input takes this type.
///
/// ```
/// use express_session_core::{Keyring, SessionId, Verified, signing};
///
/// fn greet(id: &Verified<SessionId>) -> String {
///     format!("an id of {} bytes", id.get().as_str().len())
/// }
///
/// let keyring = Keyring::new(["keyboard cat"])?;
/// let id = signing::verify("s:apple.D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU", &keyring);
/// assert_eq!(id.as_ref().map(greet), Ok("an id of 5 bytes".to_owned()));
/// # Ok::<(), express_session_core::NoSecret>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// Returns the value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }

    /// Returns a reference to the value.
    #[must_use]
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// The reason why the value of a cookie is refused.
///
/// ```
/// use express_session_core::{Keyring, signing};
///
/// let keyring = Keyring::new(["keyboard cat"])?;
/// let refusal = |value| signing::verify(value, &keyring).err();
/// assert_eq!(refusal("apple"), Some(signing::Refusal::Unsigned));
/// assert_eq!(refusal("s:apple"), Some(signing::Refusal::BadSignature));
/// let empty = "s:.aJcKKTu8Uv0mRiw7LTI435t+pOa+giU/WLAuLCKGEFc";
/// assert_eq!(refusal(empty), Some(signing::Refusal::EmptyId));
/// # Ok::<(), express_session_core::NoSecret>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The value does not begin with `s:`. Every id is sent signed.
    Unsigned,
    /// No secret verifies the signature: it is forged, truncated, or made with a removed secret.
    BadSignature,
    /// The signature is valid, but the id is empty (item 29).
    EmptyId,
    /// The value is too long, or the request has caused enough work: it was not checked ([`Attempts`](super::Attempts)).
    Unchecked,
}

/// Returns the value of the cookie for an id, before percent-encoding.
///
/// ```
/// use express_session_core::{Keyring, SessionId, signing};
///
/// let keyring = Keyring::new(["keyboard cat"])?;
/// let id = SessionId::new("apple").ok_or("empty")?;
/// let value = signing::sign(&id, &keyring);
/// assert_eq!(value, "s:apple.D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn sign(id: &SessionId, keyring: &Keyring) -> String {
    let mut sealed = String::with_capacity("s:.".len() + id.as_str().len() + SIGNATURE);
    sealed.push_str("s:");
    sealed.push_str(id.as_str());
    sealed.push('.');
    keyring.push_signature(id, &mut sealed);
    sealed
}

/// Checks the value of a cookie, after percent-decoding, and returns its id.
///
/// # Errors
///
/// [`Refusal`] if the value is not a signed id. The visitor has no session then.
///
/// ```
/// use express_session_core::{Keyring, signing};
///
/// let keyring = Keyring::new(["keyboard cat"])?;
/// let verified = signing::verify("s:apple.D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU", &keyring);
/// assert_eq!(verified.map(|id| id.get().as_str().to_owned()), Ok("apple".to_owned()));
/// assert_eq!(signing::verify("apple", &keyring), Err(signing::Refusal::Unsigned));
/// assert_eq!(signing::verify("s:apple.forged", &keyring), Err(signing::Refusal::BadSignature));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify(value: &str, keyring: &Keyring) -> Result<Verified<SessionId>, Refusal> {
    let (id, signature) = split(value)?;
    if !keyring.verify(id, signature) {
        return Err(Refusal::BadSignature);
    }
    SessionId::new(id).map(Verified).ok_or(Refusal::EmptyId)
}

/// Splits a value into its id and its signature, without checking the signature.
pub(super) fn split(value: &str) -> Result<(&str, &str), Refusal> {
    let signed = value.strip_prefix("s:").ok_or(Refusal::Unsigned)?;
    // The signature follows the last dot, because an id may contain dots.
    let dot = signed.len().checked_sub(SIGNATURE + 1).ok_or(Refusal::BadSignature)?;
    let (id, signature) = signed.split_at_checked(dot).ok_or(Refusal::BadSignature)?;
    Ok((id, signature.strip_prefix('.').ok_or(Refusal::BadSignature)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keyring() -> Keyring {
        Keyring::new(["keyboard cat"]).unwrap()
    }

    #[test]
    fn id_with_dots_is_split_at_the_last_dot() {
        let value = sign(&SessionId::new("a.b.c").unwrap(), &keyring());
        assert_eq!(verify(&value, &keyring()).unwrap().into_inner().as_str(), "a.b.c");
    }

    #[test]
    fn signed_empty_id_is_refused() {
        // cookie-signature 1.0.7 on Node: sign('', 'keyboard cat').
        let signature = "aJcKKTu8Uv0mRiw7LTI435t+pOa+giU/WLAuLCKGEFc";
        let refusal = verify(&format!("s:.{signature}"), &keyring()).unwrap_err();
        assert_eq!(refusal, Refusal::EmptyId);
    }

    proptest! {
        #[test]
        fn signed_id_is_verified(id in ".{1,40}") {
            let id = SessionId::new(id).unwrap();
            let opened = verify(&sign(&id, &keyring()), &keyring());
            prop_assert_eq!(opened.map(Verified::into_inner), Ok(id));
        }

        #[test]
        fn hostile_values_are_refused(value in "(s:)?.{0,80}") {
            prop_assert!(verify(&value, &keyring()).is_err());
        }
    }
}
