//! The session's cookie: reads the id from the `Cookie` header, and writes the `Set-Cookie` line.

#![allow(
    clippy::too_many_arguments,
    reason = "passing one object from JavaScript would cost more than the rest of the call"
)]

use express_session_core::cookie::{
    self, Cookie, InvalidAttribute, Priority, SameSite, Secure, StoredCookie,
};
use express_session_core::signing::Attempts;
use express_session_core::{Keyring, SessionId, Timestamp, signing};
use napi::bindgen_prelude::{Either4, Latin1String, Null, Uint8Array};
use napi::{Error, Result, Status};
use napi_derive::napi;

/// Reads and writes the cookies of one name, signed with a list of secrets.
#[napi]
#[derive(Debug)]
pub struct Signer {
    name: String,
    keyring: Keyring,
    attempts: Attempts,
}

#[napi]
impl Signer {
    /// Creates a signer from the cookie's name, the secrets' bytes, and the number of cookies of that name
    /// to read: one, or as many as [`Attempts::ALL`] verifies.
    ///
    /// # Errors
    ///
    /// If there is no secret.
    #[napi(constructor, catch_unwind)]
    pub fn new(name: String, secrets: Vec<Uint8Array>, candidates: u32) -> Result<Self> {
        let keyring = Keyring::new(secrets.iter().map(|secret| secret.as_ref()))
            .map_err(|error| invalid(format!("secret option: {error}")))?;
        let attempts = if candidates == 1 { Attempts::FIRST } else { Attempts::ALL };
        Ok(Self { name, keyring, attempts })
    }

    /// Returns the id that a `Cookie` header names; `null` for an unsigned cookie, `false` for one with an
    /// invalid signature, and `undefined` if there is no cookie.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn read(&self, header: Latin1String) -> Either4<String, bool, Null, ()> {
        let mut refusal = Either4::D(());
        let mut attempts = self.attempts;
        let most = if attempts.is_first_only() { 1 } else { usize::MAX };
        for value in cookie::values([&header[..]], &self.name).take(most) {
            let refused = match attempts.verify(&value, &self.keyring) {
                Ok(id) => return Either4::A(id.get().as_str().to_owned()),
                // As in express-session, an empty value or an empty id counts as no cookie.
                Err(refusal) if value.is_empty() || refusal == signing::Refusal::EmptyId => {
                    continue;
                }
                Err(signing::Refusal::Unsigned) => Either4::C(Null),
                Err(_) => Either4::B(false),
            };
            // The first refusal is returned.
            if let Either4::D(()) = refusal {
                refusal = refused;
            }
        }
        refusal
    }

    /// Checks whether a cookie's value, percent-decoded and without its `s:`, is signed with one of
    /// the secrets.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn verify(&self, signed: String) -> bool {
        // Without a dot, express-session cuts the last character off: the signature is never valid.
        let Some((text, signature)) = signed.rsplit_once('.') else { return false };
        self.keyring.verify(text, signature)
    }

    /// Returns the `Set-Cookie` line of a session's id, or without an id the line that makes a browser
    /// delete the cookie.
    ///
    /// # Errors
    ///
    /// For a name or attribute that no header can carry, with the message of express-session.
    #[napi(catch_unwind)]
    pub fn set_cookie(
        &self,
        id: Option<String>,
        flags: u32,
        expires: Option<f64>,
        path: Option<String>,
        domain: Option<String>,
        priority: Option<String>,
        same_site: Option<String>,
    ) -> Result<String> {
        let attributes = attributes(&self.name, flags, expires, path, domain, priority, same_site)?;
        let line = match id {
            Some(id) => {
                let id = SessionId::new(id).ok_or_else(|| invalid("argument id is empty"))?;
                cookie::print(&self.name, &signing::sign(&id, &self.keyring), &attributes)
            }
            None => cookie::print_expired(&self.name, &attributes),
        };
        line.map_err(|error| refused(&error))
    }
}

