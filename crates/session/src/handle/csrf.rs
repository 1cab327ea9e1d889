//! CSRF tokens: they tell a request of the application's own pages from one that another site made the browser send.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use sha1::{Digest as _, Sha1};
use subtle::ConstantTimeEq as _;

use super::session::parsed;
use crate::Session;
use crate::error::{Error, ErrorKind};

/// The member of the session, as csurf names it.
const MEMBER: &str = "csrfSecret";

/// The headers in which csurf looks for a token, in its order.
const HEADERS: [&str; 4] = ["csrf-token", "xsrf-token", "x-csrf-token", "x-xsrf-token"];

/// The characters of a salt, and their number in one.
const SALT: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const SALT_LENGTH: usize = 8;

/// The number of random bytes in a secret: 24 characters in base64.
const SECRET_BYTES: usize = 18;

/// The tokens that protect a session's forms against cross-site request forgery (CSRF).
///
/// A page gets a token from [`token`](Self::token), in a form field or in a header of its scripts; the handler of the form
/// calls [`verify`](Self::verify) before it changes anything. Another site cannot read the page, and so has no token.
///
/// The secret behind the tokens is the member `csrfSecret` of the session, in the format of npm's csurf 1.11, and so are
/// the tokens: Express applications on the same store accept those of this side, and this side accepts theirs. (csurf makes
/// the secret in a visitor's first request; here the first call of `token` makes it.)
///
/// [`Session::csrf`] returns this handle; in an axum handler it is an extractor too, which loads the session.
///
/// ```
/// use axum::extract::Form;
/// use axum::response::Html;
/// use express_session::{Csrf, Error};
///
/// async fn form(csrf: Csrf) -> Result<Html<String>, Error> {
///     let token = csrf.token().await?;
///     let field = format!(r#"<input type="hidden" name="_csrf" value="{token}">"#);
///     Ok(Html(format!(r#"<form method="post">{field}<button>Pay</button></form>"#)))
/// }
///
/// #[derive(serde::Deserialize)]
/// struct Payment {
///     #[serde(rename = "_csrf")]
///     csrf: String,
/// }
///
/// async fn pay(csrf: Csrf, Form(payment): Form<Payment>) -> Result<&'static str, Error> {
///     csrf.verify(payment.csrf.as_str())?; // or a 403
///     Ok("paid")
/// }
/// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
/// # let page = form(session.csrf()).await?.0;
/// # let csrf = page.split('"').nth(7).unwrap().to_owned();
/// # assert_eq!(pay(session.csrf(), Form(Payment { csrf })).await?, "paid");
/// # Ok(()) });
/// ```
///
/// # Guarantees
///
/// - The tokens of a session are valid until it ends or is [regenerated](Session::regenerate): a login ends those of the
///   pages before it.
/// - Every call of `token` returns another text, so that a compressed page does not give the secret away (BREACH).
/// - Overlapping requests of one session agree on one secret: `token` saves it before it returns, and returns a token of
///   the secret that is stored then. A visitor whose first two requests overlap gets two sessions, as ever, and keeps one.
/// - An Express request that overlaps with the first call of `token` may store a secret of its own on top. The page that
///   lost then gets a 403, and works when it is loaded again.
///
/// # Errors
///
/// Of every method, those of [`Session`], and [`ErrorKind::Deserialize`] where the member `csrfSecret` is no string.
#[derive(Clone)]
pub struct Csrf {
    session: Session,
}

impl Session {
    /// Returns the CSRF tokens of the session.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// let token = session.csrf().token().await?;
    /// session.csrf().verify(token.as_str())?;
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn csrf(&self) -> Csrf {
        Csrf { session: self.clone() }
    }
}

impl Csrf {
    /// Returns a token for a page. It has only letters, digits, `-` and `_`.
    ///
    /// The session's first call makes the secret and saves the session, with one call of the store, and two more for each
    /// conflict. A later one calculates a hash.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// let csrf = session.csrf();
    /// let (one, other) = (csrf.token().await?, csrf.token().await?);
    /// assert_ne!(one, other);
    /// csrf.verify(one.as_str())?;
    /// csrf.verify(other.as_str())?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Session::save`], where there is no stored secret: a token that is not stored would not be valid later.
    pub async fn token(&self) -> Result<String, Error> {
        let secret = self.secret().await?;
        let mut random = [0; 8];
        self.random(&mut random);
        let salt = salt(u64::from_le_bytes(random));
        Ok(format!("{salt}-{}", hash(&salt, &secret)))
    }

