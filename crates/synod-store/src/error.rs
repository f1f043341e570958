//! Why a store cannot take part, or cannot be asked.

use std::error::Error as _;

use synod::{NodeId, commit::ClusterId};
use synod_grpc::tonic::{Code, Status};

/// What went wrong with a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Its address, or the certificates, are of no use.
    #[error(transparent)]
    Connection(#[from] synod_grpc::Error),
    /// It cannot be reached, or gives no answer in time.
    #[error("the store of participant {participant} at {address} does not answer: {}", said(.status))]
    Away {
        /// Whose store it is.
        participant: NodeId,
        /// Where it should be.
        address: Box<str>,
        /// What gRPC says.
        status: Box<Status>,
    },
    /// It says no to its agent.
    #[error(
        "the store at {address} refuses participant {participant} of cluster {cluster}: {} (give each store the address and \
         the certificate of its own participant)", said(.status)
    )]
    Refused {
        /// Who asked.
        participant: NodeId,
        /// In which cluster.
        cluster: ClusterId,
        /// Where it is.
        address: Box<str>,
        /// What it says.
        status: Box<Status>,
    },
    /// Its answer makes no sense.
    #[error("the store of participant {participant} gives an answer that makes no sense: {what}")]
    Answer {
        /// Whose store it is.
        participant: NodeId,
        /// What is wrong with it.
        what: Box<str>,
    },
}

impl Error {
    /// Whether it may answer later without anybody changing anything here.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. })
    }

    /// Whether it has no use to ask again: the store is another one's.
    pub(crate) fn is_of_another(code: Code) -> bool {
        matches!(code, Code::PermissionDenied | Code::FailedPrecondition | Code::Unimplemented | Code::Unauthenticated)
    }
}

/// What gRPC says, with all that is beneath it.
fn said(status: &Status) -> String {
    let (mut said, mut next) = (status.message().to_owned(), status.source());
    while let Some(source) = next {
        said += &format!(": {source}");
        next = source.source();
    }
    said
}
