//! How connections are protected.

use std::{fmt, fs, io, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_rustls::rustls::{
    self, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem, pem::PemObject},
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier},
    version::TLS13,
};
use tonic::transport::{Certificate, ClientTlsConfig};
use webpki::{EndEntityCert, KeyUsage};

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
/// TLS is of version 1.3. The authority should vouch for nothing but clusters. Nothing is asked about certificates that
/// were revoked.
///
/// A clone shares what it has: [`renew`](Self::renew) and [`reload`](Self::reload) give all of them a new certificate, or a
/// new authority, for every connection from then on. Those that are there stay.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    identity: Identity,
    files: Option<Files>,
    papers: watch::Sender<Arc<Papers>>,
}

/// Where the three are.
struct Files {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

/// What is in force.
struct Papers {
    server: Arc<ServerConfig>,
    client: ClientTlsConfig,
    /// Until when all of it is valid, in seconds since 1970.
    until: u64,
    /// How many there were before.
    turn: u64,
}

/// Why there is no TLS to be had from these files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The authority's certificate is missing or unreadable.
    #[error("the authority's certificate cannot be read")]
    Authority(#[source] pem::Error),
    /// The certificate is missing or unreadable.
    #[error("the certificate cannot be read")]
    Certificate(#[source] pem::Error),
    /// The key is missing or unreadable.
    #[error("the key cannot be read")]
    Key(#[source] pem::Error),
    /// The certificate is nobody's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The authority's certificate is not one of an authority.
    #[error("the authority's certificate is not one of an authority")]
    Verifier(#[from] VerifierBuilderError),
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate is not valid yet, or not any more.
    #[error(
        "{whose} is valid from {from} until {until}, and it is {now}: have another one issued, or set the clock of this \
         machine right"
    )]
    NotValidNow {
        /// Whose certificate it is, and in which file.
        whose: Box<str>,
        /// When it begins to be valid.
        from: Box<str>,
        /// When it has ceased to be.
        until: Box<str>,
        /// The time on this machine.
        now: Box<str>,
    },
    /// What is in force is for somebody, and the new certificate for somebody else.
    #[error("the new certificate is for {found}, not for {wanted}")]
    OtherIdentity {
        /// Whom it should be for.
        wanted: Identity,
        /// Whom it is for.
        found: Identity,
    },
    /// What is in force did not come from files, so that there is nothing to read again.
    #[error("the certificates did not come from files")]
    NoFiles,
    /// The pieces do not fit together, such as the key and the certificate.
    #[error("the certificates or the key are of no use")]
    Rustls(#[from] rustls::Error),
}

impl Security {
    /// Refuses the certificate of another than `wanted`.
    pub(crate) fn check(&self, wanted: Identity) -> Result<(), Error> {
        match self {
            Self::Tls(tls) if tls.identity() != wanted => Err(Error::OtherIdentity { wanted, found: tls.identity() }),
            Self::Tls(_) | Self::Plaintext => Ok(()),
        }
    }
}

impl Tls {
    /// TLS from what files in PEM hold: the certificates of the authority; this process's own, with those between it and
    /// the authority after it; and its key.
    ///
    /// An error, among others, if one of the process's own certificates is not valid now, or none of the authority's is.
    pub fn from_pem(authority: &[u8], certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Self::new([authority, certificate, key], None)
    }

    /// The same from these files, to be read again by [`reload`](Self::reload).
    pub fn from_files(
        authority: impl Into<PathBuf>,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, TlsError> {
        let files = Files { authority: authority.into(), certificate: certificate.into(), key: key.into() };
        let [authority, certificate, key] = files.read()?;
        Self::new([&authority, &certificate, &key], Some(files))
    }

    fn new(pem: [&[u8]; 3], files: Option<Files>) -> Result<Self, TlsError> {
        let (identity, papers) = Papers::new(pem, files.as_ref(), 0)?;
        Ok(Self(Arc::new(Shared { identity, files, papers: watch::Sender::new(Arc::new(papers)) })))
    }

    /// Uses these from now on, for new connections. They must be for the same identity. After an error nothing has
    /// changed.
    pub fn renew(&self, authority: &[u8], certificate: &[u8], key: &[u8]) -> Result<(), TlsError> {
        self.replace([authority, certificate, key])
    }

    /// Reads the files again, and uses what is there from now on, for new connections. After an error nothing has changed.
    ///
    /// An error if they did not come [from files](Self::from_files).
    pub fn reload(&self) -> Result<(), TlsError> {
        let [authority, certificate, key] = self.0.files.as_ref().ok_or(TlsError::NoFiles)?.read()?;
        self.replace([&authority, &certificate, &key])
    }

    fn replace(&self, pem: [&[u8]; 3]) -> Result<(), TlsError> {
        let (found, mut papers) = Papers::new(pem, self.0.files.as_ref(), 0)?;
        let wanted = self.identity();
        if found != wanted {
            return Err(TlsError::OtherIdentity { wanted, found });
        }
        self.0.papers.send_modify(|now| {
            papers.turn = now.turn + 1;
            *now = Arc::new(papers);
        });
        tracing::info!(identity = %wanted, days_left = self.days_left(), "other certificates are in force");
        Ok(())
    }

    /// Whom the certificate is for.
    pub fn identity(&self) -> Identity {
        self.0.identity
    }

    /// For how many days more all certificates here are valid: the process's own, and one of the authority's. Below zero
    /// when one has expired.
    pub fn days_left(&self) -> f64 {
        const DAY: f64 = 86_400.0;
        (self.papers().until as f64 - UnixTime::now().as_secs() as f64) / DAY
    }

    /// How often it was renewed.
    pub(crate) fn turn(&self) -> u64 {
        self.papers().turn
    }

    /// Done when it is renewed.
    pub(crate) async fn renewed(&self, last: u64) {
        // The sender is here.
        let _ = self.0.papers.subscribe().wait_for(|papers| papers.turn != last).await;
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.papers().server)
    }

    /// For a connection to `server`, and to nobody else.
    pub(crate) fn client(&self, server: Identity) -> ClientTlsConfig {
        self.papers().client.clone().domain_name(format!("{server}"))
    }

    fn papers(&self) -> Arc<Papers> {
        Arc::clone(&self.0.papers.borrow())
    }
}

impl Papers {
    fn new(
        [authority, certificate, key]: [&[u8]; 3],
        files: Option<&Files>,
        turn: u64,
    ) -> Result<(Identity, Self), TlsError> {
        let chain = certificates(certificate).map_err(TlsError::Certificate)?;
        let identity = Identity::of_certificate(chain.first().map_or(&[], |own| own.as_ref()))?;
        let private = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
        let authorities = certificates(authority).map_err(TlsError::Authority)?;
        let mut roots = RootCertStore::empty();
        for root in authorities.clone() {
            roots.add(root)?;
        }
        let whose = |whose: &str, file: Option<&PathBuf>| match file {
            Some(path) => format!("{whose} in {}", path.display()),
            None => whose.to_owned(),
        };
        let own = whose(&format!("the certificate of {identity}"), files.map(|files| &files.certificate));
        let own = chain.iter().map(|each| valid_until(each, &own)).collect::<Result<Vec<_>, _>>()?;
        let whose = whose("the authority's certificate", files.map(|files| &files.authority));
        // An authority that is followed by another has two for a while, of which one may have expired.
        let (valid, expired): (Vec<_>, Vec<_>) =
            authorities.iter().map(|each| valid_until(each, &whose)).partition(Result::is_ok);
        let valid = valid.into_iter().flatten().max();
        if let (None, Some(Err(error))) = (valid, expired.into_iter().next()) {
            return Err(error);
        }
        let until = own.into_iter().chain(valid).min().unwrap_or(0);

        // Named, so that it is the same whatever else the program links.
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build()?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, private)?;
        server.alpn_protocols.push(b"h2".to_vec());
        // A session that is resumed would bring its certificate with it, unread.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let client = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority))
            .identity(tonic::transport::Identity::from_pem(certificate, key));
        Ok((identity, Self { server: Arc::new(server), client, until, turn }))
    }
}

impl Files {
    fn read(&self) -> Result<[Vec<u8>; 3], TlsError> {
        let read = |path: &PathBuf| fs::read(path).map_err(|source| TlsError::File { path: path.clone(), source });
        Ok([read(&self.authority)?, read(&self.certificate)?, read(&self.key)?])
    }
}

/// Until when a certificate, that of `whose`, is valid; an error if it is not valid now.
fn valid_until(certificate: &CertificateDer<'_>, whose: &str) -> Result<u64, TlsError> {
    let (from, until) = validity(certificate);
    let now = UnixTime::now().as_secs();
    if (from..=until).contains(&now) {
        return Ok(until);
    }
    let [from, until, now] = [from, until, now].map(|seconds| date(seconds).into());
    Err(TlsError::NotValidNow { whose: whose.into(), from, until, now })
}

/// From when and until when a certificate is valid, in seconds since 1970. For ever, if its form is an old one that has no
/// end that can be read.
///
/// Dates are what is looked at first, so a question about the first moment of all, and one about the last, reveal them.
fn validity(certificate: &CertificateDer<'_>) -> (u64, u64) {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return (0, u64::MAX) };
    let at = |seconds| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        certificate.verify_for_usage(&[], &[], &[], time, KeyUsage::client_auth(), None, None).err()
    };
    let from = match at(0) {
        Some(webpki::Error::CertNotValidYet { not_before, .. }) => not_before.as_secs(),
        _ => 0,
    };
    let until = match at(u64::MAX) {
        Some(webpki::Error::CertExpired { not_after, .. }) => not_after.as_secs(),
        _ => u64::MAX,
    };
    (from, until)
}

/// Seconds since 1970 as a date and a time.
fn date(seconds: u64) -> String {
    const LENGTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut day, second) = (seconds / 86_400, seconds % 86_400);
    // A cycle of the calendar is 400 years.
    let (mut year, mut month) = (1970 + day / 146_097 * 400, 0);
    day %= 146_097;
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    for length in LENGTHS {
        let length = length + u64::from(length == 28 && is_leap(year));
        month += 1;
        if day < length {
            break;
        }
        day -= length;
    }
    format!("{year}-{month:02}-{:02} {:02}:{:02}:{:02} UTC", day + 1, second / 3_600, second / 60 % 60, second % 60)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("identity", &self.identity()).finish_non_exhaustive()
    }
}

/// The certificates in a file, at least one.
fn certificates(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let found = CertificateDer::pem_slice_iter(file).collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn a_date_is_that_of_the_calendar() {
        for (seconds, said) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_164_799, "2024-02-28 23:59:59 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(date(seconds), said);
        }
    }
}
