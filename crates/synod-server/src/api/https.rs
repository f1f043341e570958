//! The same over TLS, where a certificate of the cluster's authority takes the place of a token.
//!
//! | name in the certificate | who |
//! |---|---|
//! | `operator-1.<cluster>.synod` | may do everything |
//! | `reader-1.<cluster>.synod` | may only look |
//!
//! Who has neither is asked for a token, as everywhere. These certificates open nothing but the console: over gRPC they are
//! nobody's. And those of nodes and of applications open nothing here.

use std::{
    fmt, fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use synod::commit::ClusterId;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use webpki::EndEntityCert;

use super::guard::Role;
use crate::{
    config::Config,
    failure::{Exit, Failure},
};

/// What a process shows over TLS, and whom it believes.
pub(crate) struct Https {
    cluster: ClusterId,
    now: Mutex<Arc<ServerConfig>>,
}

impl Https {
    /// From the files that the process's file names; nothing, if it names none.
    pub(crate) fn read(config: &Config) -> Result<Option<Self>, Failure> {
        let Some(listen) = config.https else { return Ok(None) };
        let now = Mutex::new(Arc::new(server_config(config, listen)?));
        Ok(Some(Self { cluster: config.cluster, now }))
    }

    /// Reads them again, for connections from then on. After an error nothing has changed.
    pub(crate) fn reload(&self, config: &Config) -> Result<(), Failure> {
        let Some(listen) = config.https else { return Ok(()) };
        let next = Arc::new(server_config(config, listen)?);
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// The handshake, and what the certificate at the other end is good for.
    pub(super) async fn greet(&self, stream: TcpStream) -> std::io::Result<(TlsStream<TcpStream>, Option<Role>)> {
        let now = Arc::clone(&self.now.lock().unwrap_or_else(PoisonError::into_inner));
        let stream = TlsAcceptor::from(now).accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let role = certificate.and_then(|certificate| role(certificate, self.cluster));
        Ok((stream, role))
    }
}

/// The name that a certificate must have to open the console.
pub(crate) fn name(role: Role, number: u64, cluster: ClusterId) -> String {
    format!("{}-{number}.{cluster}.synod", word(role))
}

/// `operator`, `reader`: how its file is called, too.
pub(crate) fn word(role: Role) -> &'static str {
    match role {
        Role::Operator => "operator",
        Role::Reader => "reader",
    }
}

/// What a certificate is good for. It must say one thing.
fn role(certificate: &CertificateDer<'_>, cluster: ClusterId) -> Option<Role> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let mut names = certificate.valid_dns_names().filter(|name| name.to_ascii_lowercase().ends_with(".synod"));
    let (Some(only), None) = (names.next(), names.next()) else { return None };
    let number = only.split_once('-')?.1.split_once('.')?.0.parse().ok()?;
    // A number has many spellings, and a name one.
    [Role::Operator, Role::Reader].into_iter().find(|role| name(*role, number, cluster) == only)
}

fn server_config(config: &Config, listen: SocketAddr) -> Result<ServerConfig, Failure> {
    let certificate = config.certificates.join("console.pem");
    let (key, authority) = (certificate.with_extension("key"), config.certificates.join("authority.pem"));
    let no_use = |path: &Path, cause: &dyn fmt::Display| {
        let what = format!("{}, for https.listen = {listen} in {}", path.display(), config.path.display());
        let remedy = format!(
            "issue it with `synod certs console HOST --cluster FOLDER --folder {}`, where the authority's key is; or leave \
             [https] out",
            config.certificates.display()
        );
        Failure::new(Exit::Configuration, format!("{what}, cannot be used"), remedy).because(cause.to_string())
    };
    let read = |path: &Path| fs::read(path).map_err(|error| no_use(path, &error));
    let all = |path: &Path| {
        let found = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, pem::Error>>();
        found.map_err(|error| no_use(path, &error))
    };
    let mut roots = RootCertStore::empty();
    for root in all(&authority)? {
        roots.add(root).map_err(|error| no_use(&authority, &error))?;
    }
    let private = PrivateKeyDer::from_pem_slice(&read(&key)?).map_err(|error| no_use(&key, &error))?;
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let verifier = verifier.allow_unauthenticated().build().map_err(|error| no_use(&authority, &error))?;
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| no_use(&certificate, &error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(all(&certificate)?, private)
        .map_err(|error| no_use(&certificate, &error))?;
    server.alpn_protocols.push(b"http/1.1".to_vec());
    // Each connection shows its certificate.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(server)
}
