//! The session of the cases: everything that JSON on Node can hold.

use std::time::Duration;

use anyhow::{Result, ensure};
use express_session::store::Record;
use express_session::{Cookie, Timestamp};
use express_session_core::Document;
use express_session_core::cookie::StoredCookie;

/// In milliseconds, the unit of Node.
pub(crate) const HOUR: i64 = 3_600_000;

/// The members as `JSON.stringify` writes them: integer-like keys stand before the cookie.
const INDEXED: &str = r#""2":"two","10":[10]"#;
const OTHERS: &str = concat!(
    r#""views":3,"float":0.1,"large":1e+21,"small":5e-324,"minus":-1.5,"#,
    r#""text":"é ключ 日本 😀","escapes":"\"\\/\b\f\n\r\t\u0000\u001f","lone":"\ud800","#,
    "\"lines\":\"\u{2028}\u{2029}\u{7f}\",",
    r#""":"no name","it's \"quoted\"":"'","nested":{"1":{"a":[1,[2,[3,{}]]]},"b":{}},"#,
    r#""list":[],"yes":true,"nothing":null,"date":"2026-11-24T07:00:00.000Z""#,
);

/// Returns the members, as one JSON object.
pub(crate) fn members() -> String {
    format!("{{{INDEXED},{OTHERS}}}")
}

/// Returns the record of the members with this cookie, as every store has it.
pub(crate) fn text(cookie: &str) -> String {
    format!("{{{INDEXED},\"cookie\":{cookie},{OTHERS}}}")
}

/// Returns the record of a new session of ours.
pub(crate) fn record(max_age: Option<i64>, now: Timestamp) -> Record {
    let mut cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    cookie.set_max_age(max_age.map(|millis| Duration::from_millis(millis.unsigned_abs())), now);
    Record { text: text(&cookie.text()).into(), deadline: cookie.deadline() }
}

/// Returns the JSON of a record's cookie.
pub(crate) fn cookie_of(text: &str) -> Result<String> {
    Ok(Document::parse(text)?.cookie_text().to_owned())
}

/// Returns a cookie's JSON without its expiry, and with its max age in whole seconds, rounded up: with each touch,
/// express-session stores the time from now to the expiry, some of which is over already.
pub(crate) fn timeless(cookie: &str) -> Result<String> {
    let mut cookie: serde_json::Value = serde_json::from_str(cookie)?;
    if let Some(max_age) = cookie.get_mut("originalMaxAge")
        && let Some(millis) = max_age.as_u64()
    {
        *max_age = millis.next_multiple_of(1000).into();
    }
    if let Some(expires) = cookie.get_mut("expires").filter(|expires| expires.is_string()) {
        *expires = "some time".into();
    }
    Ok(cookie.to_string())
}

/// Checks that two records have the same members, with any expiry.
pub(crate) fn same_members(what: &str, one: &str, other: &str) -> Result<()> {
    let same = Document::parse(one)?.same_members(&Document::parse(other)?);
    ensure!(same, "{what}: members differ");
    Ok(())
}
