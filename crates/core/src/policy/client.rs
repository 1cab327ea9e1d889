//! The parts of a visit's client that are noted.

/// How much of a client's address or user agent is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientDetail {
    /// The network of an address: the first 24 bits, or 48 of IPv6. Of a user agent, the first number of each version.
    Shortened,
    /// All of it. A user agent ends after 256 bytes.
    Full,
}

/// The parts of a visit's client that are noted. Default: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientNotes {
    /// The address.
    pub address: Option<ClientDetail>,
    /// The user agent.
    pub user_agent: Option<ClientDetail>,
}
