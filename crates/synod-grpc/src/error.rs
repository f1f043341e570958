//! Why there is no connection to be had.

use synod::NodeId;
use tonic::{Code, Status, metadata::MetadataValue};

use crate::{Identity, TlsError, WireError, v1::Reason};

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
    /// The process may open too few files: connections could take those that its storage needs, and stop the node.
    #[error(
        "connections may take {connections} open files, and the rest of the process {others}, but it may open {allowed}: \
         raise that (`ulimit -n`, or LimitNOFILE= of systemd), or lower the options connections, node_connections and \
         newcomers"
    )]
    OpenFiles {
        /// How many connections the options allow.
        connections: usize,
        /// How many files are set apart for everything else.
        others: usize,
        /// How many the process may open.
        allowed: u64,
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

/// Why a call of a [`Client`](crate::Client) came to nothing.
///
/// Three answers of nodes are told apart: the transaction is [`Unknown`](Self::Unknown), it is over and
/// [`Forgotten`](Self::Forgotten), or what was asked is [`Refused`](Self::Refused).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No node that was asked has heard of the transaction, or has it open.
    #[error("the transaction is not known: {}", .0.message())]
    Unknown(Status),
    /// The transaction is over, and how it ended is not known where it was asked, or not any more. It has happened: to
    /// begin the same under another name is to do it twice.
    #[error("the transaction is over, and how it ended is forgotten: {}", .0.message())]
    Forgotten(Status),
    /// The node refuses, and nothing was done.
    #[error("{}", .status.message())]
    Refused {
        /// Why.
        reason: Reason,
        /// The whole answer.
        status: Status,
    },
    /// The answer was lost, so a transaction without a name of the caller's may have begun, or not. It is not begun again,
    /// because it would be another one. A transaction that is begun by [`begin_as`](crate::Client::begin_as) has no such
    /// doubt.
    #[error("the transaction may have begun, and the answer was lost: {}", .0.message())]
    MayHaveBegun(Status),
    /// No answer came within [`Options::call`](crate::Options::call). What was asked may or may not have been done; a
    /// transaction goes on.
    #[error("no answer came in time")]
    Deadline,
    /// There was no connection, or it broke, or the server said no before the node was asked; the code tells which. A node
    /// that cannot be reached is [`Unavailable`](tonic::Code::Unavailable). What was asked may or may not have been done.
    #[error("the call failed: {0}")]
    Failed(Status),
    /// The node's answer makes no sense.
    #[error("the answer makes no sense")]
    Answer(#[from] WireError),
}

/// The trailing metadata that has the name of a [`Reason`].
const REASON: &str = "synod-reason";

impl CallError {
    /// The code of the answer. It is [`DeadlineExceeded`](Code::DeadlineExceeded) if there was none, and
    /// [`Internal`](Code::Internal) if it made no sense.
    pub fn code(&self) -> Code {
        match self {
            Self::Unknown(status) | Self::Forgotten(status) | Self::MayHaveBegun(status) | Self::Failed(status) => {
                status.code()
            }
            Self::Refused { status, .. } => status.code(),
            Self::Deadline => Code::DeadlineExceeded,
            Self::Answer(_) => Code::Internal,
        }
    }
}

impl From<Status> for CallError {
    /// Tells by the reason that the node gives, if it is the node that says no.
    fn from(status: Status) -> Self {
        let said = status.metadata().get(REASON).and_then(|name| name.to_str().ok());
        match said.map(|name| Reason::from_str_name(name).unwrap_or_default()) {
            None | Some(Reason::Stopped) => Self::Failed(status),
            Some(Reason::Unknown) => Self::Unknown(status),
            Some(Reason::Forgotten) => Self::Forgotten(status),
            Some(reason) => Self::Refused { reason, status },
        }
    }
}

/// An answer that says no for `reason`.
pub(crate) fn refusal(code: Code, message: String, reason: Reason) -> Status {
    let mut status = Status::new(code, message);
    status.metadata_mut().insert(REASON, MetadataValue::from_static(reason.as_str_name()));
    status
}
