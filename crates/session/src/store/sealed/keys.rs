//! The keys of a sealed store: one secret each, and what is derived from it.
//!
//! HKDF-SHA-256 (RFC 5869) derives three things from a secret, each with its own label: the key of the names, the
//! key of the records, and the key id, which is public.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::Payload;
use chacha20poly1305::{AeadInOut as _, KeyInit as _, XChaCha20Poly1305, XNonce, aead::Aead as _};
use express_session_core::signing::{WeakSecret, check_secret};
use express_session_core::{Random as _, SessionId};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::runtime::system::System;

/// The keys of a [`SealedStore`](super::SealedStore): the first one seals new records, all of them open.
///
/// To rotate a key, add the new secret at the end in every process, then move it to the front in every process, then
/// [`upgrade`](super::SealedStore::upgrade) the store, and then remove the old secret. Clones share the keys, which
/// print as redacted.
///
/// ```
/// use express_session::store::sealed::{SealKeyProblem, SealKeys};
///
/// // In an application, from the environment.
/// # let mut secret = [0; 32];
/// # getrandom::fill(&mut secret)?;
/// let keys = SealKeys::new([secret])?;
/// assert_eq!(format!("{keys:?}"), "SealKeys(redacted, 1)");
///
/// let error = SealKeys::new(["hunter2"]).unwrap_err();
/// assert_eq!(error.problem(), SealKeyProblem::Short);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SealKeys(Arc<[Key]>);

impl SealKeys {
    /// The least number of bytes of a secret: 32.
    pub const SHORTEST: usize = 32;

    /// Derives the keys from secrets, of which the first one seals. `openssl rand -base64 32` makes a secret.
    ///
    /// # Errors
    ///
    /// [`SealKeyError`] if there is no secret, if one has fewer than [`SHORTEST`](Self::SHORTEST) bytes or is easy to
    /// guess ([`check_secret`]), and if one is there twice.
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Result<Self, SealKeyError> {
        let mut keys: Vec<Key> = Vec::new();
        for (at, secret) in secrets.into_iter().enumerate() {
            let secret = secret.as_ref();
            let refused = |problem| SealKeyError { position: at + 1, problem };
            if secret.len() < Self::SHORTEST {
                return Err(refused(SealKeyProblem::Short));
            }
            check_secret(secret).map_err(|weak| refused(SealKeyProblem::Weak(weak)))?;
            let key = Key::derive(secret);
            if keys.iter().any(|other| other.id == key.id) {
                return Err(refused(SealKeyProblem::Repeated));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(SealKeyError { position: 0, problem: SealKeyProblem::Missing });
        }
        Ok(Self(keys.into()))
    }

    /// Counts the keys.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the key at a place of the list; the first one, where the list has no such place.
    pub(super) fn at(&self, place: usize) -> &Key {
        self.0.get(place).unwrap_or(&self.0[0])
    }

    pub(super) fn with_id(&self, id: &str) -> Option<&Key> {
        self.0.iter().find(|key| &*key.id == id)
    }
}

impl fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKeys(redacted, {})", self.len())
    }
}

/// The reason why [`SealKeys::new`] refused a secret. Shows nothing of the secret.
///
/// ```
/// use express_session::store::sealed::SealKeys;
///
/// let error = SealKeys::new(["hunter2"]).unwrap_err();
/// assert_eq!(error.position(), 1);
/// assert_eq!(error.to_string(), "secret 1 of `SealKeys::new` is shorter than 32 bytes");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealKeyError {
    position: usize,
    problem: SealKeyProblem,
}

/// The problem of a refused secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealKeyProblem {
    /// There is no secret at all.
    Missing,
    /// It has fewer than [`SealKeys::SHORTEST`] bytes.
    Short,
    /// It is published or easy to guess.
    Weak(WeakSecret),
    /// It is an earlier secret of the list again.
    Repeated,
}

impl SealKeyError {
    /// Returns the position of the refused secret in the list, from 1; 0 for an empty list.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Returns the problem of the secret.
    #[must_use]
    pub fn problem(&self) -> SealKeyProblem {
        self.problem
    }
}

impl fmt::Display for SealKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = self.position;
        match self.problem {
            SealKeyProblem::Missing => f.write_str("`SealKeys::new` needs at least one secret"),
            SealKeyProblem::Short => {
                let shortest = SealKeys::SHORTEST;
                write!(f, "secret {position} of `SealKeys::new` is shorter than {shortest} bytes")
            }
            SealKeyProblem::Weak(weak) => {
                write!(f, "secret {position} of `SealKeys::new` is {weak}")
            }
            SealKeyProblem::Repeated => {
                write!(f, "secret {position} of `SealKeys::new` is there twice")
            }
        }
    }
}

impl std::error::Error for SealKeyError {}

/// The keys that one secret gives.
pub(super) struct Key {
    /// Public: a record at rest names the key that opens it.
    id: Box<str>,
    names: Hmac<Sha256>,
    cipher: XChaCha20Poly1305,
}

