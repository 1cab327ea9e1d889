//! The secrets: the first one signs, and all of them verify.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::constant_time;

/// The number of characters of a signature: 32 bytes in base64 without padding.
pub(crate) const SIGNATURE: usize = 43;

/// One or more secrets that sign and verify ids.
///
/// The first secret signs; all of them verify, in order. To rotate a secret, insert a new one at the front (item 12).
/// The state of the HMAC is prepared once for each secret, so that a signature costs two blocks of SHA-256. A keyring
/// prints as redacted and compares signatures in constant time.
///
/// ```
/// use express_session_core::{Keyring, SessionId};
///
/// let keyring = Keyring::new(["new secret", "old secret"])?;
/// let old = Keyring::new(["old secret"])?;
/// let id = SessionId::new("apple").ok_or("empty")?;
///
/// assert!(keyring.verify("apple", &old.sign(&id)));
/// assert!(!old.verify("apple", &keyring.sign(&id)));
/// assert_eq!(format!("{keyring:?}"), "Keyring(2 secrets, redacted)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Keyring(Vec<Hmac<Sha256>>);

/// The error of a [`Keyring`] without a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoSecret;

impl Keyring {
    /// Creates a keyring from secrets, as text (its UTF-8 bytes, as on Node) or as bytes.
    ///
    /// # Errors
    ///
    /// [`NoSecret`] if there is no secret. An empty secret is accepted, as express-session accepts `['']`; the layer
    /// logs a warning.
    ///
    /// ```
    /// use express_session_core::{Keyring, NoSecret};
    ///
    /// let text = Keyring::new(["keyboard cat"])?;
    /// let bytes = Keyring::new([b"keyboard cat"])?;
    /// # let id = express_session_core::SessionId::from_random([0; 24]);
    /// assert_eq!(text.sign(&id), bytes.sign(&id));
    /// # Ok::<(), NoSecret>(())
    /// ```
    pub fn new<I>(secrets: I) -> Result<Self, NoSecret>
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let keys: Vec<_> = secrets
            .into_iter()
            // HMAC accepts a key of any length (RFC 2104 §2), so that no secret is dropped here.
            .filter_map(|secret| Hmac::<Sha256>::new_from_slice(secret.as_ref()).ok())
            .collect();
        if keys.is_empty() { Err(NoSecret) } else { Ok(Self(keys)) }
    }

    /// Creates a keyring for one purpose, whose signatures are valid for no other: each secret is replaced by
    /// HMAC-SHA256(secret, purpose), in base64 without padding (RFC 5869 §3.2 on separate keys).
    ///
    /// # Errors
    ///
    /// [`NoSecret`] if there is no secret.
    ///
    /// ```
    /// use express_session_core::{Keyring, NoSecret, SessionId};
    ///
    /// let id = SessionId::from_random([0; 24]);
    /// let sign = |purpose| Ok::<_, NoSecret>(Keyring::derived(["keyboard cat"], purpose)?.sign(&id));
    /// assert_ne!(sign("cookie:shop.sid")?, sign("cookie:admin.sid")?);
    /// # Ok::<(), NoSecret>(())
    /// ```
    pub fn derived<I>(secrets: I, purpose: &str) -> Result<Self, NoSecret>
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let keys = Self::new(secrets)?.0;
        Self::new(keys.iter().map(|key| signature(key, purpose)))
    }

    /// Returns the public id of a session: the signature of its id by the first secret, in the alphabet of URLs. The keyring
    /// is [derived](Self::derived) for the purpose `public id`.
    ///
    /// ```
    /// use express_session_core::{Keyring, SessionId};
    ///
    /// let keyring = Keyring::derived(["keyboard cat"], "public id")?;
    /// let id = SessionId::new("apple").ok_or("empty")?;
    /// let public_id = keyring.public_id(&id);
    /// assert_eq!(public_id, "wFajvulx5RRrCT9wm8HwbkEVagN8yrpaKfpf87JZ0oc");
    /// assert!(keyring.is_public_id(&id, &public_id));
    /// assert!(!keyring.is_public_id(&SessionId::new("pear").ok_or("empty")?, &public_id));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn public_id(&self, id: &crate::SessionId) -> String {
        self.sign(id).replace('+', "-").replace('/', "_")
    }

    /// Checks whether this is the [public id](Self::public_id) of a session, by any of the secrets.
    #[must_use]
    pub fn is_public_id(&self, id: &crate::SessionId, public_id: &str) -> bool {
        self.verify(id.as_str(), &public_id.replace('-', "+").replace('_', "/"))
    }

    /// Signs an id with the first secret: HMAC-SHA256 in base64 without padding, 43 characters (item 30).
    ///
    /// ```
    /// use express_session_core::{Keyring, SessionId};
    ///
    /// let id = SessionId::new("apple").ok_or("empty")?;
    /// let signature = Keyring::new(["keyboard cat"])?.sign(&id);
    /// assert_eq!(signature, "D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn sign(&self, id: &crate::SessionId) -> String {
        let mut text = String::with_capacity(SIGNATURE);
        self.push_signature(id, &mut text);
        text
    }

    pub(crate) fn push_signature(&self, id: &crate::SessionId, out: &mut String) {
        let signature = self.0.first().map_or([b'A'; SIGNATURE], |key| signature(key, id.as_str()));
        // Base64 is ASCII.
        out.push_str(std::str::from_utf8(&signature).unwrap_or_default());
    }

    /// Checks whether `text` has this signature with any of the secrets. The time does not depend on the place of the
    /// first difference.
    #[must_use]
    pub fn verify(&self, text: &str, presented: &str) -> bool {
        self.0.iter().any(|key| constant_time::same(&signature(key, text), presented.as_bytes()))
    }
}

