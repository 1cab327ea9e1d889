//! Reads from the parameters whether, and how, a connection is encrypted.
//!
//! Where libpq and node-postgres differ, this follows node-postgres, which checks the certificate under every mode but
//! `no-verify`; `uselibpqcompat=true` asks for libpq's meaning. Under neither is plain text an answer to a mode that may
//! encrypt.

use express_session_core::store::Error;

use super::super::query::{Parameter, bad};
use super::address::Settings;

/// The demands on a connection, the stricter later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Demand {
    Plain,
    /// Encrypted, with any certificate.
    Encrypted,
    /// With a certificate of a trusted authority.
    Trusted,
    /// With such a certificate for this host.
    Identified,
}

use Demand::{Encrypted, Identified, Plain, Trusted};

/// Whether and how to encrypt.
#[derive(Clone)]
pub(super) struct Encryption {
    pub(super) demand: Demand,
    /// Whether the parameters say whether to encrypt.
    is_decided: bool,
    /// Whether they say by which authorities a certificate is verified.
    names_authority: bool,
    /// The authorities that are trusted instead of the system's, as PEM.
    pub(super) authority: Option<Vec<u8>>,
    /// The client's certificate and its key, as PEM.
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Whether to encrypt from the first byte on.
    pub(super) is_direct: bool,
    /// Whether to tell the server which name is meant.
    pub(super) names_server: bool,
}

impl Encryption {
    pub(super) fn of(settings: &Settings) -> Result<Self, Error> {
        let mut demands = Vec::new();
        for (name, value) in settings {
            let parameter = Parameter { name, value: value.clone() };
            demands.extend(match name.as_str() {
                "sslmode" => Some(mode(&parameter, settings)?),
                "ssl" => Some(ssl(&parameter, settings)?),
                "sslaccept" => Some(match value.as_str() {
                    "strict" => Identified,
                    "accept_invalid_certs" => Encrypted,
                    _ => return Err(parameter.unfit("strict or accept_invalid_certs")),
                }),
                "requiressl" if value == "1" => Some(Identified),
                _ => None,
            });
        }
        let is_decided = !demands.is_empty();
        let is = |name: &str, value: &str| settings.get(name).is_some_and(|it| it == value);
        let needs_it = is("channel_binding", "require") || is("sslnegotiation", "direct");
        let implies = needs_it
            || ["sslrootcert", "sslcert", "sslkey"].iter().any(|name| settings.contains_key(*name));
        let strictest = demands.iter().copied().max();
        let demand = strictest.unwrap_or(if implies { Identified } else { Plain });
        if demand != Plain && demands.contains(&Plain) || demand == Plain && needs_it {
            return Err(bad("one parameter asks for encryption, and another for none"));
        }
        let is_on = demand != Plain;
        let read = |name: &str| -> Result<Option<Vec<u8>>, Error> {
            let value = settings.get(name).filter(|_| is_on).filter(|value| *value != "system");
            value.map(|value| Parameter { name, value: value.clone() }.file()).transpose()
        };
        let identity = match (read("sslcert")?, read("sslkey")?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(bad("sslcert and sslkey, the client's certificate, need each other")),
        };
        Ok(Self {
            demand,
            is_decided,
            names_authority: settings.contains_key("sslrootcert"),
            authority: read("sslrootcert")?,
            identity,
            is_direct: is("sslnegotiation", "direct"),
            names_server: !is("sslsni", "0"),
        })
    }

    /// Demands a trusted certificate for this host, unless the parameters say what to demand.
    #[cfg(feature = "tls")]
    pub(super) fn verify(&mut self) {
        if !self.is_decided {
            self.demand = Identified;
        }
    }

    /// Returns whether certificates are verified, and no parameter says by which authority.
    #[cfg(feature = "tls")]
    pub(super) fn trusts_public_authorities(&self) -> bool {
        self.demand >= Trusted && !self.names_authority
    }

    /// Fails where encryption is demanded and not built in.
    #[cfg(not(feature = "tls"))]
    pub(super) fn check(&self) -> Result<(), Error> {
        let _ = (&self.authority, &self.identity, self.is_direct, self.names_server);
        let _ = (self.is_decided, self.names_authority);
        if self.demand == Plain {
            return Ok(());
        }
        Err(bad("encryption, which the URL asks for, needs the feature `tls`"))
    }
}

fn mode(parameter: &Parameter<'_>, settings: &Settings) -> Result<Demand, Error> {
    let is_libpqs = settings.get("uselibpqcompat").is_some_and(|it| it == "true" || it == "1");
    let authority = settings.get("sslrootcert");
    let is_private = authority.is_some_and(|authority| authority != "system");
    Ok(match parameter.value.as_str() {
        "disable" => Plain,
        "no-verify" => Encrypted,
        // The system's authorities certify anyone, and libpq asks for no less with them.
        "allow" | "prefer" | "require" if is_libpqs && authority.is_none() => Encrypted,
        "require" if is_libpqs && is_private => Trusted,
        "verify-ca" if is_private => Trusted,
        "allow" | "prefer" | "require" | "verify-ca" | "verify-full" => Identified,
        _ => {
            let modes = "disable, allow, prefer, require, no-verify, verify-ca or verify-full";
            return Err(parameter.unfit(modes));
        }
    })
}

fn ssl(parameter: &Parameter<'_>, settings: &Settings) -> Result<Demand, Error> {
    match parameter.value.as_str() {
        "true" | "1" => Ok(Identified),
        "false" | "0" => Ok(Plain),
        _ => mode(parameter, settings).map_err(|_| parameter.unfit("true, false or no-verify")),
    }
}