    /// Checks that a token is one of this session, in constant time.
    ///
    /// Works in memory. `None`, a request without a token, is an error too.
    ///
    /// ```
    /// use express_session::{Csrf, ErrorKind};
    ///
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// let token = session.csrf().token().await?;
    /// session.csrf().verify(token.as_str())?;
    /// let refused = session.csrf().verify("guessed").unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::InvalidCsrfToken);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCsrfToken`], which is a 403 as the response of an axum handler.
    pub fn verify<'t>(&self, token: impl Into<Option<&'t str>>) -> Result<(), Error> {
        let secret: Option<String> = self.session.get(MEMBER)?;
        let secret = secret.filter(|secret| is_usable(secret));
        let is_valid = match (secret, token.into()) {
            (Some(secret), Some(token)) => is_token(token, &secret),
            _ => false,
        };
        if is_valid { Ok(()) } else { Err(Error::new(ErrorKind::InvalidCsrfToken)) }
    }

    /// Finds the token of a request in the headers in which csurf looks for it: `csrf-token`, `xsrf-token`,
    /// `x-csrf-token`, `x-xsrf-token`.
    ///
    /// A form sends its token in the field `_csrf` of the body, which the handler reads.
    ///
    /// ```
    /// use express_session::{Csrf, Error};
    /// use http::HeaderMap;
    ///
    /// async fn delete(csrf: Csrf, headers: HeaderMap) -> Result<&'static str, Error> {
    ///     csrf.verify(Csrf::in_headers(&headers))?;
    ///     Ok("deleted")
    /// }
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// # let mut headers = HeaderMap::new();
    /// # headers.insert("x-csrf-token", session.csrf().token().await?.parse().unwrap());
    /// # assert_eq!(delete(session.csrf(), headers).await?, "deleted");
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn in_headers(headers: &HeaderMap) -> Option<&str> {
        let text = |name| headers.get(name)?.to_str().ok().filter(|token| !token.is_empty());
        HEADERS.into_iter().find_map(text)
    }

    /// Returns the stored secret, and stores one where there is none.
    async fn secret(&self) -> Result<String, Error> {
        let (member, is_stored) = self.session.shared().with_session(|session| {
            let member = session.document.get_raw(MEMBER).map(str::to_owned);
            (member, !session.document.is_member_changed(MEMBER))
        })?;
        let secret: Option<String> = parsed(MEMBER, member.as_deref())?;
        if let Some(secret) = secret.filter(|secret| is_stored && is_usable(secret)) {
            return Ok(secret);
        }
        let mut random = [0; SECRET_BYTES];
        self.random(&mut random);
        let fresh = URL_SAFE_NO_PAD.encode(random);
        let keep_or_set = move |secret: Option<String>| {
            secret.filter(|secret| is_usable(secret)).unwrap_or_else(|| fresh.clone())
        };
        self.session.update_now(MEMBER, keep_or_set).await
    }

    fn random(&self, bytes: &mut [u8]) {
        self.session.shared().config.sources.random.fill(bytes);
    }
}

impl fmt::Debug for Csrf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Csrf")
    }
}

/// Checks whether tokens of a secret prove anything: anyone can make those of an empty one.
fn is_usable(secret: &str) -> bool {
    !secret.is_empty()
}

fn salt(random: u64) -> String {
    let digits = (0..SALT_LENGTH).scan(random, |rest, _| {
        let digit = *rest % SALT.len() as u64;
        *rest /= SALT.len() as u64;
        usize::try_from(digit).ok()
    });
    digits.map(|digit| char::from(SALT[digit])).collect()
}

/// Returns the part of a token behind the salt: 27 characters.
fn hash(salt: &str, secret: &str) -> String {
    let digest = Sha1::new().chain_update(salt).chain_update("-").chain_update(secret).finalize();
    URL_SAFE_NO_PAD.encode(digest)
}

/// Checks a token. Its salt may have any length, since csurf has an option for it.
fn is_token(token: &str, secret: &str) -> bool {
    let Some((salt, presented)) = token.split_once('-') else { return false };
    hash(salt, secret).as_bytes().ct_eq(presented.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salt_has_eight_letters_and_digits_for_any_random_bytes() {
        for random in [0, 1, 61, 62, u64::MAX / 2, u64::MAX] {
            let salt = salt(random);
            assert_eq!(salt.len(), SALT_LENGTH);
            assert!(salt.bytes().all(|byte| SALT.contains(&byte)), "{salt}");
        }
        assert_ne!(salt(0), salt(1));
    }

    #[test]
    fn tokens_are_those_of_csurf() {
        // From Node 20, with csrf 3.1.0: `new Tokens()._tokenize(of_node, salt)`.
        let of_node = "3nkuzPqYe_bWFPFhdcCFkSvb";
        for token in ["aB3xYz90-BwHvlajnQ0QILTkZMFz4Uia1AT0", "-3gMF6aPlLVPld3yboiwA7qXW0E8"] {
            assert!(is_token(token, of_node), "{token}");
            assert!(!is_token(token, "another"), "{token}");
            for end in 0..token.len() {
                assert!(!is_token(&token[..end], of_node), "{token} up to {end}");
            }
        }
    }
}
