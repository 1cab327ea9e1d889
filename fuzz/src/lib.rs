//! The fuzz targets: for each reader and writer of untrusted bytes a function that takes any bytes, and panics if an
//! invariant does not hold.
//!
//! `cargo xtask fuzz` runs them under libFuzzer. The tests replay the inputs in `corpus/` without it, and compare with the
//! results of [Node](node)'s own readers.
//!
//! | target | input | compared with |
//! |---|---|---|
//! | [`connect_url`] | a store's URL and options | no error shows a part that may be secret |
//! | [`cookie_header`] | the `Cookie` header | `percent-encoding`; npm's cookie |
//! | [`date`] | a stored date | its own printing; JavaScript's `Date` |
//! | [`document_edits`] | changes of a record, and merges | a plain list in JavaScript's order |
//! | [`file_format`] | a session's file | serde_json |
//! | [`json`] | a value in a record | serde_json; `JSON.parse` and `JSON.stringify` |
//! | [`memcached_protocol`] | a server's answers | the same bytes in pieces |
//! | [`record_text`] | a stored record | serde_json; `JSON.parse` and `JSON.stringify` |
//! | [`set_cookie`] | the `Set-Cookie` header | cookie-rs; npm's cookie |
//! | [`stored_cookie`] | the `cookie` of a record | its own printing; express-session |
//! | [`token`] | a signed value | its own sealing; npm's cookie-signature |

#![forbid(unsafe_code)]

pub mod connect_url;
pub mod cookie_header;
pub mod corpus;
pub mod date;
pub mod document_edits;
pub mod file_format;
mod javascript;
pub mod json;
pub mod memcached_protocol;
pub mod node;
pub mod record_text;
pub mod set_cookie;
pub mod stored_cookie;
pub mod token;

use express_session_core::Timestamp;
use node::Question;

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its module, its binary and its corpus.
    pub name: &'static str,
    /// Panics if an invariant does not hold.
    pub run: fn(&[u8]),
    /// Returns the question for Node about an input, if Node has a second implementation.
    pub question: Option<Ask>,
}

/// Returns the question about an input, if the input is valid.
pub type Ask = fn(&[u8]) -> Option<Question>;

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "connect_url", run: connect_url::run, question: None },
    Target {
        name: "cookie_header",
        run: cookie_header::run,
        question: Some(cookie_header::question),
    },
    Target { name: "date", run: date::run, question: Some(date::question) },
    Target { name: "document_edits", run: document_edits::run, question: None },
    Target { name: "file_format", run: file_format::run, question: None },
    Target { name: "json", run: json::run, question: Some(json::question) },
    Target { name: "memcached_protocol", run: memcached_protocol::run, question: None },
    Target { name: "record_text", run: record_text::run, question: Some(record_text::question) },
    Target { name: "set_cookie", run: set_cookie::run, question: Some(set_cookie::question) },
    Target {
        name: "stored_cookie",
        run: stored_cookie::run,
        question: Some(stored_cookie::question),
    },
    Target { name: "token", run: token::run, question: Some(token::question) },
];

/// The current time of every target.
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);
