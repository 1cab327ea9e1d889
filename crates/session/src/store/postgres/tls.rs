//! Encryption of the connection, with rustls.

use std::sync::Arc;

use express_session_core::store::Error;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::query::bad;
use super::encryption::{Demand, Encryption};

/// Encrypts as it is demanded.
pub(super) fn client(encryption: &Encryption) -> Result<MakeRustlsConnect, Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("no version of TLS can be used").with_source(error))?;
    let builder = if encryption.demand == Demand::Identified {
        builder.with_root_certificates(roots(encryption)?)
    } else {
        let check = Check::new(encryption, provider)?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(check))
    };
    let mut config = match &encryption.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let unfit =
                "sslcert and sslkey, the client's certificate, are no PEM that fits together";
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
            let chain = chain.map_err(|error| bad(unfit).with_source(error))?;
            let key = PrivateKeyDer::from_pem_slice(key);
            let key =
                key.map_err(|_| bad("sslkey, the client's key, is no PEM, or is encrypted"))?;
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|error| bad(unfit).with_source(error))?
        }
    };
    config.enable_sni = encryption.names_server;
    if encryption.is_direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(MakeRustlsConnect::new(config))
}

fn roots(encryption: &Encryption) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = &encryption.authority else {
        // One that cannot be read is no reason to do without the others.
        let (trusted, _) =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if trusted == 0 {
            Err(bad("the system trusts no certificates"))
        } else {
            Ok(roots)
        };
    };
    let unfit = || bad("sslrootcert, the authority to trust, is no certificate in PEM");
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| unfit().with_source(error))?;
        roots.add(certificate).map_err(|error| unfit().with_source(error))?;
    }
    if roots.is_empty() { Err(unfit()) } else { Ok(roots) }
}

/// Checks less than that a certificate is for the host.
#[derive(Debug)]
struct Check {
    provider: Arc<CryptoProvider>,
    /// None if any certificate will do.
    authorities: Option<Arc<WebPkiServerVerifier>>,
}

impl Check {
    fn new(encryption: &Encryption, provider: Arc<CryptoProvider>) -> Result<Self, Error> {
        if encryption.demand != Demand::Trusted {
            return Ok(Self { provider, authorities: None });
        }
        let roots = Arc::new(roots(encryption)?);
        let authorities =
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        let authorities = authorities.map_err(|error| {
            bad("sslrootcert, the authority to trust, cannot be used").with_source(error)
        })?;
        Ok(Self { provider, authorities: Some(authorities) })
    }
}

impl ServerCertVerifier for Check {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authorities) = &self.authorities else {
            return Ok(ServerCertVerified::assertion());
        };
        match authorities.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // The name is looked at last.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
