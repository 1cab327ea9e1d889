//! The settings of a layer that requirements ask for.

use std::time::Duration;

use express_session_core::cookie::{Cookie, SameSite, StoredCookie};
use express_session_core::{Policy, Timestamp};

/// The settings of a layer that decide which requirements it meets.
#[derive(Clone, Copy, Debug)]
pub(in crate::layer) struct Facts {
    pub(in crate::layer) policy: Policy,
    /// The cookie's attributes; `None` where a function of the application sets them.
    pub(in crate::layer) cookie: Option<Attributes>,
    pub(in crate::layer) prefix: Prefix,
    /// Whether a function of the application makes the ids.
    pub(in crate::layer) has_genid: bool,
    pub(in crate::layer) refuses_weak_secrets: bool,
    pub(in crate::layer) has_key_per_name: bool,
}

/// The attributes of a cookie.
#[derive(Clone, Copy, Debug)]
pub(in crate::layer) struct Attributes {
    pub(super) is_secure: bool,
    pub(super) is_http_only: bool,
    pub(super) is_same_site: bool,
}

impl From<&Cookie> for Attributes {
    fn from(options: &Cookie) -> Self {
        let begun =
            |is_https| StoredCookie::new(options, Timestamp::from_millis(0), is_https, true);
        // `Secure::Auto` is not Secure everywhere, and `SameSite::Auto` is `None` over HTTPS.
        let [http, https] = [false, true].map(begun);
        let same_site = [http.same_site(), https.same_site()];
        Self {
            is_secure: http.secure(),
            is_http_only: http.http_only(),
            is_same_site: same_site.iter().all(|same_site| {
                matches!(same_site, Some(SameSite::Lax | SameSite::Strict | SameSite::On))
            }),
        }
    }
}

/// The prefix of a cookie's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::layer) enum Prefix {
    None,
    Secure,
    Host,
}

impl Prefix {
    /// A prefix counts in any case (RFC 6265bis §5.7).
    pub(in crate::layer) fn of(name: &str) -> Self {
        let begins = |prefix: &str| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        if begins("__Host-") {
            Self::Host
        } else if begins("__Secure-") {
            Self::Secure
        } else {
            Self::None
        }
    }
}

impl Facts {
    /// Checks both timeouts of the policy against the longest that a standard allows.
    pub(super) fn ends_within(&self, idle: Duration, absolute: Duration) -> bool {
        let within = |limit: Option<Duration>, most| limit.is_some_and(|limit| limit <= most);
        within(self.policy.limits.idle, idle) && within(self.policy.limits.absolute, absolute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_of_a_name_counts_in_any_case() {
        for (name, prefix) in [
            ("connect.sid", Prefix::None),
            ("", Prefix::None),
            ("__Host", Prefix::None),
            ("é__Host-sid", Prefix::None),
            ("__Host-sid", Prefix::Host),
            ("__host-Http-sid", Prefix::Host),
            ("__SECURE-sid", Prefix::Secure),
        ] {
            assert_eq!(Prefix::of(name), prefix, "{name}");
        }
    }
}
