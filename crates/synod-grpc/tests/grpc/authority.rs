//! An authority that issues certificates.

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

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        // Some libraries take a certificate whose issuer has its own name for one that it signed itself.
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A certificate for these names.
    pub(crate) fn issue(&self, names: &[&str]) -> Paper {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let mut params = CertificateParams::new(names).unwrap();
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
