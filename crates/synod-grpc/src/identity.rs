//! Who a certificate is for.
//!
//! A certificate of a cluster has one DNS name that ends in `.synod` among its subject alternative names, and that name
//! is who it is for:
//!
//! | name | who |
//! |---|---|
//! | `node-7.<cluster>.synod` | node 7, in the protocol and as a client |
//! | `client-9.<cluster>.synod` | client 9, who is no node |
//!
//! where `<cluster>` is the cluster's id in 32 lower-case hexadecimal digits. When node 7 is dialled, its certificate is
//! checked for the first name, as for any host. Other names in it mean nothing here, and there may be any.
//!
//! Nodes and clients are numbered together: a client names transactions of its own by its number, as a node does.

use std::{fmt, str::FromStr};

use synod::{NodeId, commit::ClusterId};
use tokio_rustls::rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

const SUFFIX: &str = ".synod";

/// Who someone is, as a certificate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// What it is there.
    pub role: Role,
}

/// What someone is in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A node.
    Node(NodeId),
    /// A client that is no node. The number is one that no node has.
    Client(NodeId),
}

/// Why a certificate is nobody's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// It cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Unreadable(webpki::Error),
    /// No name in it ends in `.synod`.
    #[error("the certificate has no name that ends in .synod")]
    Nobody,
    /// More than one name in it ends in `.synod`.
    #[error("the certificate has several names that end in .synod")]
    Several,
    /// The name is not of the form that names have.
    #[error("{0:?} is not a name of the form node-7.<cluster>.synod or client-9.<cluster>.synod")]
    Malformed(String),
}

impl Identity {
    /// That of a node.
    pub fn node(cluster: ClusterId, node: NodeId) -> Self {
        Self { cluster, role: Role::Node(node) }
    }

    /// That of a client.
    pub fn client(cluster: ClusterId, client: NodeId) -> Self {
        Self { cluster, role: Role::Client(client) }
    }

    /// The identity that a certificate, in DER, is for. Who signed it is not looked at here.
    pub fn of_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let der = CertificateDer::from(der);
        let certificate = EndEntityCert::try_from(&der).map_err(IdentityError::Unreadable)?;
        let is_ours = |name: &&str| name.to_ascii_lowercase().ends_with(SUFFIX);
        let mut names = certificate.valid_dns_names().filter(is_ours);
        match (names.next(), names.next()) {
            (None, _) => Err(IdentityError::Nobody),
            (Some(name), None) => name.parse(),
            (Some(_), Some(_)) => Err(IdentityError::Several),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, number) = match self.role {
            Role::Node(node) => ("node", node.0),
            Role::Client(client) => ("client", client.0),
        };
        write!(f, "{kind}-{number}.{}{SUFFIX}", self.cluster)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    /// Takes exactly what `Display` yields.
    fn from_str(name: &str) -> Result<Self, IdentityError> {
        let parse = || {
            let (who, cluster) = name.strip_suffix(SUFFIX)?.split_once('.')?;
            let (kind, number) = who.split_once('-')?;
            let number = NodeId(number.parse().ok()?);
            let role = match kind {
                "node" => Role::Node(number),
                "client" => Role::Client(number),
                _ => return None,
            };
            let cluster = cluster.parse().ok()?;
            // A number has many spellings, and a name one.
            Some(Self { cluster, role }).filter(|identity| identity.to_string() == name)
        };
        parse().ok_or_else(|| IdentityError::Malformed(name.into()))
    }
}
