//! The cookies of the name in one request, verified within a bounded amount of work.

use super::signed_id::{Refusal, Verified, split, verify};
use crate::{Keyring, SessionId, cookie};

/// How many cookies of the name a request may have verified.
///
/// [`FIRST`](Self::FIRST) is express-session. [`ALL`](Self::ALL) verifies every one, so that cookies planted beside the
/// session's log no visitor out. Three checks before a signature is computed bound the cost of a hostile header:
///
/// 1. A value of more than 4096 bytes is skipped: no browser stores one (RFC 6265bis §5.6).
/// 2. A value that is not `s:` + id + `.` + 43 characters is refused by its form.
/// 3. The signatures of a request hash at most 1 MiB with each secret, which is 8192 forged cookies in the form of
///    a default id: some 780 kB of header, where hyper takes 408 KiB by default. The cookies after them are not checked.
///
/// ```
/// use express_session_core::signing::{self, Attempts};
/// use express_session_core::{Keyring, SessionId};
///
/// let keyring = Keyring::new(["keyboard cat"])?;
/// let sid = |id| SessionId::new(id).map(|id| format!("sid={}; ", signing::sign(&id, &keyring)));
/// let (bob, eve) = (sid("bob").ok_or("empty")?, sid("eve").ok_or("empty")?);
/// let junk = "sid=s:junk; ".repeat(800);
///
/// let found = Attempts::ALL.find([[junk.as_str(), &bob].concat().as_bytes()], "sid", &keyring);
/// assert!(found.id.is_some() && !found.is_ambiguous);
/// let found = Attempts::ALL.find([[eve, bob].concat().as_bytes()], "sid", &keyring);
/// assert!(found.is_ambiguous);
/// let found = Attempts::FIRST.find([junk.as_bytes()], "sid", &keyring);
/// assert!(found.id.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Attempts {
    only_first: bool,
    longest: usize,
    /// The blocks of SHA-256 that are left.
    blocks: usize,
}

/// The session that the cookies of a request name.
#[derive(Debug)]
pub struct Presented {
    /// The first validly signed id.
    pub id: Option<Verified<SessionId>>,
    /// Whether a second, different id is validly signed too.
    pub is_ambiguous: bool,
}

impl Attempts {
    /// The first cookie of the name, of any length.
    pub const FIRST: Self = Self { only_first: true, longest: usize::MAX, blocks: usize::MAX };

    /// Every cookie of the name, within the bounds.
    pub const ALL: Self = Self { only_first: false, longest: 4096, blocks: 16_384 };

    /// Checks whether only the first cookie of the name counts.
    #[must_use]
    pub fn is_first_only(&self) -> bool {
        self.only_first
    }

    /// Verifies one value, like [`verify`](super::verify), and counts the work.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; [`Refusal::Unchecked`] beyond the bounds.
    ///
    /// ```
    /// use express_session_core::signing::{Attempts, Refusal};
    /// use express_session_core::{Keyring, NoSecret};
    ///
    /// let keyring = Keyring::new(["keyboard cat"])?;
    /// let mut attempts = Attempts::ALL;
    /// let long = format!("s:{}", "x".repeat(5000));
    /// assert_eq!(attempts.verify(&long, &keyring), Err(Refusal::Unchecked));
    /// # Ok::<(), NoSecret>(())
    /// ```
    pub fn verify(
        &mut self,
        value: &str,
        keyring: &Keyring,
    ) -> Result<Verified<SessionId>, Refusal> {
        if value.len() > self.longest {
            return Err(Refusal::Unchecked);
        }
        // HMAC hashes the id with its padding, and one block more for the outer hash.
        let cost = 2 + (split(value)?.0.len() + 8) / 64;
        self.blocks = self.blocks.checked_sub(cost).ok_or(Refusal::Unchecked)?;
        verify(value, keyring)
    }

