//! A transaction over several databases, as the application sees it.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::join_all;
use synod::{
    NodeId, TxId,
    commit::{self, ClusterId, Outcome, Participants},
};

use crate::{
    Alone, CommitError, Database, Manager, ManagerError, Name, OpenError, OutcomeError, Unprepared,
    branch::AnyBranch,
    gate::Gate,
    names::{GivenName, Names},
};

/// The front door: makes transactions. A clone is the same door.
#[derive(Clone)]
pub struct Synod(Arc<Door>);

struct Door {
    gate: Gate,
    names: Names,
}

/// A transaction over several databases. Dropped before [`commit`](Self::commit), it is rolled back everywhere.
pub struct Transaction {
    door: Arc<Door>,
    /// In the order in which they were opened.
    branches: Vec<(NodeId, Box<dyn AnyBranch>)>,
    /// Its name, and from when on it must not be used again.
    name: Option<GivenName>,
}

impl fmt::Debug for Synod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Synod").field("managers", &self.0.gate.managers.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.branches.iter().map(|(node, _)| node)).finish()
    }
}

/// What makes a [`Synod`].
pub struct Builder(Gate);

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("managers", &self.0.managers.len()).finish_non_exhaustive()
    }
}

/// Two transaction managers that cannot see one transaction through: they belong to different clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a transaction manager is of cluster {found}, and the one before it of {wanted}: name managers of one cluster")]
pub struct OtherCluster {
    /// The first one's.
    pub wanted: ClusterId,
    /// Another one's.
    pub found: ClusterId,
}

impl Builder {
    /// Turns to this transaction manager too, when those before it do not answer.
    pub fn manager(mut self, manager: impl Manager) -> Self {
        self.0.managers.push(Box::new(manager));
        self
    }

    /// How long one transaction manager is waited for before the next one is asked: 3 seconds, unless it is set.
    pub fn attempt(mut self, attempt: Duration) -> Self {
        self.0.attempt = attempt;
        self
    }

    /// How long an outcome is waited for before that is an error: 30 seconds, unless it is set. The transaction goes on after
    /// that.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.0.patience = patience;
        self
    }

    /// The front door. Fails if these are transaction managers of different clusters.
    pub fn build(self) -> Result<Synod, OtherCluster> {
        let cluster = self.0.cluster;
        match self.0.managers.iter().map(|manager| manager.cluster()).find(|found| *found != cluster) {
            Some(found) => Err(OtherCluster { wanted: cluster, found }),
            None => Ok(Synod(Arc::new(Door { gate: self.0, names: Names::default() }))),
        }
    }
}

impl Synod {
    /// The front door to the cluster of this transaction manager.
    pub fn new(manager: impl Manager) -> Self {
        Self(Arc::new(Door { gate: Gate::new(Box::new(manager)), names: Names::default() }))
    }

    /// The same, with several transaction managers and with limits of its own.
    pub fn builder(manager: impl Manager) -> Builder {
        Builder(Gate::new(Box::new(manager)))
    }

    /// A transaction, which is nowhere open yet.
    pub fn transaction(&self) -> Transaction {
        Transaction { door: Arc::clone(&self.0), branches: Vec::new(), name: None }
    }

    /// How the transaction `tx` ended, whose answer was lost. Waits until that is known, as long as the patience lasts.
    pub async fn outcome(&self, tx: TxId) -> Result<Outcome, OutcomeError> {
        self.0.gate.outcome(tx).await.map_err(|source| match source {
            ManagerError::Forgotten => OutcomeError::Forgotten(tx),
            source => OutcomeError::Silent { tx, source },
        })
    }
}

impl Transaction {
    /// The branch in `database`, which begins with the first call.
    ///
    /// Each branch takes a connection of its database's pool until the transaction ends. If transactions open their branches in
    /// different orders, all connections may be held by those that wait for another one: open them in one order, or let pools
    /// be as large as there are transactions at once.
    pub async fn on<D: Database>(&mut self, database: &D) -> Result<&mut D::Branch, OpenError> {
        let at = self.open(database).await?;
        branch::<D>(&mut self.branches[at])
    }

