//! Where a visit came from: the client's address and its user agent, as the policy lets them be noted.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::policy::{ClientDetail, ClientNotes};
use crate::record::json;

/// The longest user agent that is noted, in bytes.
pub const MAX_USER_AGENT: usize = 256;

/// The client of a visit: its address and its user agent, each as far as the policy notes it.
///
/// `Debug` shows neither.
///
/// ```
/// use express_session_core::metadata::Client;
/// use express_session_core::policy::{ClientDetail, ClientNotes};
///
/// let short = Some(ClientDetail::Shortened);
/// let notes = ClientNotes { address: short, user_agent: short };
/// let client = Client::new(notes, "192.0.2.17".parse().ok(), Some("curl/8.9.1")).unwrap();
/// assert_eq!(client.address(), "192.0.2.0".parse().ok());
/// assert_eq!(client.user_agent(), Some("curl/8"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Client {
    address: Option<IpAddr>,
    user_agent: Option<Box<str>>,
}

impl Client {
    /// Takes of a client what is to be noted. `None` where that is nothing.
    ///
    /// A shortened IPv4 address has its first 24 bits, an IPv6 address its first 48. A shortened user agent has the first
    /// number of each version. Any user agent ends after [`MAX_USER_AGENT`] bytes.
    #[must_use]
    pub fn new(
        notes: ClientNotes,
        address: Option<IpAddr>,
        user_agent: Option<&str>,
    ) -> Option<Self> {
        let address = notes.address.zip(address).map(|(detail, address)| {
            let address = address.to_canonical();
            if detail == ClientDetail::Full { address } else { network_of(address) }
        });
        let user_agent = notes.user_agent.zip(user_agent).map(|(detail, user_agent)| {
            let bounded = bounded(user_agent);
            if detail == ClientDetail::Full { bounded.into() } else { without_minors(bounded) }
        });
        let user_agent = user_agent.filter(|user_agent| !user_agent.is_empty());
        let client = Self { address, user_agent };
        client.is_known().then_some(client)
    }

    /// Returns the address.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Returns the user agent.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }

    /// Returns the JSON of it in the record: an object with what is known of `address` and `userAgent`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.push(&mut text);
        text
    }

    fn is_known(&self) -> bool {
        self.address.is_some() || self.user_agent.is_some()
    }

    pub(super) fn push(&self, out: &mut String) {
        out.push('{');
        if let Some(address) = self.address {
            out.push_str("\"address\":");
            json::quote(&address.to_string(), out);
        }
        if let Some(user_agent) = &self.user_agent {
            out.push_str(if self.address.is_some() { ",\"userAgent\":" } else { "\"userAgent\":" });
            json::quote(user_agent, out);
        }
        out.push('}');
    }

    /// Reads a client. A value of another shape counts as unknown.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut client = Self { address: None, user_agent: None };
        json::members(text, |json::Member { key, value, .. }| {
            let value = json::unquote(&text[value]);
            match &text[key] {
                "\"address\"" => client.address = value.and_then(|value| value.parse().ok()),
                "\"userAgent\"" => {
                    let value = value.filter(|value| (1..=MAX_USER_AGENT).contains(&value.len()));
                    client.user_agent = value.map(Into::into);
                }
                _ => {}
            }
        })
        .ok()?;
        client.is_known().then_some(client)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// The clients of a session's first and last visit. `Debug` shows nothing of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clients {
    pub(super) first: Client,
    pub(super) last: Client,
}

impl Clients {
    pub(super) fn new(client: &Client) -> Self {
        Self { first: client.clone(), last: client.clone() }
    }
}

/// Returns the network of an address: its first 24 bits, or 48 of IPv6.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & (!0 << 8)).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (!0 << 80)).into(),
    }
}

/// Returns the beginning of a user agent.
fn bounded(user_agent: &str) -> &str {
    let mut end = user_agent.len().min(MAX_USER_AGENT);
    while !user_agent.is_char_boundary(end) {
        end -= 1;
    }
    &user_agent[..end]
}

