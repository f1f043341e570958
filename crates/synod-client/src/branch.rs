//! What a kind of database is to the front door.

use std::{any::Any, error::Error};

use futures_util::{FutureExt, future::BoxFuture};
use synod::{
    NodeId, TxId,
    commit::{self, ClusterId, Outcome},
};

/// Why a database did not do what it was asked to.
pub type Cause = Box<dyn Error + Send + Sync>;

/// A database in which transactions work: the application's way to it. A clone shares its connections.
///
/// Implemented by `synod_postgres::Postgres`, `synod_mysql::Mysql`, `synod_sqlite::Sqlite`, and `synod_store::Store` for a store of your
/// own in any language; implement it for a database of another kind, together with the
/// [`Resource`](synod::perform::tokio::Resource) of its agent.
pub trait Database: Send + Sync {
    /// The part of a transaction in this database.
    type Branch: Branch;

    /// Whether a branch must know its transaction's name from the start.
    const IS_NAMED: bool = false;

    /// Which participant stands for this database.
    fn participant(&self) -> NodeId;

    /// Begins a branch. It gets the name of its transaction if this kind of database needs that at the start.
    fn open(&self, name: Option<Name>) -> impl Future<Output = Result<Self::Branch, Cause>> + Send;
}

/// The name of a transaction, also for a database that serves several clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Whose transaction it is.
    pub cluster: ClusterId,
    /// Its name there.
    pub tx: TxId,
}

/// The part of a transaction in one database, over a connection of its own. Dropped, it is rolled back, unless it is prepared:
/// then it stays, and the agent ends it as the transaction ends.
pub trait Branch: Send + 'static {
    /// Whether it has written anything. One that has not is committed plainly by this, and is over.
    fn has_written(&mut self) -> impl Future<Output = Result<bool, Cause>> + Send;

    /// Whether the branch can commit by itself, where it is all that the transaction has written. One that cannot, because it is its
    /// agent that promises, is prepared even then, and its transaction is one of the cluster.
    fn commits_alone(&self) -> bool {
        true
    }

    /// Commits the branch by itself: it is all that the transaction has written. If the answer is lost, it finds out.
    fn commit_alone(&mut self) -> impl Future<Output = Result<(), Alone>> + Send;

    /// Prepares the branch of `transaction` of this cluster: durably, and so that it can be committed whatever happens. An error
    /// says that it is rolled back, or that it is not known what happened.
    fn prepare(
        &mut self,
        cluster: ClusterId,
        transaction: &commit::Transaction,
    ) -> impl Future<Output = Result<(), Unprepared>> + Send;

    /// Carries the outcome of a prepared branch out. An error leaves this to the agent.
    fn finish(&mut self, outcome: Outcome) -> impl Future<Output = Result<(), Cause>> + Send;

    /// Rolls back what is not prepared.
    fn roll_back(&mut self) -> impl Future<Output = ()> + Send;
}

/// Why a branch that is committed by itself may not be.
#[derive(Debug, thiserror::Error)]
pub enum Alone {
    /// It is rolled back.
    #[error("it was rolled back")]
    RolledBack(#[source] Cause),
    /// The answer was lost, and the database could not be asked in time.
    #[error("the database's answer was lost")]
    Unknown(#[source] Cause),
}

/// Why a branch is not known to be prepared.
#[derive(Debug, thiserror::Error)]
pub enum Unprepared {
    /// It is not, and never will be: nobody can commit its transaction any more.
    #[error("it was rolled back")]
    RolledBack(#[source] Cause),
    /// The answer was lost: it may be prepared, or may be yet.
    #[error("the database's answer was lost")]
    Unknown(#[source] Cause),
}

impl Unprepared {
    /// What the database says.
    pub fn into_cause(self) -> Cause {
        match self {
            Self::RolledBack(cause) | Self::Unknown(cause) => cause,
        }
    }
}

/// Any branch.
pub(crate) trait AnyBranch: Send {
    fn as_any(&mut self) -> &mut (dyn Any + Send);
    fn has_written(&mut self) -> BoxFuture<'_, Result<bool, Cause>>;
    fn commits_alone(&self) -> bool;
    fn commit_alone(&mut self) -> BoxFuture<'_, Result<(), Alone>>;
    fn prepare<'a>(
        &'a mut self,
        cluster: ClusterId,
        transaction: &'a commit::Transaction,
    ) -> BoxFuture<'a, Result<(), Unprepared>>;
    fn finish(&mut self, outcome: Outcome) -> BoxFuture<'_, Result<(), Cause>>;
    fn roll_back(&mut self) -> BoxFuture<'_, ()>;
}

impl<B: Branch> AnyBranch for B {
    fn as_any(&mut self) -> &mut (dyn Any + Send) {
        self
    }

    fn has_written(&mut self) -> BoxFuture<'_, Result<bool, Cause>> {
        Branch::has_written(self).boxed()
    }

    fn commits_alone(&self) -> bool {
        Branch::commits_alone(self)
    }

    fn commit_alone(&mut self) -> BoxFuture<'_, Result<(), Alone>> {
        Branch::commit_alone(self).boxed()
    }

    fn prepare<'a>(
        &'a mut self,
        cluster: ClusterId,
        transaction: &'a commit::Transaction,
    ) -> BoxFuture<'a, Result<(), Unprepared>> {
        Branch::prepare(self, cluster, transaction).boxed()
    }

    fn finish(&mut self, outcome: Outcome) -> BoxFuture<'_, Result<(), Cause>> {
        Branch::finish(self, outcome).boxed()
    }

    fn roll_back(&mut self) -> BoxFuture<'_, ()> {
        Branch::roll_back(self).boxed()
    }
}
