//! Certificates: an authority for this cluster, and who each process is.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use synod_grpc::{Identity, Security, Tls, TlsError};

use crate::cast::{CAST, CLUSTER, OPERATOR, TELLER};

/// Why there are no papers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PaperError {
    #[error("{path} cannot be used; is there a cluster?")]
    File { path: PathBuf, source: io::Error },
    #[error("a certificate cannot be made")]
    Made(#[from] rcgen::Error),
    #[error("the certificate of {0} is of no use")]
    Tls(Identity, #[source] TlsError),
}

/// Who gives certificates. Its key is in no file.
pub(crate) struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// Makes an authority, and a certificate for each founder and client, in `data`.
pub(crate) fn issue(data: &Path) -> Result<Authority, PaperError> {
    let folder = folder(data);
    fs::create_dir_all(&folder).map_err(|source| PaperError::File { path: folder.clone(), source })?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "the bank's authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write(&folder.join("authority.pem"), &params.self_signed(&key)?.pem())?;
    let authority = Authority { folder, issuer: Issuer::new(params, key) };
    let nodes = CAST.names().map(|name| Identity::node(CLUSTER, CAST.node(name)));
    for identity in nodes.chain([TELLER, OPERATOR].map(|client| Identity::client(CLUSTER, client))) {
        authority.issue(identity)?;
    }
    Ok(authority)
}

impl Authority {
    /// Makes a certificate for one more.
    pub(crate) fn issue(&self, identity: Identity) -> Result<(), PaperError> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([identity.to_string()])?.signed_by(&key, &self.issuer)?;
        write(&self.folder.join(format!("{identity}.pem")), &certificate.pem())?;
        write(&self.folder.join(format!("{identity}.key")), &key.serialize_pem())
    }
}

/// What `identity` takes for TLS.
pub(crate) fn security(data: &Path, identity: Identity) -> Result<Security, PaperError> {
    let read = |name: String| {
        let path = folder(data).join(name);
        fs::read(&path).map_err(|source| PaperError::File { path, source })
    };
    let authority = read("authority.pem".to_owned())?;
    let (certificate, key) = (read(format!("{identity}.pem"))?, read(format!("{identity}.key"))?);
    let tls = Tls::from_pem(&authority, &certificate, &key);
    Ok(Security::Tls(tls.map_err(|source| PaperError::Tls(identity, source))?))
}

fn folder(data: &Path) -> PathBuf {
    data.join("papers")
}

/// For nobody else's eyes: keys are among them.
fn write(path: &Path, text: &str) -> Result<(), PaperError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| PaperError::File { path: path.into(), source })
}
