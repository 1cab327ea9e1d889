//! The encryption of connections: the demands of a URL's parameters, as options of the driver.

use express_session_core::store::Error;

#[cfg(feature = "tls")]
use super::super::query::holds;
use super::super::query::{Parameter, bad};
use super::address::instead_of;

/// The encryption that a URL asks for.
#[derive(Default)]
pub(super) struct Encryption {
    demands: Vec<Demand>,
    /// Whether `ssl-mode` demands encryption, which is more if there is an authority, as in libmysqlclient.
    is_by_mode: bool,
    /// Whether a parameter says that certificates are not verified, which takes for granted that there is encryption.
    accepts_any: bool,
    /// The driver's `require_ssl`, and `verify_ca` and `verify_identity`, which mean nothing without it.
    require_ssl: Option<bool>,
    verify_ca: Option<bool>,
    verify_identity: Option<bool>,
    #[cfg_attr(
        not(feature = "tls"),
        allow(dead_code, reason = "an error says that it is missing")
    )]
    without_public_authorities: bool,
    /// The name in the server's certificate, instead of the host.
    server_name: Option<String>,
    pub(super) authority: Option<Vec<u8>>,
    pub(super) certificate: Option<Vec<u8>>,
    pub(super) key: Option<Vec<u8>>,
}

/// The demands on a connection. The strictest of several decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Demand {
    /// No encryption.
    Plain,
    /// Encryption, with any certificate.
    Encrypted,
    /// A certificate of an authority that is trusted, for any host. The driver checks the host all the same, until it is
    /// released with the fix of <https://github.com/blackbeam/mysql_async/issues/404>.
    Trusted,
    /// A certificate of such an authority for this host.
    Identified,
}

use Demand::{Encrypted, Identified, Plain, Trusted};

impl Encryption {
    pub(super) fn set(&mut self, parameter: &Parameter<'_>) -> Result<(), Error> {
        match parameter.name {
            "ssl-mode" | "sslMode" | "ssl_mode" | "sslmode" => {
                self.demands.push(mode(parameter)?);
                self.is_by_mode = true;
            }
            "ssl" => self.set_object(parameter)?,
            "sslaccept" => self.demands.push(match parameter.value.as_str() {
                "strict" => Identified,
                "accept_invalid_certs" => Encrypted,
                _ => return Err(parameter.unfit("strict or accept_invalid_certs")),
            }),
            "tls" => self.demands.push(match parameter.value.as_str() {
                "true" => Identified,
                "skip-verify" | "preferred" => Encrypted,
                "false" => Plain,
                _ => return Err(parameter.unfit("true, false, skip-verify or preferred")),
            }),
            "useSSL" => self.demands.push(if flag(parameter)? { Encrypted } else { Plain }),
            "requireSSL" => self.demands.extend(flag(parameter)?.then_some(Encrypted)),
            "verifyServerCertificate" | "ssl_verify_cert" => self.verifies(parameter, Trusted)?,
            "ssl_verify_identity" => self.verifies(parameter, Identified)?,
            "require_ssl" => self.require_ssl = Some(flag(parameter)?),
            "verify_ca" => self.verify_ca = Some(flag(parameter)?),
            "verify_identity" => self.verify_identity = Some(flag(parameter)?),
            "built_in_roots" => self.without_public_authorities = !flag(parameter)?,
            "ssl-ca" | "ssl_ca" | "sslca" => self.authority = Some(parameter.file()?),
            "ssl-cert" | "ssl_cert" => self.certificate = Some(parameter.file()?),
            "ssl-key" | "ssl_key" => self.key = Some(parameter.file()?),
            name => return Err(parameter.unknown(instead_of(name))),
        }
        Ok(())
    }

    /// Reads whether the certificate is verified. A flag that turns it off leaves the rest to the other parameters.
    fn verifies(&mut self, parameter: &Parameter<'_>, demand: Demand) -> Result<(), Error> {
        match flag(parameter)? {
            true => self.demands.push(demand),
            false => self.accepts_any = true,
        }
        Ok(())
    }