fn signature(key: &Hmac<Sha256>, text: &str) -> [u8; SIGNATURE] {
    let mut mac = key.clone();
    mac.update(text.as_bytes());
    let mut encoded = [0; SIGNATURE];
    // 32 bytes fill 43 characters exactly.
    let _ = STANDARD_NO_PAD.encode_slice(mac.finalize().into_bytes(), &mut encoded);
    encoded
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} secrets, redacted)", self.0.len())
    }
}

impl fmt::Display for NoSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret needs one or more strings")
    }
}

impl std::error::Error for NoSecret {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionId;

    #[test]
    fn only_the_exact_signature_is_accepted() {
        let keyring = Keyring::new(["keyboard cat"]).unwrap();
        let good = keyring.sign(&SessionId::new("apple").unwrap());
        assert!(keyring.verify("apple", &good));
        let url_safe = good.replace('+', "-").replace('/', "_");
        for bad in ["", &good[1..], &url_safe, &format!("{good}="), &good.to_lowercase()] {
            assert!(!keyring.verify("apple", bad), "{bad}");
        }
        assert!(!keyring.verify("apples", &good));
    }

    #[test]
    fn first_secret_signs_and_all_verify() {
        let [one, two] = ["one", "two"].map(|secret| Keyring::new([secret]).unwrap());
        let both = Keyring::new(["one", "two"]).unwrap();
        let id = SessionId::new("id").unwrap();
        assert_eq!(both.sign(&id), one.sign(&id));
        assert!(both.verify("id", &one.sign(&id)) && both.verify("id", &two.sign(&id)));
    }

    #[test]
    fn no_secret_is_refused_and_an_empty_one_is_accepted() {
        let refused = Keyring::new([""; 0]).unwrap_err();
        assert_eq!(
            (refused, refused.to_string()),
            (NoSecret, "secret needs one or more strings".to_owned())
        );
        assert!(Keyring::new([""]).is_ok());
    }

    #[test]
    fn secret_never_prints() {
        let keyring = Keyring::new(["hunter2"]).unwrap();
        assert_eq!(format!("{keyring:?}"), "Keyring(1 secrets, redacted)");
    }
}
