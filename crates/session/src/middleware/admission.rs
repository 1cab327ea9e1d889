//! Which requests have a session: what is put into the request's extensions.
//!
//! 1. A request whose path is outside of the cookie's has none (item 19).
//! 2. A request that already has a session of this name keeps that (item 17).
//! 3. The cookie is read and its signature checked; the store is not called yet.

use std::sync::Arc;

use express_session_core::metadata::Client;
use express_session_core::policy::ClientNotes;
use express_session_core::signing::Presented;
use http::HeaderValue;
use http::header::{COOKIE, USER_AGENT};

use super::request_view::RequestView;
use crate::layer::config::Config;
use crate::layer::warnings::Warning;
use crate::request::RequestSession;

/// The sessions of a request in its extensions: that of the innermost layer, and behind it those of the outer ones.
#[derive(Clone)]
pub(crate) struct SessionExtension {
    admission: Admission,
    outer: Option<Arc<Self>>,
}

#[derive(Clone)]
enum Admission {
    Session(Arc<RequestSession>),
    /// There is none: the request's path is outside of the cookie's.
    OutsidePath(Arc<Config>),
}

impl SessionExtension {
    /// Returns the name of the layer's cookie.
    pub(crate) fn name(&self) -> &str {
        match &self.admission {
            Admission::Session(session) => &session.config.name,
            Admission::OutsidePath(config) => &config.name,
        }
    }

    pub(crate) fn session(&self) -> Option<&Arc<RequestSession>> {
        match &self.admission {
            Admission::Session(session) => Some(session),
            Admission::OutsidePath(_) => None,
        }
    }

    pub(crate) fn outer(&self) -> Option<&Self> {
        self.outer.as_deref()
    }

    fn has(&self, name: &str) -> bool {
        (self.session().is_some() && self.name() == name)
            || self.outer().is_some_and(|outer| outer.has(name))
    }
}

impl Config {
    /// Returns what is to be put into a request's extensions; `None` where another layer has done that.
    pub(super) fn attach_session(
        self: &Arc<Self>,
        request: &RequestView<'_>,
    ) -> Option<SessionExtension> {
        let policy = &self.policy;
        let outer = request.extensions.get::<SessionExtension>();
        let is_taken = |outer: &SessionExtension| {
            if policy.nests_layers_by_name() {
                outer.has(&self.name)
            } else {
                outer.session().is_some()
            }
        };
        if outer.is_some_and(is_taken) {
            return None;
        }
        let cookie = self.cookie_options(request.parts);
        let is_inside = path_matches(
            original_path(request),
            cookie.session_path(),
            policy.matches_path_like_browsers(),
        );
        let admission = if is_inside {
            let presented = self.presented(request);
            let is_secure = self.connection.is_secure(request, policy.reads_forwarded());
            let parts = request.parts.filter(|_| self.keeps_request());
            let parts = parts.map(|parts| Box::new(parts.clone()));
            let template = self.template_of_request(&cookie, is_secure);
            let client = self.client(request);
            let session = RequestSession::new(
                Arc::clone(self),
                presented,
                is_secure,
                client,
                parts,
                template,
            );
            Admission::Session(Arc::new(session))
        } else {
            Admission::OutsidePath(Arc::clone(self))
        };
        Some(SessionExtension { admission, outer: outer.cloned().map(Arc::new) })
    }

    /// Returns of the client of a request what the policy notes.
    fn client(&self, request: &RequestView<'_>) -> Option<Box<Client>> {
        let notes = self.policy.client;
        if notes == ClientNotes::default() {
            return None;
        }
        let address = self.client_address.as_ref().zip(request.parts);
        let address = address.and_then(|(address, parts)| address(parts));
        let user_agent = request.headers.get(USER_AGENT);
        let user_agent = user_agent.map(|value| String::from_utf8_lossy(value.as_bytes()));
        Client::new(notes, address, user_agent.as_deref()).map(Box::new)
    }

    /// Finds the ids of the request's cookies whose signatures are valid.
    fn presented(&self, request: &RequestView<'_>) -> Presented {
        let headers = request.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
        let presented = self.policy.cookie_attempts().find(headers, &self.name, &self.keyring);
        if presented.is_ambiguous {
            self.warnings.warn_rarely(Warning::AmbiguousCookie, self.sources.now());
        }
        presented
    }
}

/// Returns the path that the client asked for, also inside of a nested router.
fn original_path<'a>(request: &RequestView<'a>) -> &'a str {
    #[cfg(feature = "axum")]
    if let Some(original) = request.extensions.get::<axum::extract::OriginalUri>() {
        return path_of(&original.0);
    }
    path_of(request.uri)
}

fn path_of(uri: &http::Uri) -> &str {
    match uri.path() {
        "" => "/",
        path => path,
    }
}

/// Checks whether a request's path is within a cookie's: as browsers do (RFC 6265 §5.1.4), or by prefix.
fn path_matches(path: &str, cookie_path: &str, as_browsers: bool) -> bool {
    let Some(rest) = path.strip_prefix(cookie_path) else { return false };
    !as_browsers || rest.is_empty() || cookie_path.ends_with('/') || rest.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_by_prefix_as_on_node_and_by_segment_as_in_browsers() {
        for (path, cookie_path, on_node, in_browsers) in [
            ("/", "/", true, true),
            ("/a/b", "/", true, true),
            ("/admin", "/admin", true, true),
            ("/admin/x", "/admin", true, true),
            ("/administrator", "/admin", true, false),
            ("/admin/x", "/admin/", true, true),
            ("/admin", "/admin/", false, false),
            ("/Admin", "/admin", false, false),
            ("*", "/", false, false),
        ] {
            assert_eq!(path_matches(path, cookie_path, false), on_node, "{path} {cookie_path}");
            assert_eq!(path_matches(path, cookie_path, true), in_browsers, "{path} {cookie_path}");
        }
    }
}