    /// Reads mysql2's `ssl`: an object as JSON, as in the connection strings of PlanetScale, or a flag.
    fn set_object(&mut self, parameter: &Parameter<'_>) -> Result<(), Error> {
        let unfit = || {
            parameter.unfit(
                "true, false or an object as JSON with rejectUnauthorized, servername, ca, cert and key; for a \
                 profile such as \"Amazon RDS\", name its certificates with ssl-ca",
            )
        };
        let value: serde_json::Value =
            serde_json::from_str(&parameter.value).map_err(|_| unfit())?;
        if let Some(is_on) = value.as_bool() {
            self.demands.push(if is_on { Identified } else { Plain });
            return Ok(());
        }
        let object = value.as_object().ok_or_else(unfit)?;
        let mut demand = Identified;
        for (name, value) in object {
            let text = || value.as_str().map(|text| text.as_bytes().to_vec()).ok_or_else(unfit);
            match name.as_str() {
                "rejectUnauthorized" => {
                    let is_strict = value.as_bool().ok_or_else(unfit)?;
                    demand = if is_strict { demand } else { Encrypted };
                }
                "verifyIdentity" => {
                    let is_strict = value.as_bool().ok_or_else(unfit)?;
                    demand = if is_strict { demand } else { demand.min(Trusted) };
                }
                // Both sides agree on TLS 1.2 or 1.3.
                "minVersion" if ["TLSv1.2", "TLSv1"].iter().any(|it| value == *it) => {}
                "servername" => {
                    self.server_name = Some(value.as_str().ok_or_else(unfit)?.to_owned());
                }
                "ca" => self.authority = Some(text()?),
                "cert" => self.certificate = Some(text()?),
                "key" => self.key = Some(text()?),
                _ => return Err(unfit()),
            }
        }
        self.demands.push(demand);
        Ok(())
    }

    /// Demands a trusted certificate, unless the URL says what to demand.
    #[cfg(feature = "tls")]
    pub(super) fn verify(&mut self) {
        if self.demands.is_empty() && !self.accepts_any {
            self.demands.push(Identified);
        }
    }

    /// Returns whether certificates are verified, and no parameter says by which authority.
    #[cfg(feature = "tls")]
    pub(super) fn trusts_public_authorities(&self) -> Result<bool, Error> {
        let is_verified = self.demand()? >= Trusted;
        Ok(is_verified && self.authority.is_none() && !self.without_public_authorities)
    }

    /// Returns what is demanded in all.
    pub(super) fn demand(&self) -> Result<Demand, Error> {
        let drivers = match (self.require_ssl, self.verify_ca, self.verify_identity) {
            (Some(true), Some(false), _) => Some(Encrypted),
            (Some(true), _, Some(false)) => Some(Trusted),
            (Some(true), _, _) => Some(Identified),
            (Some(false), None, None) => Some(Plain),
            (None, None, None) => None,
            _ => return Err(bad("verify_ca and verify_identity need require_ssl=true")),
        };
        let has_certificates =
            self.authority.is_some() || self.certificate.is_some() || self.key.is_some();
        let demands = self.demands.iter().copied().chain(drivers);
        let Some(demand) = demands.clone().max() else {
            return Ok(match has_certificates {
                _ if self.accepts_any => Encrypted,
                true => Identified,
                false => Plain,
            });
        };
        if demand != Plain && demands.clone().any(|other| other == Plain) {
            return Err(bad("one parameter of the URL asks for encryption, and another for none"));
        }
        if demand == Plain && has_certificates {
            return Err(bad("certificates need encryption: set ssl-mode=VERIFY_IDENTITY"));
        }
        // As libmysqlclient does.
        let is_more = demand == Encrypted && self.authority.is_some() && self.is_by_mode;
        Ok(if is_more { Trusted } else { demand })
    }

    /// Returns the options of the driver. `None` is plain text.
    #[cfg(feature = "tls")]
    pub(super) fn options(self) -> Result<Option<mysql_async::SslOpts>, Error> {
        use mysql_async::{ClientIdentity, SslOpts};

        let demand = self.demand()?;
        if demand == Plain {
            return Ok(None);
        }
        let mut options = SslOpts::default()
            .with_danger_accept_invalid_certs(demand == Encrypted)
            .with_danger_skip_domain_validation(demand == Trusted)
            .with_danger_tls_hostname_override(self.server_name)
            .with_disable_built_in_roots(self.without_public_authorities);
        if let Some(authority) = self.authority {
            if !holds(&authority, "CERTIFICATE") {
                return Err(bad("the authority, ssl-ca or ca, is no certificate in PEM"));
            }
            // It replaces the public ones.
            options =
                options.with_root_certs(vec![authority.into()]).with_disable_built_in_roots(true);
        }
        match (self.certificate, self.key) {
            (None, None) => Ok(Some(options)),
            (Some(certificate), Some(key)) => {
                if !holds(&certificate, "CERTIFICATE") || !holds(&key, "PRIVATE KEY") {
                    return Err(bad("ssl-cert and ssl-key, or cert and key, are not in PEM"));
                }
                let identity = ClientIdentity::new(certificate.into(), key.into());
                Ok(Some(options.with_client_identity(Some(identity))))
            }
            _ => Err(bad("ssl-cert and ssl-key, or cert and key, need each other")),
        }
    }
}

