//! What can go wrong, and what is then true of the transaction.

use synod::{NodeId, TxId, commit::TransactionError};

use crate::{Cause, ManagerError};

/// Why a branch could not be opened. The transaction is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The database gives no connection, or begins no transaction.
    #[error("no transaction can begin in database {participant}: nothing has been committed anywhere")]
    Database {
        /// Which one.
        participant: NodeId,
        /// What it says.
        source: Cause,
    },
    /// Two databases of different kinds stand under the number of one participant.
    #[error(
        "{0} already stands for a database of another kind in this transaction: give each database a number of its own"
    )]
    OtherKind(NodeId),
    /// Two branches were asked for, and there is one.
    #[error("both databases are participant {0}, which has one branch in a transaction: ask for it once")]
    Twice(NodeId),
    /// No transaction manager gives a name.
    #[error("no transaction manager gives a name")]
    Unnamed(#[from] ManagerError),
}

/// Why a transaction is not known to be committed. [`may_have_committed`](Self::may_have_committed) says what that means.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A branch could not be prepared, or committed: nothing has changed anywhere. What is prepared in other databases is
    /// rolled back, by their agents if no transaction manager answers now.
    #[error("database {participant} cannot commit its branch: everything is rolled back")]
    Database {
        /// Which one.
        participant: NodeId,
        /// What it says.
        source: Cause,
    },
    /// No transaction manager gives a name: nothing has changed anywhere.
    #[error("no transaction manager gives a name: everything is rolled back")]
    Unnamed(#[source] ManagerError),
    /// These databases make no transaction: nothing has changed anywhere.
    #[error("these databases make no transaction: everything is rolled back")]
    NoTransaction(#[from] TransactionError),
    /// All branches are prepared, or may be, and it is not known how that ends: [`Synod::outcome`](crate::Synod::outcome) answers later.
    /// No lock outlives this for ever: the databases' agents end the branches.
    #[error("transaction {tx} may have committed, or may commit yet: ask for its outcome")]
    Unknown {
        /// Its name.
        tx: TxId,
        /// What the transaction managers say.
        source: ManagerError,
    },
    /// The one database in which the transaction has written gives no answer.
    #[error("database {participant} may have committed: it was lost before it answered")]
    Lost {
        /// Which one.
        participant: NodeId,
        /// What is known of it.
        source: Cause,
    },
}

impl CommitError {
    /// Whether the transaction may have committed, or may commit yet. Otherwise nothing has changed, and nothing will: it may
    /// be done again.
    pub fn may_have_committed(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Lost { .. })
    }

    /// The name by which to [ask](crate::Synod::outcome) how it ended.
    pub fn tx(&self) -> Option<TxId> {
        if let Self::Unknown { tx, .. } = self { Some(*tx) } else { None }
    }
}

/// Why there is no answer to how a transaction ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutcomeError {
    /// It is over, and no transaction manager that answers knows how: it has left their history.
    #[error("transaction {0} is over, and how it ended is forgotten")]
    Forgotten(TxId),
    /// No transaction manager answers in time: ask again.
    #[error("no transaction manager knows how transaction {tx} ended: ask again")]
    Silent {
        /// Its name.
        tx: TxId,
        /// What the last one says.
        source: ManagerError,
    },
}
