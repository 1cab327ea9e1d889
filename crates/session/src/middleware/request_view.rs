//! A borrowed view of a request's head.

use http::request::Parts;
use http::{Extensions, HeaderMap, Request, Uri};

/// The head of a request, split into parts only where a function of the application takes it.
pub(crate) struct RequestView<'a> {
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
    /// For the application's own functions: present where [`needs_parts`](crate::layer::config::Config::needs_parts) says so.
    pub(crate) parts: Option<&'a Parts>,
}

impl<'a> RequestView<'a> {
    pub(crate) fn of<B>(request: &'a Request<B>) -> Self {
        Self {
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
            parts: None,
        }
    }
}

impl<'a> From<&'a Parts> for RequestView<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self {
            uri: &parts.uri,
            headers: &parts.headers,
            extensions: &parts.extensions,
            parts: Some(parts),
        }
    }
}
