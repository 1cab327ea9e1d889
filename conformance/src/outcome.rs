//! The outcome of a scenario on one side: its responses, its calls of the store, and the values that its handler saw.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Outcome {
    /// One for each request.
    #[serde(default)]
    pub responses: Vec<Response>,
    /// The reason if there is nothing to compare.
    pub crash: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    pub status: u16,
    /// The `Set-Cookie` lines, in order.
    pub set_cookie: Vec<String>,
    /// The calls to the store, in order.
    pub calls: Vec<Call>,
    /// The results that the handler saw, one text for each of its operations.
    pub view: Vec<String>,
    /// The live records in the store afterwards, by their ids.
    pub records: BTreeMap<String, String>,
    /// The errors that reached the error handler after the response had begun: on Node only.
    #[serde(default)]
    pub late: Vec<String>,
}

/// A call to the store, in express-session's words.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Call {
    Get(String),
    /// Of this id and record.
    Set(String, String),
    /// Of this id, with this JSON of the cookie.
    Touch(String, String),
    Destroy(String),
}