fn mode(parameter: &Parameter<'_>) -> Result<Demand, Error> {
    Ok(match &*parameter.value.to_ascii_uppercase().replace('-', "_") {
        "DISABLED" | "DISABLE" => Plain,
        // Clients fall back to plain text with the first; this one does not.
        "PREFERRED" | "PREFER" | "REQUIRED" | "REQUIRE" => Encrypted,
        "VERIFY_CA" => Trusted,
        "VERIFY_IDENTITY" | "VERIFY_FULL" => Identified,
        _ => {
            let modes = "DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY";
            return Err(parameter.unfit(modes));
        }
    })
}

fn flag(parameter: &Parameter<'_>) -> Result<bool, Error> {
    match parameter.value.as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(parameter.unfit("true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::address::parse;
    use super::*;

    fn demand(parameters: &str) -> Result<Demand, String> {
        let parsed = parse(&format!("mysql://user:pw@host/db?{parameters}"));
        parsed.and_then(|(_, encryption)| encryption.demand()).map_err(|error| error.to_string())
    }

    #[test]
    fn url_that_asks_for_encryption_is_never_plain() {
        for (parameters, expected) in [
            ("", Plain),
            ("ssl-mode=DISABLED", Plain),
            ("ssl=false&useSSL=false", Plain),
            ("ssl-mode=PREFERRED", Encrypted),
            ("ssl-mode=REQUIRED", Encrypted),
            ("ssl_mode=verify-ca", Trusted),
            ("sslMode=VERIFY_IDENTITY", Identified),
            ("sslaccept=strict", Identified),
            ("sslaccept=accept_invalid_certs", Encrypted),
            (r#"ssl={"rejectUnauthorized":true}"#, Identified),
            ("ssl=%7B%22rejectUnauthorized%22%3Atrue%7D", Identified),
            (r#"ssl={"rejectUnauthorized":false}"#, Encrypted),
            (r#"ssl={"verifyIdentity":false,"minVersion":"TLSv1.2"}"#, Trusted),
            ("ssl=true", Identified),
            ("useSSL=true&requireSSL=true", Encrypted),
            ("useSSL=true&verifyServerCertificate=true", Trusted),
            ("useSSL=true&verifyServerCertificate=false", Encrypted),
            ("useSSL=false&requireSSL=false&verifyServerCertificate=false", Plain),
            ("verifyServerCertificate=false", Encrypted),
            ("ssl_verify_cert=true&ssl_verify_identity=true", Identified),
            ("ssl_verify_cert=true&ssl_verify_identity=false", Trusted),
            ("tls=true", Identified),
            ("tls=skip-verify&parseTime=true&loc=UTC", Encrypted),
            ("require_ssl=true", Identified),
            ("require_ssl=true&verify_ca=false", Encrypted),
            ("require_ssl=true&verify_identity=false", Trusted),
            ("reconnect=true&charset=utf8mb4&timezone=Z", Plain),
        ] {
            assert_eq!(demand(parameters), Ok(expected), "{parameters}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn public_authorities_are_trusted_where_a_certificate_is_verified_and_none_is_named() {
        for (parameters, expected) in [
            ("", false),
            ("ssl-mode=REQUIRED", false),
            ("ssl-mode=VERIFY_CA", true),
            ("ssl-mode=VERIFY_CA&ssl-ca=/dev/null", false),
            ("sslaccept=strict", true),
            ("verifyServerCertificate=true&useSSL=true", true),
            ("ssl_verify_cert=true&ssl_ca=/dev/null", false),
            (r#"ssl={"minVersion":"TLSv1.2"}"#, true),
            (r#"ssl={"ca":"pem"}"#, false),
            (r#"ssl={"rejectUnauthorized":false}"#, false),
            ("require_ssl=true&built_in_roots=false", false),
            ("ssl-cert=/dev/null&ssl-key=/dev/null", true),
        ] {
            let (_, encryption) = parse(&format!("mysql://host/db?{parameters}")).unwrap();
            let is_public = encryption.trusts_public_authorities().unwrap();
            assert_eq!(is_public, expected, "{parameters}");
        }
    }

    #[test]
    fn error_names_the_parameter_and_what_to_use_instead() {
        for (parameters, expected) in [
            ("ssl=Amazon%20RDS", "name its certificates with ssl-ca"),
            ("ssl-mode=hunter", "ssl-mode of the URL is not DISABLED"),
            ("verify_ca=true", "need require_ssl=true"),
            ("ssl-mode=REQUIRED&useSSL=false", "asks for encryption, and another for none"),
            ("connectTimeout=5", "connectTimeout: use timeout"),
            ("sslcert=a.pem", "sslcert: use ssl-ca"),
            ("queueLimit=5", "queueLimit: use max_waiting"),
            ("charset=latin", "charset of the URL is not utf8mb4"),
            ("something=5", "no parameter something"),
        ] {
            let told = demand(parameters).unwrap_err();
            assert!(told.contains(expected), "{parameters}: {told}");
        }
    }
}
