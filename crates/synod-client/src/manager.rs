//! The way to a transaction manager.

use futures_util::{FutureExt, future::BoxFuture};
use synod::{
    Refusal, TxId,
    commit::{self, ClusterId, GivenNames, Outcome},
    perform::tokio::{Error, Handle},
};

use crate::Cause;

/// The answer of a transaction manager, when it comes.
pub type Asked<'a, T> = BoxFuture<'a, Result<T, ManagerError>>;

/// The way to a transaction manager: a node of this process, by its [`Handle`], or one elsewhere.
pub trait Manager: Send + Sync + 'static {
    /// The cluster that it belongs to.
    fn cluster(&self) -> ClusterId;

    /// Up to `count` names of its own, durably taken, and the epoch in which it gives them.
    fn names(&self, count: u64) -> Asked<'_, GivenNames>;

    /// Begins `transaction`, which has no content, and is of the epoch in which its name was given. To begin it again does no
    /// harm.
    fn begin<'a>(&'a self, transaction: &'a commit::Transaction) -> Asked<'a, ()>;

    /// Waits for the outcome of `tx`.
    fn outcome(&self, tx: TxId) -> Asked<'_, Outcome>;

    /// Begins `transaction` and waits for its outcome.
    fn decide<'a>(&'a self, transaction: &'a commit::Transaction) -> Asked<'a, Outcome> {
        async move {
            self.begin(transaction).await?;
            self.outcome(transaction.id()).await
        }
        .boxed()
    }
}

/// Why a transaction manager has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// It does not do this, and nothing has happened.
    #[error("the transaction manager refuses")]
    Refused(#[source] Cause),
    /// The epoch of the transaction's name is over, and the transaction has not committed in it. It never will, even if another
    /// manager was asked to begin it. It may be done again under a new name.
    #[error("the members of the cluster have changed since the transaction was named, and it has not committed")]
    OldEpoch(#[source] Cause),
    /// The transaction is over, and how it ended is not known there, or not any more.
    #[error("the transaction is over, and how it ended is forgotten")]
    Forgotten,
    /// It does not answer. What was asked may or may not have been done.
    #[error("the transaction manager does not answer")]
    Silent(#[source] Cause),
}

impl Manager for Handle {
    fn cluster(&self) -> ClusterId {
        Self::cluster(self)
    }

    fn names(&self, count: u64) -> Asked<'_, GivenNames> {
        async move { Ok(Self::names(self, count).await?) }.boxed()
    }

    fn begin<'a>(&'a self, transaction: &'a commit::Transaction) -> Asked<'a, ()> {
        async move { Ok(self.begin_as(transaction.clone(), []).await?) }.boxed()
    }

    fn outcome(&self, tx: TxId) -> Asked<'_, Outcome> {
        async move { Ok(Self::outcome(self, tx).await?) }.boxed()
    }

    fn decide<'a>(&'a self, transaction: &'a commit::Transaction) -> Asked<'a, Outcome> {
        // Both go out at once: who waits for what is not begun yet waits.
        let (begun, decided) = (Manager::begin(self, transaction), Manager::outcome(self, transaction.id()));
        async move { Ok(tokio::try_join!(begun, decided)?.1) }.boxed()
    }
}

impl From<Error> for ManagerError {
    fn from(error: Error) -> Self {
        match error {
            Error::Forgotten(_) | Error::Refused(Refusal::Retired) => Self::Forgotten,
            Error::Refused(Refusal::OldEpoch) => Self::OldEpoch(error.into()),
            Error::Refused(_) | Error::NoTransaction(_) | Error::TooManyWaiting => Self::Refused(error.into()),
            _ => Self::Silent(error.into()),
        }
    }
}

#[cfg(feature = "grpc")]
mod grpc {
    use futures_util::FutureExt;
    use synod::{
        TxId,
        commit::{self, ClusterId, GivenNames, Outcome},
    };
    use synod_grpc::{CallError, Client, Reason};

    use super::{Asked, Manager, ManagerError};

    /// A client of one or several nodes, which turns to the next by itself. Its certificate may be any client's of the cluster.
    impl Manager for Client {
        fn cluster(&self) -> ClusterId {
            Self::cluster(self)
        }

        fn names(&self, count: u64) -> Asked<'_, GivenNames> {
            async move { Ok(Self::names(self, count).await?) }.boxed()
        }

        fn begin<'a>(&'a self, transaction: &'a commit::Transaction) -> Asked<'a, ()> {
            async move { Ok(self.begin_as(transaction, []).await?) }.boxed()
        }

        fn outcome(&self, tx: TxId) -> Asked<'_, Outcome> {
            async move { Ok(Self::outcome(self, tx).await?) }.boxed()
        }
    }

    impl From<CallError> for ManagerError {
        fn from(error: CallError) -> Self {
            match error {
                CallError::Forgotten(_) | CallError::Refused { reason: Reason::Over, .. } => Self::Forgotten,
                CallError::Refused { reason: Reason::OldEpoch, .. } => Self::OldEpoch(error.into()),
                CallError::Refused { .. } => Self::Refused(error.into()),
                error => Self::Silent(error.into()),
            }
        }
    }
}
