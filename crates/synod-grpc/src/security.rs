//! How connections are protected.

use std::{fmt, sync::Arc};

use tokio_rustls::rustls::{
    self, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{VerifierBuilderError, WebPkiClientVerifier},
    version::TLS13,
};
use tonic::transport::{Certificate, ClientTlsConfig};

use crate::{Error, Identity, IdentityError};

/// How connections are protected, and who vouches for whom.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Security {
    /// By TLS, with certificates on both sides.
    Tls(Tls),
    /// Not at all: anyone who reaches the port may read and say anything, under any name. For tests, and for networks that
    /// protect themselves.
    Plaintext,
}

/// What one process needs for TLS on both sides of its connections: the cluster's authority, and a certificate of its
/// own with its key. See [`Identity`] for the one name that the certificate must have. It serves both sides, so if it
/// restricts its use at all, it must allow both.
///
/// TLS is of version 1.3. The authority should vouch for nothing but clusters. Files are read once, and nothing is asked
/// about certificates that were revoked: a node with a new certificate, or a new authority, is started again.
#[derive(Clone)]
pub struct Tls {
    identity: Identity,
    server: Arc<ServerConfig>,
    client: ClientTlsConfig,
}

/// Why there is no TLS to be had from these files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The authority's certificate cannot be read, or there is none.
    #[error("the authority's certificate cannot be read")]
    Authority(#[source] pem::Error),
    /// The certificate cannot be read, or there is none.
    #[error("the certificate cannot be read")]
    Certificate(#[source] pem::Error),
    /// The key cannot be read, or there is none.
    #[error("the key cannot be read")]
    Key(#[source] pem::Error),
    /// The certificate is nobody's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The authority's certificate is not one of an authority.
    #[error("the authority's certificate is not one of an authority")]
    Verifier(#[from] VerifierBuilderError),
    /// The pieces do not fit together, such as the key and the certificate.
    #[error("the certificates or the key are of no use")]
    Rustls(#[from] rustls::Error),
}

impl Security {
    /// Refuses the certificate of another than `wanted`.
    pub(crate) fn check(&self, wanted: Identity) -> Result<(), Error> {
        match self {
            Self::Tls(tls) if tls.identity != wanted => Err(Error::OtherIdentity { wanted, found: tls.identity }),
            Self::Tls(_) | Self::Plaintext => Ok(()),
        }
    }
}

impl Tls {
    /// TLS from what files in PEM hold: the certificates of the authority; this process's own, with those between it and
    /// the authority after it; and its key.
    pub fn from_pem(authority: &[u8], certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(certificate).map_err(TlsError::Certificate)?;
        let identity = Identity::of_certificate(chain.first().map_or(&[], |own| own.as_ref()))?;
        let private = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
        let mut roots = RootCertStore::empty();
        for root in certificates(authority).map_err(TlsError::Authority)? {
            roots.add(root)?;
        }
        // Named, so that it is the same whatever else the program links.
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build()?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, private)?;
        server.alpn_protocols.push(b"h2".to_vec());
        let client = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority))
            .identity(tonic::transport::Identity::from_pem(certificate, key));
        Ok(Self { identity, server: Arc::new(server), client })
    }

    /// Whom the certificate is for.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// For a connection to `server`, and to nobody else.
    pub(crate) fn client(&self, server: Identity) -> ClientTlsConfig {
        self.client.clone().domain_name(format!("{server}"))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// The certificates in a file, at least one.
fn certificates(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let found = CertificateDer::pem_slice_iter(file).collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(found) }
}