/// Returns the `Set-Cookie` line of any name and value, unsigned.
///
/// # Errors
///
/// As [`Signer::set_cookie`].
#[napi(catch_unwind)]
pub fn print_cookie(
    name: String,
    value: String,
    flags: u32,
    expires: Option<f64>,
    path: Option<String>,
    domain: Option<String>,
    priority: Option<String>,
    same_site: Option<String>,
) -> Result<String> {
    let attributes = attributes(&name, flags, expires, path, domain, priority, same_site)?;
    cookie::print(&name, &value, &attributes).map_err(|error| refused(&error))
}

/// Returns a random id for a new session.
///
/// # Errors
///
/// If the operating system provides no random bytes.
#[napi(catch_unwind)]
pub fn new_id() -> Result<String> {
    let mut bytes = [0; SessionId::RANDOM_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(Status::GenericFailure, format!("cannot draw a session id: {error}"))
    })?;
    Ok(SessionId::from_random(bytes).as_str().to_owned())
}

/// The bits of `flags`, the same as in lib/set-cookie.js.
mod flag {
    pub(super) const HTTP_ONLY: u32 = 1;
    pub(super) const SECURE: u32 = 2;
    pub(super) const PARTITIONED: u32 = 4;
    /// The path is `/`, as in nearly every cookie, and is not passed as a string.
    pub(super) const ROOT: u32 = 8;
}

/// Checks a cookie's name and converts its attributes; an undefined attribute is not printed.
pub(super) fn attributes(
    name: &str,
    flags: u32,
    expires: Option<f64>,
    path: Option<String>,
    domain: Option<String>,
    priority: Option<String>,
    same_site: Option<String>,
) -> Result<StoredCookie> {
    cookie::check_name(name).map_err(|_| invalid("argument name is invalid"))?;
    let has = |flag| flags & flag != 0;
    let mut options = Cookie::new()
        .http_only(has(flag::HTTP_ONLY))
        .secure(if has(flag::SECURE) { Secure::Always } else { Secure::Never })
        .partitioned(has(flag::PARTITIONED));
    if !has(flag::ROOT) {
        options = options.path(path.unwrap_or_default());
    }
    if let Some(domain) = domain {
        options = options.domain(domain);
    }
    // The current time does not matter, because only `expires` is printed.
    let cookie = |options: &Cookie| StoredCookie::new(options, Timestamp::MIN, false, true);
    match with_keywords(options.clone(), expires, priority, same_site) {
        Ok(options) => Ok(cookie(&options)),
        // express-session reports the first invalid attribute, and checks domain and path first.
        Err(later) => Err(cookie::print("", "", &cookie(&options))
            .map_or_else(|error| refused(&error), |_| later)),
    }
}

/// Adds the expiry and the keywords, which can be invalid.
fn with_keywords(
    mut options: Cookie,
    expires: Option<f64>,
    priority: Option<String>,
    same_site: Option<String>,
) -> Result<Cookie> {
    if let Some(millis) = expires {
        let date = date(millis).ok_or_else(|| invalid("option expires is invalid"))?;
        options = options.expires(date.into());
    }
    if let Some(word) = priority {
        options = options.priority(match word.to_lowercase().as_str() {
            "low" => Priority::Low,
            "medium" => Priority::Medium,
            "high" => Priority::High,
            _ => return Err(invalid("option priority is invalid")),
        });
    }
    if let Some(word) = same_site {
        options = options.same_site(match word.to_lowercase().as_str() {
            "lax" => SameSite::Lax,
            "strict" => SameSite::Strict,
            "none" => SameSite::None,
            _ => return Err(invalid("option sameSite is invalid")),
        });
    }
    Ok(options)
}

/// Converts the time of a JavaScript `Date`, unless the date is invalid.
fn date(millis: f64) -> Option<Timestamp> {
    // Every time within JavaScript's range is a whole number, and the conversion is exact.
    let time = Timestamp::from_millis(millis as i64);
    (time.millis() as f64 == millis).then_some(time)
}

/// Makes express-session's error for an attribute that no header can carry.
fn refused(error: &InvalidAttribute) -> Error {
    let option = match error.attribute() {
        "same_site" => "sameSite",
        other => other,
    };
    invalid(format!("option {option} is invalid"))
}

/// Makes an error that lib/set-cookie.js turns into a `TypeError`.
fn invalid(message: impl Into<String>) -> Error {
    Error::new(Status::InvalidArg, message.into())
}
