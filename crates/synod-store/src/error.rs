//! Why a store cannot take part, or cannot be asked.

use std::error::Error as _;

use synod::{NodeId, TxId, commit::ClusterId};
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
    /// It says no to its agent, or to an application.
    #[error(
        "the store at {address} refuses participant {participant} of cluster {cluster}: {} (give each store the address and \
         the certificate of its own participant, and an application that of a client of the cluster)", said(.status)
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
    /// It stages nothing, so it takes no part in transactions of the front door.
    #[error(
        "the store of participant {participant} at {address} does not stage what a transaction wants of it: have it serve `Stage`, \
         `Unstage` and `Staged` of store.proto (one in Python: with a newer `synod.participant`), or begin transactions among stores \
         alone, with a content (`Client::begin`)"
    )]
    NoStaging {
        /// Whose store it is.
        participant: NodeId,
        /// Where it is.
        address: Box<str>,
    },
    /// Something was staged for it in this transaction already.
    #[error(
        "the transaction has said already what it wants of the store of participant {0}: put all of it into one content"
    )]
    Twice(NodeId),
    /// What is to be staged is too long.
    #[error(
        "{bytes} bytes are to be staged in the store of participant {participant}, and 1048576 may be: leave there where the rest is"
    )]
    TooLong {
        /// Whose store it is.
        participant: NodeId,
        /// How many.
        bytes: usize,
    },
    /// Other content is staged under the name.
    #[error(
        "other content was staged in the store of participant {participant} under the name {tx}: use each name once"
    )]
    Otherwise {
        /// Whose store it is.
        participant: NodeId,
        /// The name.
        tx: TxId,
    },
    /// It has promised the transaction, or that is over.
    #[error(
        "the store of participant {participant} has promised {tx} already, or it is over there: it was begun before it was staged"
    )]
    Late {
        /// Whose store it is.
        participant: NodeId,
        /// The transaction.
        tx: TxId,
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

    /// What an error of the calls that are about what is staged means.
    pub(crate) fn of_staging(self) -> Self {
        match self {
            Self::Refused { participant, address, status, .. } if status.code() == Code::Unimplemented => {
                Self::NoStaging { participant, address }
            }
            error => error,
        }
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
