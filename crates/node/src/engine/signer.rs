//! The session's cookie: who is named in the request's, and what is the response's?

#![allow(
    clippy::too_many_arguments,
    reason = "an object of them would cost more than all of the rest"
)]

use express_session_core::cookie::{
    self, Cookie, InvalidAttribute, Priority, SameSite, Secure, StoredCookie,
};
use express_session_core::{Keyring, SessionId, Timestamp, signing};
use napi::bindgen_prelude::{Either4, Latin1String, Null, Uint8Array};
use napi::{Error, Result, Status};
use napi_derive::napi;

/// Reads and writes the cookies of one name, signed with some secrets.
#[napi]
#[derive(Debug)]
pub struct Signer {
    name: String,
    keyring: Keyring,
    candidates: usize,
}

#[napi]
impl Signer {
    /// Takes the cookie's name, the secrets' bytes, and at how many cookies of the name to look.
    ///
    /// # Errors
    ///
    /// Where there is no secret.
    #[napi(constructor, catch_unwind)]
    pub fn new(name: String, secrets: Vec<Uint8Array>, candidates: u32) -> Result<Self> {
        let keyring = Keyring::new(secrets.iter().map(|secret| secret.as_ref()))
            .map_err(|error| invalid(error.to_string()))?;
        Ok(Self { name, keyring, candidates: candidates as usize })
    }

    /// Gives the id that a `Cookie` header names. Otherwise `null` for a cookie that is not signed, `false`
    /// for one with a wrong signature, and nothing where there is none.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn read(&self, header: Latin1String) -> Either4<String, bool, Null, ()> {
        let mut refusal = Either4::D(());
        for value in cookie::values([&header[..]], &self.name).take(self.candidates) {
            let refused = match signing::verify(&value, &self.keyring) {
                Ok(id) => return Either4::A(id.get().as_str().to_owned()),
                // As express-session has it, an empty value is no cookie, and an empty id no id.
                Err(refusal) if value.is_empty() || refusal == signing::Refusal::EmptyId => {
                    continue;
                }
                Err(signing::Refusal::Unsigned) => Either4::C(Null),
                Err(_) => Either4::B(false),
            };
            // The first one is told.
            if let Either4::D(()) = refusal {
                refusal = refused;
            }
        }
        refusal
    }

    /// Says whether a cookie's value, percent-decoded and without its `s:`, is signed with one of the
    /// secrets.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn verify(&self, signed: String) -> bool {
        // Node cuts the last character off where there is no dot. Its signature is never right then.
        let Some((text, signature)) = signed.rsplit_once('.') else { return false };
        self.keyring.verify(text, signature)
    }

    /// Writes the `Set-Cookie` line of a session's id.
    ///
    /// # Errors
    ///
    /// In express-session's words, for what no header can carry.
    #[napi(catch_unwind)]
    pub fn set_cookie(
        &self,
        id: String,
        flags: u32,
        expires: Option<f64>,
        path: Option<String>,
        domain: Option<String>,
        priority: Option<String>,
        same_site: Option<String>,
    ) -> Result<String> {
        cookie::check_name(&self.name).map_err(|_| invalid("argument name is invalid"))?;
        let attributes = attributes(flags, expires, path, domain, priority, same_site)?;
        let id = SessionId::new(id).ok_or_else(|| invalid("argument id is empty"))?;
        cookie::print(&self.name, &signing::sign(&id, &self.keyring), &attributes)
            .map_err(|error| refused(&error))
    }

    /// Writes the `Set-Cookie` line that makes a browser forget the cookie.
    ///
    /// # Errors
    ///
    /// In express-session's words, for what no header can carry.
    #[napi(catch_unwind)]
    pub fn expire_cookie(
        &self,
        flags: u32,
        expires: Option<f64>,
        path: Option<String>,
        domain: Option<String>,
        priority: Option<String>,
        same_site: Option<String>,
    ) -> Result<String> {
        cookie::check_name(&self.name).map_err(|_| invalid("argument name is invalid"))?;
        let attributes = attributes(flags, expires, path, domain, priority, same_site)?;
        cookie::print_expired(&self.name, &attributes).map_err(|error| refused(&error))
    }
}

/// Writes the `Set-Cookie` line of any name and value, unsigned.
///
/// # Errors
///
/// In express-session's words, for what no header can carry.
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
    cookie::check_name(&name).map_err(|_| invalid("argument name is invalid"))?;
    let attributes = attributes(flags, expires, path, domain, priority, same_site)?;
    cookie::print(&name, &value, &attributes).map_err(|error| refused(&error))
}

/// Draws the id of a new session.
///
/// # Errors
///
/// Where the operating system has no random bytes.
#[napi(catch_unwind)]
pub fn new_id() -> Result<String> {
    let mut bytes = [0; SessionId::RANDOM_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(Status::GenericFailure, error.to_string()))?;
    Ok(SessionId::from_random(bytes).as_str().to_owned())
}

/// What a cookie has that is there or not: `flags` of [`attributes`], and in lib/set-cookie.js.
mod flag {
    pub(super) const HTTP_ONLY: u32 = 1;
    pub(super) const SECURE: u32 = 2;
    pub(super) const PARTITIONED: u32 = 4;
    /// The path is `/`, as nearly every cookie's, and need not be handed over.
    pub(super) const ROOT: u32 = 8;
}

/// Takes a cookie as JavaScript hands it over: what is nothing there is nothing here.
fn attributes(
    flags: u32,
    expires: Option<f64>,
    path: Option<String>,
    domain: Option<String>,
    priority: Option<String>,
    same_site: Option<String>,
) -> Result<StoredCookie> {
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
    // The past does not count: nothing but `expires` itself is printed.
    let cookie = |options: &Cookie| StoredCookie::new(options, Timestamp::MIN, false, true);
    match with_words(options.clone(), expires, priority, same_site) {
        Ok(options) => Ok(cookie(&options)),
        // express-session tells what is wrong first, and looks at domain and path before.
        Err(later) => Err(cookie::print("", "", &cookie(&options))
            .map_or_else(|error| refused(&error), |_| later)),
    }
}

/// Adds what is one of a few words, or a time.
fn with_words(
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

/// The time of a JavaScript `Date`, unless it is invalid.
fn date(millis: f64) -> Option<Timestamp> {
    // What is within JavaScript's range is a whole number, and exact.
    let time = Timestamp::from_millis(millis as i64);
    (time.millis() as f64 == millis).then_some(time)
}

/// What express-session says of an attribute that no header can carry.
fn refused(error: &InvalidAttribute) -> Error {
    let option = match error.attribute() {
        "same_site" => "sameSite",
        other => other,
    };
    invalid(format!("option {option} is invalid"))
}

/// An error that JavaScript makes a `TypeError` of.
fn invalid(message: impl Into<String>) -> Error {
    Error::new(Status::InvalidArg, message.into())
}
