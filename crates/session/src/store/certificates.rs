//! Errors of certificates: what to set where the two sides of an encrypted connection disagree.

use std::error::Error;

/// The parameters of a store's URL, as its errors name them.
pub(super) struct Parameters {
    /// The advice where the certificate is for another host.
    pub(super) host: &'static str,
    pub(super) authority: &'static str,
    /// The option by which the store accepts any certificate.
    pub(super) any: &'static str,
    pub(super) client: &'static str,
}

impl Parameters {
    /// Returns what to set, if an error is about certificates. rustls has the words of these errors, and the drivers
    /// keep them among the causes.
    pub(super) fn advice(&self, error: &dyn Error) -> Option<String> {
        let (mut words, mut cause) = (error.to_string(), error.source());
        while let Some(source) = cause {
            words += &source.to_string();
            cause = source.source();
        }
        let Self { host, authority, any, client } = self;
        let has = |part: &str| words.contains(part);
        if has("peer certificate") && has("for name") {
            return Some(format!("the certificate of the server is for another host: {host}"));
        }
        if has("peer certificate") {
            return Some(format!(
                "the certificate of the server is not trusted: set its authority, {authority} or ca, or accept any \
                 certificate, {any} or rejectUnauthorized: false"
            ));
        }
        (has("CertificateRequired") || has("certificate required"))
            .then(|| format!("the server demands a client certificate: {client}, or cert and key"))
    }
}