    /// The branches in two databases, which can work at the same time: with `tokio::try_join!`, for instance, a transaction waits for
    /// the slower one, where with two calls of [`on`](Self::on) it waits for both. They begin as by `on`, first the one, then the other.
    ///
    /// ```no_run
    /// # use synod_client::{Branch, Database, OpenError, Transaction};
    /// # async fn work<B: Branch>(branch: &mut B) -> Result<(), OpenError> { Ok(()) }
    /// # async fn example(mut tx: Transaction, accounts: impl Database, orders: impl Database) -> Result<(), OpenError> {
    /// let (left, right) = tx.on_both(&accounts, &orders).await?;
    /// tokio::try_join!(work(left), work(right))?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn on_both<A: Database, B: Database>(
        &mut self,
        first: &A,
        second: &B,
    ) -> Result<(&mut A::Branch, &mut B::Branch), OpenError> {
        let both = [self.open(first).await?, self.open(second).await?];
        // Each has a place of its own, unless they are one.
        let twice = |_| OpenError::Twice(first.participant());
        let [first, second] = self.branches.get_disjoint_mut(both).map_err(twice)?;
        Ok((branch::<A>(first)?, branch::<B>(second)?))
    }

    /// Begins the branch in `database`, if it has not begun, and says where it is.
    async fn open<D: Database>(&mut self, database: &D) -> Result<usize, OpenError> {
        let participant = database.participant();
        if let Some(at) = self.branches.iter().position(|(node, _)| *node == participant) {
            return Ok(at);
        }
        let name = match D::IS_NAMED {
            true => Some(Name { cluster: self.door.gate.cluster, tx: self.name().await?.tx }),
            false => None,
        };
        let opened = database.open(name).await;
        let branch = opened.map_err(|source| OpenError::Database { participant, source })?;
        self.branches.push((participant, Box::new(branch)));
        Ok(self.branches.len() - 1)
    }

    /// Rolls everything back, and waits until that is done.
    pub async fn roll_back(mut self) {
        let branches = std::mem::take(&mut self.branches);
        roll_back(branches, &self.door, self.name.take()).await;
    }

    /// Commits what the branches have done, everywhere or nowhere.
    ///
    /// [`Outcome::Aborted`] says that nothing has changed; it may be done again. (A transaction that was named before the members
    /// of the cluster changed, and begun after that, ends like this, too: the next one has a new name.) After
    /// [`Outcome::Committed`] all of it can be read in every database. If a database was lost meanwhile, its agent carries it out as
    /// soon as it is back. Of an error, [`CommitError::may_have_committed`] says the same.
    ///
    /// Dropped before it is done, it may have committed. Nobody is left hanging.
    pub async fn commit(mut self) -> Result<Outcome, CommitError> {
        if !self.is_plain() {
            self.commit_readers().await?;
        }
        match self.branches.len() {
            0 => Ok(Outcome::Committed),
            _ if self.is_plain() => self.commit_alone().await,
            _ => self.commit_together().await,
        }
    }

    /// Whether there is one branch, which can commit by itself.
    fn is_plain(&self) -> bool {
        matches!(&self.branches[..], [(_, branch)] if branch.commits_alone())
    }

    /// Commits the branches that have written nothing.
    async fn commit_readers(&mut self) -> Result<(), CommitError> {
        let asked = self.branches.iter_mut().map(|(node, branch)| {
            let node = *node;
            async move { branch.has_written().await.map_err(|source| (node, source)) }
        });
        let mut written = Vec::new();
        for answer in join_all(asked).await {
            match answer {
                Ok(has_written) => written.push(has_written),
                Err((participant, source)) => {
                    self.end().await;
                    return Err(CommitError::Database { participant, source });
                }
            }
        }
        let mut written = written.into_iter();
        self.branches.retain(|_| written.next().unwrap_or(true));
        Ok(())
    }

    /// Only one database has changed.
    async fn commit_alone(mut self) -> Result<Outcome, CommitError> {
        let Some((participant, mut branch)) = self.branches.pop() else { return Ok(Outcome::Committed) };
        let committed = branch.commit_alone().await;
        self.give_back();
        match committed {
            Ok(()) => Ok(Outcome::Committed),
            Err(Alone::RolledBack(source)) => Err(CommitError::Database { participant, source }),
            Err(Alone::Unknown(source)) => Err(CommitError::Lost { participant, source }),
        }
    }

    async fn commit_together(mut self) -> Result<Outcome, CommitError> {
        let transaction = match self.transaction().await {
            Ok(transaction) => transaction,
            Err(error) => {
                self.end().await;
                return Err(error);
            }
        };
        // From here on nobody may use the name again, and the branches end as the transaction does.
        self.name = None;
        let (door, mut branches) = (Arc::clone(&self.door), std::mem::take(&mut self.branches));
        let prepared = branches.iter_mut().map(|(node, branch)| {
            let (node, cluster, transaction) = (*node, door.gate.cluster, &transaction);
            async move { branch.prepare(cluster, transaction).await.map_err(|source| (node, source)) }
        });
        let failed = join_all(prepared).await.into_iter().filter_map(Result::err);
        // One that is rolled back says more than one whose answer was lost: nobody can commit this any more.
        let failed = failed.min_by_key(|(_, why)| matches!(why, Unprepared::Unknown(_)));
        let tx = transaction.id();
        let outcome = match door.gate.decide(&transaction).await {
            Err(ManagerError::OldEpoch(error)) => {
                // It has not committed, and never will. What else was named in its epoch would end in the same way.
                door.names.leave(transaction.epoch());
                tracing::debug!(%tx, error = &*error as &dyn std::error::Error, "named before the members changed");
                Ok(Outcome::Aborted)
            }
            outcome => outcome,
        };
        if let Ok(outcome) = outcome {
            // What cannot be carried out here is left to the agents.
            let finished =
                branches.iter_mut().map(|(node, branch)| async move { (*node, branch.finish(outcome).await) });
            for (node, result) in join_all(finished).await {
                if let Err(error) = result {
                    tracing::debug!(%tx, %node, ?outcome, error = &*error as &dyn std::error::Error, "left to the agent");
                }
            }
        }
        match (outcome, failed) {
            (Ok(Outcome::Committed), _) => Ok(Outcome::Committed),
            (Ok(Outcome::Aborted), Some((participant, why))) => {
                Err(CommitError::Database { participant, source: why.into_cause() })
            }
            (Ok(Outcome::Aborted), None) => Ok(Outcome::Aborted),
            (Err(_), Some((participant, Unprepared::RolledBack(source)))) => {
                Err(CommitError::Database { participant, source })
            }
            (Err(source), _) => Err(CommitError::Unknown { tx, source }),
        }
    }

    /// The transaction that its branches make.
    async fn transaction(&mut self) -> Result<commit::Transaction, CommitError> {
        let participants = Participants::new(self.branches.iter().map(|(node, _)| *node))?;
        let name = self.name().await.map_err(CommitError::Unnamed)?;
        Ok(commit::Transaction::of(name.tx, participants, &commit::Meta::default()).in_epoch(name.epoch))
    }

    async fn name(&mut self) -> Result<GivenName, ManagerError> {
        match self.name {
            Some(name) => Ok(name),
            None => {
                let door = &self.door;
                let name = door.names.take(|count| door.gate.names(count)).await?;
                self.name = Some(name);
                Ok(name)
            }
        }
    }

    /// Rolls back what was not prepared.
    async fn end(&mut self) {
        roll_back(std::mem::take(&mut self.branches), &self.door, self.name.take()).await;
    }

    fn give_back(&mut self) {
        self.name.take().into_iter().for_each(|name| self.door.names.give_back(name));
    }
}

/// The branch as what it is in a database of the kind `D`.
fn branch<D: Database>((node, branch): &mut (NodeId, Box<dyn AnyBranch>)) -> Result<&mut D::Branch, OpenError> {
    branch.as_any().downcast_mut().ok_or(OpenError::OtherKind(*node))
}

async fn roll_back(mut branches: Vec<(NodeId, Box<dyn AnyBranch>)>, door: &Door, name: Option<GivenName>) {
    join_all(branches.iter_mut().map(|(_, branch)| branch.roll_back())).await;
    name.into_iter().for_each(|name| door.names.give_back(name));
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let (branches, door, name) = (std::mem::take(&mut self.branches), Arc::clone(&self.door), self.name.take());
        if branches.is_empty() {
            name.into_iter().for_each(|name| door.names.give_back(name));
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { roll_back(branches, &door, name).await });
        }
    }
}
