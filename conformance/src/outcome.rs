//! What a side made of a scenario: what left it, what it asked of the store, and what its handler saw.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What one side made of one scenario.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Outcome {
    /// One for each request.
    #[serde(default)]
    pub responses: Vec<Response>,
    /// Why there is nothing to compare.
    pub crash: Option<String>,
}

/// What became of one request.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The `Set-Cookie` lines, in order.
    pub set_cookie: Vec<String>,
    /// The calls to the store, in order.
    pub calls: Vec<Call>,
    /// What the handler saw, one text for each of its operations.
    pub view: Vec<String>,
    /// The live records that are left behind, by their ids.
    pub records: BTreeMap<String, String>,
    /// What was told to the error handler when the response had begun: on Node only.
    #[serde(default)]
    pub late: Vec<String>,
}

/// A call to the store, in express-session's words.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Call {
    /// Of this id.
    Get(String),
    /// Of this id and record.
    Set(String, String),
    /// Of this id, with this JSON of the cookie.
    Touch(String, String),
    /// Of this id.
    Destroy(String),
}
