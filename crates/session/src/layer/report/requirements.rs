//! The requirements, one after the other, each with the question to a layer's settings.
//!
//! Their texts are short forms. ASVS: `0x16-V7-Session-Management.md` and V3.3 of version 5.0. WSTG: 4.2 and, for 11, the
//! version after it. NIST: SP 800-63B-4 §2.2.3, §5.1, §5.1.1.

use std::time::Duration;

use express_session_core::policy::OnMismatch;

use super::facts::{Attributes, Facts, Prefix};
use super::{Row, Standard, Status};

/// A requirement, and the question whether a layer meets it.
pub(super) struct Requirement {
    pub(super) standard: Standard,
    pub(super) id: &'static str,
    level: Option<u8>,
    text: &'static str,
    answer: fn(&Facts) -> Answer,
}

type Answer = (Status, &'static str);

impl Requirement {
    pub(super) fn judge(&self, facts: &Facts) -> Row {
        let (status, by) = (self.answer)(facts);
        Row {
            standard: self.standard,
            id: self.id,
            level: self.level,
            requirement: self.text,
            status,
            by,
        }
    }
}

const fn asvs(
    id: &'static str,
    level: u8,
    text: &'static str,
    answer: fn(&Facts) -> Answer,
) -> Requirement {
    Requirement { standard: Standard::Asvs, id, level: Some(level), text, answer }
}

const fn wstg(id: &'static str, text: &'static str, answer: fn(&Facts) -> Answer) -> Requirement {
    Requirement { standard: Standard::Wstg, id, level: None, text, answer }
}

const fn nist(id: &'static str, text: &'static str, answer: fn(&Facts) -> Answer) -> Requirement {
    Requirement { standard: Standard::Nist, id, level: None, text, answer }
}

pub(super) const REQUIREMENTS: &[Requirement] = &[
    asvs("7.1.1", 2, "idle and absolute timeouts are documented", documented_timeouts),
    asvs("7.1.2", 2, "the number of parallel sessions is documented", parallel_sessions),
    asvs("7.1.3", 2, "sessions of federated systems are documented", |_| {
        application("the guide's chapter lifetime, Federated logins")
    }),
    asvs("7.2.1", 1, "tokens are verified at the backend", |_| met("the layer")),
    asvs("7.2.2", 1, "tokens are generated, not static", |_| met("the layer")),
    asvs(
        "7.2.3",
        1,
        "reference tokens are unique, from a CSPRNG, of at least 128 bits",
        random_ids,
    ),
    asvs("7.2.4", 1, "a login gives a new token and ends the old one", new_id_at_login),
    asvs("7.3.1", 2, "an idle timeout", idle_timeout),
    asvs("7.3.2", 2, "an absolute lifetime", absolute_timeout),
    asvs("7.4.1", 1, "a logout, and expiry, is final at the backend", final_end),
    asvs("7.4.2", 1, "all sessions of a disabled user end", end_of_a_user),
    asvs(
        "7.4.3",
        2,
        "a user can end the other sessions after a change of credentials",
        end_of_others,
    ),
    asvs("7.4.4", 2, "the logout is easy to see", |_| {
        application("`Session::logout`, behind a button")
    }),
    asvs("7.4.5", 2, "an administrator ends the sessions of one user or of all", end_of_a_user),
    asvs("7.5.1", 2, "a sensitive change asks for the credentials again", fresh_login),
    asvs("7.5.2", 2, "a user sees and ends the sessions", sessions_of_a_user),
    asvs("7.5.3", 3, "a highly sensitive operation asks for another factor", level),
    asvs("7.6.1", 2, "the lifetimes of relying party and provider agree", own_lifetime),
    asvs("7.6.2", 2, "no session without an action of the user", no_session_without_an_action),
    asvs("3.3.1", 1, "`Secure`, and a prefix in the name", secure_and_prefix),
    asvs("3.3.2", 2, "`SameSite`", same_site),
    asvs("3.3.3", 2, "`__Host-`, unless subdomains share the cookie", host_prefix),
    asvs("3.3.4", 2, "`HttpOnly`", http_only),
    asvs("3.3.5", 3, "at most 4096 bytes of name and value", short_cookie),
    wstg("SESS-01", "the schema: random ids that cannot be forged", random_ids),
    wstg("SESS-02", "the cookie's attributes", attributes),
    wstg("SESS-03", "no session fixation", new_id_at_login),
    wstg("SESS-04", "no cache stores the session's cookie", cache_headers),
    wstg("SESS-05", "no cross-site request forgery", csrf),
    wstg("SESS-06", "a logout that ends the session", final_end),
    wstg("SESS-07", "timeouts", both_timeouts),
    wstg("SESS-08", "no puzzling: a session of one part is not valid in another", key_per_name),
    wstg("SESS-09", "no hijacking: the cookie travels by HTTPS alone", secure_and_prefix),
    wstg("SESS-11", "concurrent sessions are limited or shown", concurrent_sessions),
    nist("2.2.3", "AAL2: at most 24 hours, and an hour without activity", aal2_timeouts),
    nist("5.1-1", "the secret is random, of at least 64 bits", random_ids),
    nist("5.1-2", "the secret begins with, or after, the authentication", new_id_at_login),
    nist("5.1-3", "a logout erases or invalidates the secret", final_end),
    nist("5.1-4", "the secret travels by an authenticated, protected channel", secure),
    nist("5.1-5", "the secret ends after the timeout", both_timeouts),
    nist("5.1-6", "no fallback to an insecure channel", secure),
    nist("5.1-7", "forms carry an identifier of the session, against forgery", csrf),
    nist("5.1.1-1", "the cookie is Secure", secure),
    nist("5.1.1-2", "the cookie is for as few hosts and paths as possible", host_prefix),
    nist("5.1.1-3", "the cookie is HttpOnly", http_only),
    nist("5.1.1-4", "the cookie ends with the session", |_| met("the layer")),
    nist("5.1.1-5", "the cookie is SameSite, Lax or Strict", same_site),
    nist("5.1.1-6", "the cookie is opaque, without personal information", opaque_cookie),
];

const fn met(by: &'static str) -> Answer {
    (Status::Met, by)
}

const fn application(by: &'static str) -> Answer {
    (Status::Application, by)
}

const fn met_if(is_met: bool, by: &'static str) -> Answer {
    (if is_met { Status::Met } else { Status::Unmet }, by)
}

const fn application_if(is_possible: bool, by: &'static str, option: &'static str) -> Answer {
    if is_possible { application(by) } else { (Status::Unmet, option) }
}

fn documented_timeouts(facts: &Facts) -> Answer {
    let limits = facts.policy.limits;
    application_if(
        limits.idle.is_some() && limits.absolute.is_some(),
        "copy them from the layer's options into your policy",
        "`SessionLayer::idle_timeout`, `SessionLayer::absolute_timeout`",
    )
}

fn parallel_sessions(facts: &Facts) -> Answer {
    application(if facts.policy.max_sessions.is_some() {
        "copy `SessionLayer::max_sessions` into your policy"
    } else {
        "any number: say so in your policy, or set `SessionLayer::max_sessions`"
    })
}

fn concurrent_sessions(facts: &Facts) -> Answer {
    match facts.policy.max_sessions {
        Some(_) => met("`SessionLayer::max_sessions`"),
        None => sessions_of_a_user(facts),
    }
}

fn sessions_of_a_user(facts: &Facts) -> Answer {
    let calls = "`Session::user_sessions`, `Session::end_user_session`";
    application_if(facts.policy.keeps_metadata(), calls, "`SessionLayer::metadata`")
}

fn end_of_others(facts: &Facts) -> Answer {
    let call = "`Session::end_other_sessions`";
    application_if(facts.policy.keeps_metadata(), call, "`SessionLayer::metadata`")
}

fn end_of_a_user(facts: &Facts) -> Answer {
    let call = "`SessionLayer::end_sessions_of`";
    application_if(facts.policy.keeps_metadata(), call, "`SessionLayer::metadata`")
}

fn random_ids(facts: &Facts) -> Answer {
    let by = "24 bytes of the operating system for each id, signed";
    match (facts.has_genid, facts.refuses_weak_secrets) {
        (true, _) => application("`SessionLayer::genid`: your own ids"),
        (false, true) => met(by),
        (false, false) => (Status::Unmet, "`SessionLayer::refuse_weak_secrets`"),
    }
}

fn new_id_at_login(facts: &Facts) -> Answer {
    let call =
        if facts.policy.keeps_metadata() { "`Session::login`" } else { "`Session::regenerate`" };
    application(call)
}

fn idle_timeout(facts: &Facts) -> Answer {
    met_if(facts.policy.limits.idle.is_some(), "`SessionLayer::idle_timeout`")
}

fn absolute_timeout(facts: &Facts) -> Answer {
    met_if(facts.policy.limits.absolute.is_some(), "`SessionLayer::absolute_timeout`")
}

fn both_timeouts(facts: &Facts) -> Answer {
    let limits = facts.policy.limits;
    let by = "`SessionLayer::idle_timeout`, `SessionLayer::absolute_timeout`";
    met_if(limits.idle.is_some() && limits.absolute.is_some(), by)
}

fn aal2_timeouts(facts: &Facts) -> Answer {
    const HOUR: Duration = Duration::from_secs(3600);
    let by = "`SessionLayer::idle_timeout`, `SessionLayer::absolute_timeout`";
    met_if(facts.ends_within(HOUR, 24 * HOUR), by)
}

fn final_end(facts: &Facts) -> Answer {
    let is_final = facts.policy.on_missing_record() == OnMismatch::Refuse;
    met_if(is_final, "departure 16 (`destroy_is_final`)")
}

fn fresh_login(facts: &Facts) -> Answer {
    let has_login = facts.policy.keeps_metadata();
    application_if(has_login, "`Session::require_fresh`", "`SessionLayer::metadata`")
}

fn level(facts: &Facts) -> Answer {
    let calls = "`Session::require_level`, `Session::step_up`";
    application_if(facts.policy.keeps_metadata(), calls, "`SessionLayer::metadata`")
}

fn own_lifetime(facts: &Facts) -> Answer {
    let has_login = facts.policy.keeps_metadata();
    application_if(
        has_login,
        "`Login::absolute_timeout`, of the provider's token",
        "`SessionLayer::metadata`",
    )
}

fn no_session_without_an_action(facts: &Facts) -> Answer {
    met_if(!facts.policy.save_uninitialized, "`SessionLayer::save_uninitialized` is off")
}

/// Asks the cookie's attributes, or leaves the answer to the function that sets them.
fn cookie(facts: &Facts, is_met: fn(&Attributes) -> bool, option: &'static str) -> Answer {
    match &facts.cookie {
        Some(cookie) => met_if(is_met(cookie), option),
        None => application("the function of `SessionLayer::cookie_with`"),
    }
}

fn secure(facts: &Facts) -> Answer {
    cookie(facts, |cookie| cookie.is_secure, "`Cookie::secure`")
}

fn secure_and_prefix(facts: &Facts) -> Answer {
    if facts.prefix == Prefix::None {
        return (Status::Unmet, "`SessionLayer::name`: `__Host-…`");
    }
    secure(facts)
}

fn host_prefix(facts: &Facts) -> Answer {
    met_if(facts.prefix == Prefix::Host, "`SessionLayer::name`: `__Host-…`")
}

fn same_site(facts: &Facts) -> Answer {
    cookie(facts, |cookie| cookie.is_same_site, "`Cookie::same_site`")
}

fn http_only(facts: &Facts) -> Answer {
    cookie(facts, |cookie| cookie.is_http_only, "`Cookie::http_only`")
}

fn attributes(facts: &Facts) -> Answer {
    let is_met =
        |cookie: &Attributes| cookie.is_secure && cookie.is_http_only && cookie.is_same_site;
    cookie(facts, is_met, "`Cookie::secure`, `Cookie::http_only`, `Cookie::same_site`")
}

fn short_cookie(facts: &Facts) -> Answer {
    if facts.has_genid { application("`SessionLayer::genid`: short ids") } else { met("the layer") }
}

fn opaque_cookie(facts: &Facts) -> Answer {
    if facts.has_genid {
        application("`SessionLayer::genid`: your own ids")
    } else {
        met("the layer")
    }
}

fn cache_headers(facts: &Facts) -> Answer {
    met_if(facts.policy.cache_headers().is_some(), "`SessionLayer::cache_headers`, departure 22")
}

fn key_per_name(facts: &Facts) -> Answer {
    met_if(facts.has_key_per_name, "`SessionLayer::key_per_name`")
}

fn csrf(_: &Facts) -> Answer {
    application("`Session::csrf`, or tower-http's `CsrfLayer`")
}
