//! An authority that issues certificates.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use synod_grpc::{Identity, Security, Tls, TlsError};

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: String,
}

/// A certificate and its key, in PEM.
pub(crate) struct Paper {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// From when and until when something is valid, in days from now.
pub(crate) type Days = (i64, i64);

/// As good as always.
pub(crate) const ALWAYS: Days = (-10_000, 100_000);

fn set(params: &mut CertificateParams, (from, until): Days) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs((now + from * 86_400) as u64);
    params.not_after = epoch + Duration::from_secs((now + until * 86_400) as u64);
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::valid(ALWAYS)
    }

    pub(crate) fn valid(days: Days) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        set(&mut params, days);
        // Some libraries take a certificate whose issuer has its own name for one that it signed itself.
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A certificate for these names.
    pub(crate) fn issue(&self, names: &[&str]) -> Paper {
        self.issue_for(names, ALWAYS)
    }

    pub(crate) fn issue_for(&self, names: &[&str], days: Days) -> Paper {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        set(&mut params, days);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Paper { certificate, key: key.serialize_pem() }
    }

    /// What has a certificate of this authority for these names takes for TLS.
    pub(crate) fn tls(&self, names: &[&str]) -> Result<Tls, TlsError> {
        let Paper { certificate, key } = self.issue(names);
        Tls::from_pem(self.certificate.as_bytes(), certificate.as_bytes(), key.as_bytes())
    }

    pub(crate) fn security(&self, identity: Identity) -> Security {
        Security::Tls(self.tls(&[&identity.to_string()]).unwrap())
    }
}