/// Leaves out all numbers of a version but the first: `Chrome/126.0.6478` becomes `Chrome/126`, and `10_15_7` becomes `10`.
fn without_minors(user_agent: &str) -> Box<str> {
    let mut short = String::with_capacity(user_agent.len());
    let mut rest = user_agent;
    while let Some(number) = rest.find(|character: char| character.is_ascii_digit()) {
        let end = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let after = number + end(&rest[number..]);
        short.push_str(&rest[..after]);
        rest = &rest[after..];
        while let Some(minor) = rest.strip_prefix(['.', '_'])
            && end(minor) > 0
        {
            rest = &minor[end(minor)..];
        }
    }
    short.push_str(rest);
    short.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noted(detail: ClientDetail, address: &str, user_agent: &str) -> Client {
        let notes = ClientNotes { address: Some(detail), user_agent: Some(detail) };
        Client::new(notes, address.parse().ok(), Some(user_agent)).unwrap()
    }

    #[test]
    fn shortened_address_is_that_of_its_network() {
        for (address, full, short) in [
            ("192.0.2.17", "192.0.2.17", "192.0.2.0"),
            ("255.255.255.255", "255.255.255.255", "255.255.255.0"),
            ("::ffff:192.0.2.17", "192.0.2.17", "192.0.2.0"),
            ("2001:db8:a:b:c::17", "2001:db8:a:b:c::17", "2001:db8:a::"),
            ("::1", "::1", "::"),
        ] {
            let noted = |detail| noted(detail, address, "").address().unwrap().to_string();
            assert_eq!(noted(ClientDetail::Full), full);
            assert_eq!(noted(ClientDetail::Shortened), short);
        }
    }

    #[test]
    fn shortened_user_agent_has_the_first_number_of_each_version() {
        for (user_agent, short) in [
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 Chrome/126.0.6478.61",
                "Mozilla/5 (Macintosh; Intel Mac OS X 10) AppleWebKit/537 Chrome/126",
            ),
            ("curl/8.9.1", "curl/8"),
            ("x86_64", "x86"),
            ("1.", "1."),
            ("1..2", "1..2"),
            ("1.2.", "1."),
            ("v.1 é2.3é", "v.1 é2é"),
            ("browser", "browser"),
        ] {
            let short_client = noted(ClientDetail::Shortened, "::1", user_agent);
            assert_eq!(short_client.user_agent(), Some(short));
            let full = noted(ClientDetail::Full, "::1", user_agent);
            assert_eq!(full.user_agent(), Some(user_agent));
        }
    }

    #[test]
    fn long_user_agent_ends_between_two_characters() {
        let long = format!("{}éé", "x".repeat(MAX_USER_AGENT - 3));
        let client = noted(ClientDetail::Full, "::1", &long);
        assert_eq!(client.user_agent(), long.strip_suffix('é'));
        assert_eq!(Client::parse(&client.text()), Some(client));
        let text = format!(r#"{{"userAgent":"{}"}}"#, "x".repeat(MAX_USER_AGENT + 1));
        assert_eq!(Client::parse(&text), None);
    }

    #[test]
    fn client_has_only_the_parts_that_the_policy_notes() {
        let address = "192.0.2.17".parse().ok();
        let full = Some(ClientDetail::Full);
        for (notes, text_of_client) in [
            (ClientNotes { address: None, user_agent: None }, None),
            (ClientNotes { address: full, user_agent: None }, Some(r#"{"address":"192.0.2.17"}"#)),
            (ClientNotes { address: None, user_agent: full }, Some(r#"{"userAgent":"\"a\""}"#)),
            (
                ClientNotes { address: full, user_agent: full },
                Some(r#"{"address":"192.0.2.17","userAgent":"\"a\""}"#),
            ),
        ] {
            let client = Client::new(notes, address, Some("\"a\""));
            assert_eq!(client.as_ref().map(Client::text).as_deref(), text_of_client);
            assert_eq!(Client::parse(text_of_client.unwrap_or("{}")), client);
            assert_eq!(Client::new(notes, None, Some("")), None);
        }
        assert!(!format!("{:?}", noted(ClientDetail::Full, "192.0.2.17", "a")).contains("192"));
    }

    #[test]
    fn client_of_another_shape_counts_as_unknown() {
        for text in [
            "null",
            "{}",
            "[]",
            r#""192.0.2.1""#,
            r#"{"address":1}"#,
            r#"{"address":"localhost"}"#,
            r#"{"address":"192.0.2.1:80"}"#,
            r#"{"userAgent":""}"#,
            r#"{"userAgent":{}}"#,
            r#"{"userAgent":"\ud800"}"#,
            r#"{"address":"192.0.2.1""#,
        ] {
            assert_eq!(Client::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn client_is_read_as_it_was_written(
            address in any::<Option<IpAddr>>(),
            user_agent in prop::option::of("\\PC{0,300}"),
            full in any::<[bool; 2]>(),
        ) {
            let [address_detail, agent_detail] =
                full.map(|full| Some(if full { ClientDetail::Full } else { ClientDetail::Shortened }));
            let notes = ClientNotes { address: address_detail, user_agent: agent_detail };
            if let Some(client) = Client::new(notes, address, user_agent.as_deref()) {
                prop_assert_eq!(Client::parse(&client.text()), Some(client));
            }
        }
    }
}
