//! What no agent can mend: somebody, or a crash, has ended a branch behind the cluster's back.

use synod::{TxId, commit::Outcome};

/// A branch is not as it must be. The agent says so in the log, too, as an error, and never takes it for done: it asks the
/// database again and again, for a branch that was lost in a crash may come back with the next restart.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alarm {
    /// The transaction.
    pub tx: TxId,
    /// How it ended everywhere else.
    pub outcome: Outcome,
    /// What was found here.
    pub kind: Kind,
}

/// What was found in place of a prepared branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Kind {
    /// It is to be committed, and the database has neither the prepared branch nor a trace of it.
    #[error("the database has lost a prepared branch that is to be committed")]
    Lost,
    /// It is to be committed, and was rolled back here.
    #[error("a branch that is to be committed was rolled back here")]
    RolledBack,
    /// It is to be rolled back, and was committed here.
    #[error("a branch that is to be rolled back was committed here")]
    Committed,
}
