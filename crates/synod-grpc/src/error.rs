//! Why there is no connection to be had.

use synod::NodeId;

use crate::{Identity, TlsError, WireError};

/// Why gRPC cannot be set up as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option of zero would leave no room, or no time, for anything.
    #[error("the option {0:?} must not be zero")]
    ZeroOption(&'static str),
    /// A transaction within the cluster's limits could have messages that are larger than allowed.
    #[error("the cluster's limits make messages of up to {needed} bytes, and {allowed} are allowed")]
    SmallMessages {
        /// How many bytes such a message may take.
        needed: usize,
        /// How many the options allow.
        allowed: usize,
    },
    /// The files for TLS are of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The certificate is somebody else's.
    #[error("the certificate is for {found}, not for {wanted}")]
    OtherIdentity {
        /// Whom it should be for.
        wanted: Identity,
        /// Whom it is for.
        found: Identity,
    },
    /// An address is not of the form `host:port`.
    #[error("{address:?} is no address of {node}: it must be of the form host:port")]
    Address {
        /// The node whose address it should be.
        node: NodeId,
        /// What it is.
        address: String,
    },
    /// A connection could not even be described.
    #[error("the connection makes no sense")]
    Endpoint(#[from] tonic::transport::Error),
    /// Tasks are needed, and this is no tokio runtime.
    #[error("this must be called in a tokio runtime")]
    NoRuntime,
    /// The listener has no address.
    #[error("the listener is of no use")]
    Listener(#[from] std::io::Error),
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The node said no, or there was no connection, or it broke; the code tells which. A node that cannot be reached is
    /// [`Unavailable`](tonic::Code::Unavailable).
    #[error("the call failed: {0}")]
    Failed(#[from] tonic::Status),
    /// The node's answer makes no sense.
    #[error("the answer makes no sense")]
    Answer(#[from] WireError),
}
