//! A scenario: servers, the records of their store, and requests to play one after another.
//!
//! As JSON it is one line without the defaults. Node reads the
//! same line (`node/judge.mjs`), so the defaults there and here must agree.

use serde::{Deserialize, Serialize};

use crate::value::Value;

/// The scenario that both sides play.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// The applications; a request names the one it goes to. All share one store.
    pub servers: Vec<Server>,
    /// The ids of new sessions.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ids: Ids,
    /// The records in the store before the first request.
    #[serde(default, skip_serializing_if = "is_default")]
    pub seeds: Vec<Seed>,
    pub requests: Vec<Request>,
}

/// The options of one application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Server {
    /// The secrets; the first one signs.
    pub secrets: Vec<String>,
    /// The cookie's name, or express-session's own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub proxy: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub resave: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub rolling: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub save_uninitialized: bool,
    /// `unset: 'destroy'`
    #[serde(default, skip_serializing_if = "is_default")]
    pub unset_destroys: bool,
    /// The cookie's options, in the order they are given in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cookie: Vec<Attribute>,
    /// Passes the cookie's options as a function of the request.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cookie_function: bool,
    /// The options that this function returns for a request with `alt`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub alt_cookie: Vec<Attribute>,
    /// The store has no `touch`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub no_touch: bool,
}

/// One attribute of a cookie, as `{"path":"/"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Attribute {
    Path(String),
    Domain(String),
    /// `maxAge` in milliseconds
    MaxAge(Option<u64>),
    /// `expires` in milliseconds since 1970
    Expires(Option<i64>),
    HttpOnly(bool),
    Secure(Flag),
    SameSite(Flag),
    Partitioned(bool),
    Priority(String),
}

/// A value that is on, off or named, such as that of `sameSite`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Flag {
    /// `true` or `false`
    Is(bool),
    /// `"auto"`, `"lax"`, …
    Named(String),
}

/// The ids that `genid` returns: the request's tag and the count within it, so that an id does not depend on the
/// time of the call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ids {
    /// Stands before the tag.
    #[serde(default, skip_serializing_if = "is_default")]
    pub prefix: String,
    /// Stands after the count.
    #[serde(default, skip_serializing_if = "is_default")]
    pub suffix: String,
    /// Names every session like this instead.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fixed: Option<String>,
}

impl Ids {
    /// Names the session that a request generates after `count` others.
    pub fn name(&self, tag: &str, count: usize) -> String {
        let Self { prefix, suffix, fixed } = self;
        fixed.clone().unwrap_or_else(|| format!("{prefix}{tag}n{count}{suffix}"))
    }
}

/// A record in the store before the first request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    pub id: String,
    /// Its text, as JSON.
    pub text: String,
}

/// One request, and what its handler does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// Stands for the request in the ids it generates.
    pub tag: String,
    /// The time, in milliseconds since 1970. It stands still during the request.
    pub at: i64,
    /// The number of the server that it goes to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub server: usize,
    /// The method, or GET.
    #[serde(default, skip_serializing_if = "is_default")]
    pub method: Option<String>,
    /// The request target, or `/`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub path: Option<String>,
    /// The headers; a character stands for a byte.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub encrypted: bool,
    /// The result of Express's `trust proxy`: `req.secure`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub secure: bool,
    /// Makes the cookie function return its other options.
    #[serde(default, skip_serializing_if = "is_default")]
    pub alt: bool,
    /// The store calls that fail: `get`, `set`, `touch`, `destroy`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fail: Vec<String>,
    /// The operations of the handler on the session.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ops: Vec<Op>,
    /// The `Set-Cookie` lines that the handler sends itself.
    #[serde(default, skip_serializing_if = "is_default")]
    pub set_cookie: Vec<String>,
    /// The handler announces the length of its body.
    #[serde(default, skip_serializing_if = "is_default")]
    pub content_length: bool,
}

/// One operation of a handler, which returns something to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "camelCase")]
pub enum Op {
    Get {
        key: String,
    },
    /// Writes a member.
    Set {
        key: String,
        value: Value,
    },
    Remove {
        key: String,
    },
    /// Asks whether a member is there.
    Contains {
        key: String,
    },
    Keys,
    /// Deletes all members.
    Clear,
    /// Writes a member with the value it has.
    Same {
        key: String,
    },
    /// Deletes a member and writes it again.
    Readd {
        key: String,
    },
    /// Writes this value to a member, and then its earlier one.
    Revert {
        key: String,
        value: Value,
    },
    /// Adds one to a number; anything else counts as 0.
    Increment {
        key: String,
    },
    Id,
    /// Reads the cookie's max age, original max age and expiry.
    Cookie,
    /// Changes an attribute of the session's cookie.
    SetCookie {
        to: Attribute,
    },
    Touch,
    Save,
    Reload,
    Regenerate,
    Destroy,
    /// `req.session = null`
    Unset,
    /// Sends the headers and half of the body; the client waits for the rest during the next operations.
    Flush,
    /// Another request writes the session's record.
    RivalSet {
        text: String,
    },
    /// Another request destroys the session's record.
    RivalDestroy,
}

impl Scenario {
    /// Writes the scenario on one line, as Node reads it and `--replay` takes it.
    pub fn line(&self) -> String {
        #[expect(clippy::unwrap_used, reason = "all keys are strings, and all numbers are finite")]
        serde_json::to_string(self).unwrap()
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenario_is_read_back_from_its_line() {
        for scenario in crate::generate::Generator::new(1).take(200) {
            assert_eq!(serde_json::from_str::<Scenario>(&scenario.line()).unwrap(), scenario);
        }
    }
}