    /// Finds the session's id in the `Cookie` headers of a request.
    pub fn find<'h, H>(mut self, headers: H, name: &str, keyring: &Keyring) -> Presented
    where
        H: IntoIterator<Item = &'h [u8]>,
    {
        let mut id: Option<Verified<SessionId>> = None;
        let is_ambiguous = cookie::find(headers, name, self.longest, |value| {
            match (self.verify(value, keyring), &id) {
                (Ok(first), None) => id = Some(first),
                (Ok(other), Some(first)) if other != *first => return Some(true),
                (Ok(_) | Err(_), _) => {}
            }
            self.only_first.then_some(false)
        });
        Presented { id, is_ambiguous: is_ambiguous.unwrap_or(false) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring() -> Keyring {
        Keyring::new(["new secret", "keyboard cat"]).unwrap()
    }

    fn sid(id: &str) -> String {
        let signed = super::super::sign(&SessionId::new(id).unwrap(), &keyring());
        format!("sid={}; ", signed.replace('+', "%2B"))
    }

    fn find(attempts: Attempts, header: &str) -> (Option<String>, bool) {
        let found = attempts.find([header.as_bytes()], "sid", &keyring());
        (found.id.map(|id| id.into_inner().as_str().to_owned()), found.is_ambiguous)
    }

    #[test]
    fn audit_m6_any_number_of_junk_cookies_hides_no_valid_one() {
        let bob = (Some("bob".to_owned()), false);
        let forged = format!("sid=s%3A{}.{}; ", "x".repeat(32), "A".repeat(43));
        for junk in ["sid=; ", "sid=x; ", "sid=s%3A; ", "sid; ", "sid=%; ", &forged] {
            for many in [1, 8, 9, 800, 2200] {
                let header = [junk.repeat(many), sid("bob"), junk.repeat(many)].concat();
                assert_eq!(find(Attempts::ALL, &header), bob, "{many} times {junk}");
            }
        }
        assert_eq!(find(Attempts::FIRST, &[&forged, &*sid("bob")].concat()), (None, false));
        assert_eq!(find(Attempts::FIRST, &[sid("bob"), sid("eve")].concat()), bob);
    }

    #[test]
    fn audit_m6_the_work_of_a_header_is_bounded_before_the_first_hash() {
        let long = format!("sid=s:{}.{}; ", "x".repeat(50_000), "A".repeat(43));
        let mut attempts = Attempts::ALL;
        let value = long.trim_start_matches("sid=").trim_end_matches("; ");
        assert_eq!(attempts.verify(value, &keyring()), Err(Refusal::Unchecked));
        assert_eq!(attempts.blocks, Attempts::ALL.blocks);
        assert_eq!(find(Attempts::ALL, &[long.repeat(8), sid("bob")].concat()).0.unwrap(), "bob");

        // Forged cookies of a default id's form: 8192 of them, and no more.
        let forged = format!("s:{}.{}", "x".repeat(32), "A".repeat(43));
        let refused = std::iter::repeat_with(|| attempts.verify(&forged, &keyring()));
        let checked = refused.take_while(|refused| *refused == Err(Refusal::BadSignature));
        assert_eq!(checked.take(10_000).count(), 8192);
        // Long ids spend more: a block for each 64 bytes.
        let mut attempts = Attempts::ALL;
        let forged = format!("s:{}.{}", "x".repeat(4000), "A".repeat(43));
        let refused = std::iter::repeat_with(|| attempts.verify(&forged, &keyring()));
        assert_eq!(
            refused.take_while(|refused| *refused == Err(Refusal::BadSignature)).count(),
            256
        );
    }

    #[test]
    fn audit_m6_two_different_valid_ids_are_ambiguous_and_two_equal_ones_are_not() {
        let bob = || Some("bob".to_owned());
        let header = |ids: &[&str]| ids.iter().map(|id| sid(id)).collect::<String>();
        assert_eq!(find(Attempts::ALL, &header(&["bob", "eve"])), (bob(), true));
        assert_eq!(find(Attempts::ALL, &header(&["bob", "bob", "bob"])), (bob(), false));
        assert_eq!(find(Attempts::ALL, &header(&["bob", "bob", "eve"])), (bob(), true));
        // The same id under two secrets, in the middle of a rotation, is one session.
        let old = Keyring::new(["keyboard cat"]).unwrap();
        let old = super::super::sign(&SessionId::new("bob").unwrap(), &old);
        let header = format!("sid={}; {}", old.replace('+', "%2B"), sid("bob"));
        assert_eq!(find(Attempts::ALL, &header), (bob(), false));
    }
}