impl Key {
    fn derive(secret: &[u8]) -> Self {
        let secret = Hkdf::<Sha256>::new(None, secret);
        let names: [u8; 64] = expand(&secret, b"express-session sealed v1: names");
        let records: [u8; 32] = expand(&secret, b"express-session sealed v1: records");
        let id: [u8; ID_BYTES] = expand(&secret, b"express-session sealed v1: key id");
        Self {
            id: URL_SAFE_NO_PAD.encode(id).into(),
            names: Hmac::new(&names.into()),
            cipher: XChaCha20Poly1305::new(&records.into()),
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the name of a session at rest.
    pub(super) fn name(&self, id: &SessionId) -> String {
        let mut mac = self.names.clone();
        mac.update(id.as_str().as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Returns a random nonce, and after it the ciphertext with its tag.
    ///
    /// A nonce has 192 bits, so that random ones never meet.
    pub(super) fn encrypt(&self, mut plain: Vec<u8>, associated: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE];
        System.fill(&mut nonce);
        self.cipher.encrypt_in_place(&XNonce::from(nonce), associated, &mut plain).ok()?;
        Some([&nonce[..], &plain].concat())
    }

    /// Returns the plain bytes, or `None` if this key did not encrypt them with these associated data.
    pub(super) fn decrypt(&self, sealed: &[u8], associated: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: associated };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()
    }
}

/// Returns whether a text has the form of a name at rest, which any other text is not.
pub(super) fn is_name(text: &str) -> bool {
    text.len() == NAME && URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

fn expand<const BYTES: usize>(secret: &Hkdf<Sha256>, label: &[u8]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    if secret.expand(label, &mut bytes).is_err() {
        panic!("HKDF gives up to 8160 bytes, and 64 at most were asked for");
    }
    bytes
}

const ID_BYTES: usize = 6;
const NONCE: usize = 24;
/// The characters of 32 bytes in base64url.
const NAME: usize = 43;

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(seed: u8) -> Vec<u8> {
        (0..32_u8)
            .map(|at| at.wrapping_mul(73).wrapping_add(seed.wrapping_mul(101)) ^ seed)
            .collect()
    }

    #[test]
    fn weak_secret_is_refused_with_its_position_and_is_not_shown() {
        let good = secret(1);
        for (secrets, position, problem) in [
            (vec![], 0, SealKeyProblem::Missing),
            (vec![&b""[..]], 1, SealKeyProblem::Short),
            (vec![&good[..], &good[..31]], 2, SealKeyProblem::Short),
            (vec![&good[..], &[7; 64][..]], 2, SealKeyProblem::Weak(WeakSecret::Guessable)),
            (
                vec![&b"f81d4fae7dec11d0a76500a0c91e6bf6"[..]],
                1,
                SealKeyProblem::Weak(WeakSecret::Published),
            ),
            (vec![&good[..], &good[..]], 2, SealKeyProblem::Repeated),
        ] {
            let error = SealKeys::new(secrets).unwrap_err();
            assert_eq!((error.position(), error.problem()), (position, problem));
            assert!(error.to_string().contains("`SealKeys::new`"), "{error}");
        }
        let error = SealKeys::new(["hunter2-hunter2"]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn keys_print_as_redacted() {
        let keys = SealKeys::new([secret(1), secret(2)]).unwrap();
        assert_eq!(format!("{keys:?}"), "SealKeys(redacted, 2)");
    }

    #[test]
    fn two_secrets_have_nothing_in_common() {
        let keys = SealKeys::new([secret(1), secret(2)]).unwrap();
        let id = SessionId::new("apple").unwrap();
        let [one, other] = [keys.at(0), keys.at(1)];
        assert_ne!(one.id(), other.id());
        assert_ne!(one.name(&id), other.name(&id));
        let sealed = one.encrypt(b"plain".to_vec(), b"a").unwrap();
        assert_eq!(one.decrypt(&sealed, b"a").as_deref(), Some(&b"plain"[..]));
        assert_eq!(one.decrypt(&sealed, b"b"), None);
        assert_eq!(other.decrypt(&sealed, b"a"), None);
        assert_ne!(one.encrypt(b"plain".to_vec(), b"a"), Some(sealed));
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let keys = SealKeys::new([secret(1)]).unwrap();
        let sealed = keys.at(0).encrypt(b"plain".to_vec(), b"").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(keys.at(0).decrypt(&changed, b""), None, "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(keys.at(0).decrypt(&sealed[..length], b""), None, "{length} bytes");
        }
    }

    #[test]
    fn name_at_rest_is_known_by_its_form() {
        let keys = SealKeys::new([secret(1)]).unwrap();
        for id in ["a", "apple", "会话"] {
            assert!(is_name(&keys.at(0).name(&SessionId::new(id).unwrap())));
        }
        assert!(!is_name(SessionId::from_random([7; 24]).as_str()));
        assert!(!is_name(&"x".repeat(44)) && !is_name(&"é".repeat(21)) && !is_name(""));
    }

    /// The format at rest: a change of it loses every session.
    #[test]
    fn derived_keys_stay_the_same() {
        let keys = SealKeys::new([secret(1)]).unwrap();
        let key = keys.at(0);
        let name = key.name(&SessionId::new("apple").unwrap());
        assert_eq!(
            (key.id(), name.as_str()),
            ("6WYS7rwE", "RdL8caJc3bAYCZWTrX8kejbrWfE4wtEs4c7maDqnfeM")
        );
    }
}
