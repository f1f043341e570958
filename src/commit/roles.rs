//! The roles of one transaction, each as a machine of its own: for an event loop per transaction, and for checks of a
//! single role.
//!
//! A [`Node`](super::Node) drives the same roles, for many transactions at once. A role does not know the time: its
//! driver sends it a time-out when it has waited long enough for what `wait` returns, and restarts the wait when that
//! changes. A role counts nothing either: its driver sees all inputs and effects.
//!
//! ```
//! use std::collections::VecDeque;
//! use synod::{Effect, Machine, NodeId, Quorums, TxId, commit::*};
//! use synod::commit::roles::*;
//!
//! let me = NodeId(1);
//! let cluster = Cluster::new(ClusterId(*b"a cluster of one"), Quorums::majority([me])?, [me])?;
//! let transaction = Transaction::new(TxId { origin: me, seq: 1 }, [me], *b"add 1")?;
//! let mut acceptor = Acceptor::new(cluster.clone(), transaction.clone());
//! let mut resource = ResourceManager::new(cluster.clone(), me, transaction.clone())?;
//! let mut manager = TransactionManager::new(cluster, me, transaction);
//!
//! let mut effects = VecDeque::from(manager.step(TransactionManagerInput::Begin(Meta::from(b"add 1"))));
//! assert_eq!(manager.wait(), Some(Wait::Recover(0)));
//! while let Some(effect) = effects.pop_front() {
//!     match effect {
//!         Effect::Persist(_) => {} // write it before the next effect is carried out
//!         Effect::Send { message, .. } => {
//!             // All three are at hand, and a role refuses what is for another.
//!             let (from, for_others) = (me, message.clone());
//!             effects.extend(acceptor.step(AcceptorInput::Receive { from, message: message.clone() }));
//!             effects.extend(resource.step(ResourceManagerInput::Receive { from, message }));
//!             effects.extend(manager.step(TransactionManagerInput::Receive { from, message: for_others }));
//!         }
//!         Effect::Decide(Decision::Vote { .. }) => {
//!             effects.extend(resource.step(ResourceManagerInput::Vote(Vote::Prepared)));
//!         }
//!         Effect::Decide(Decision::Commit { .. }) => effects.extend(resource.step(ResourceManagerInput::Finished)),
//!         Effect::Decide(_) => {}
//!     }
//! }
//! assert_eq!(resource.state(), ResourceManagerState::Committed);
//! assert!(manager.is_completed());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::collections::BTreeSet;

pub use super::wait::Wait;
use super::{
    AcceptorRecord, Cluster, Decision, Learning, Message, Meta, Metrics, Outcome, Record, ResourceKind,
    ResourceManagerRecord, Sink, Time, Transaction, Vote, What, acceptor, context::Context, peers::Peers,
    resource_manager, transaction_manager,
};
use crate::{Fence, InstanceId, Machine, NodeId, Refusal, RestoreError, Scope, effect::EffectSink};

/// An acceptor's part in one transaction.
///
/// See the [module](self) for an example.
#[derive(Clone, Debug)]
pub struct Acceptor {
    alone: Alone,
    role: acceptor::Acceptor,
}

/// A resource manager's part in one transaction.
///
/// See the [module](self) for an example.
#[derive(Clone, Debug)]
pub struct ResourceManager {
    alone: Alone,
    role: resource_manager::ResourceManager,
}

/// A transaction manager's part in one transaction. All of its state is volatile.
///
/// See the [module](self) for an example.
#[derive(Clone, Debug)]
pub struct TransactionManager {
    alone: Alone,
    role: transaction_manager::TransactionManager,
}

/// A role that is driven alone knows of one epoch.
static NOBODY: BTreeSet<NodeId> = BTreeSet::new();

/// What a node would lend to its roles.
#[derive(Clone, Debug)]
struct Alone {
    cluster: Cluster,
    id: NodeId,
    resource: ResourceKind,
    transaction: Transaction,
    scope: Scope,
    fence: Option<Fence>,
    /// It has met nobody, and suspects nobody.
    peers: Peers,
}

/// An input of an acceptor of one transaction.
///
/// See the [module](self) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum AcceptorInput {
    /// A message has arrived.
    Receive {
        /// The node that sent it.
        from: NodeId,
        /// The message.
        message: Message,
    },
    /// The role has waited long enough for what [`Acceptor::wait`] returns.
    Timeout,
}

/// An input of a resource manager.
///
/// See the [module](self) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ResourceManagerInput {
    /// From the caller: begin the transaction here, which is about these bytes.
    Begin(Meta),
    /// From the resource: its vote.
    Vote(Vote),
    /// From the resource: it has durably carried out the outcome.
    Finished,
    /// From the caller: bring the transaction to its outcome now.
    Inquire,
    /// A message has arrived.
    Receive {
        /// The node that sent it.
        from: NodeId,
        /// The message.
        message: Message,
    },
    /// The role has waited long enough for what [`ResourceManager::wait`] returns.
    Timeout,
    /// From a resource whose votes are [durable elsewhere](ResourceKind): it finds the transaction, which is about these
    /// bytes, prepared in itself.
    Prepared(Meta),
}

/// An input of a transaction manager.
///
/// See the [module](self) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum TransactionManagerInput {
    /// From a client: commit this transaction, which is about these bytes.
    Begin(Meta),
    /// From the caller: bring the transaction to its outcome now.
    Inquire,
    /// From the driver: the round that [`TransactionManager::wants_round`] asked for.
    Recover {
        /// A round that this node has not used for this transaction, and will never use again.
        round: u64,
    },
    /// A message has arrived.
    Receive {
        /// The node that sent it.
        from: NodeId,
        /// The message.
        message: Message,
    },
    /// The role has waited long enough for what [`TransactionManager::wait`] returns.
    Timeout,
}

/// The state of a resource manager. *TLA+*: `rmState[rm]`.
///
/// See the [module of roles](crate::commit::roles) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ResourceManagerState {
    /// It has not voted.
    Working,
    /// It has voted to commit, and does not know the outcome: it is *in doubt*.
    Prepared,
    /// Its outcome is to commit.
    Committed,
    /// Its outcome is to abort.
    Aborted,
}

impl Alone {
    fn new(cluster: Cluster, id: NodeId, transaction: Transaction) -> Self {
        let peers = Peers::new(&cluster);
        let resource = ResourceKind::default();
        Self { cluster, id, resource, transaction, scope: Scope::NOTHING, fence: None, peers }
    }

    /// What `message` says about this transaction.
    fn about<'a>(&self, message: &'a Message) -> Result<&'a What, Refusal> {
        match message {
            Message::About { transaction, what } if *transaction == self.transaction => Ok(what),
            Message::About { .. } => Err(Refusal::OtherTransaction),
            Message::Retired { .. } | Message::RetiredNoted { .. } | Message::Epoch { .. } => {
                Err(Refusal::NotForThisRole)
            }
        }
    }

    /// The role counts in `metrics`, which nobody reads.
    fn context<'a>(&'a mut self, metrics: &'a mut Metrics, effects: &'a mut Sink<'_>) -> Result<Context<'a>, Refusal> {
        if self.fence.is_some() {
            return Err(Refusal::Broken);
        }
        Ok(Context {
            cluster: &self.cluster,
            former: &NOBODY,
            id: self.id,
            resource: self.resource,
            transaction: &self.transaction,
            scope: &mut self.scope,
            // The driver reserves the rounds, in records that this role does not know: wait for all of them.
            rounds: Scope::EVERYTHING,
            fence: &mut self.fence,
            local: None,
            peers: &mut self.peers,
            now: Time(0),
            metrics,
            effects,
        })
    }
}

impl Acceptor {
    /// An acceptor that has never heard of `transaction`.
    pub fn new(cluster: Cluster, transaction: Transaction) -> Self {
        let role = acceptor::Acceptor::new(cluster.manager_of(transaction.id()));
        Self { alone: Alone::new(cluster, NodeId::default(), transaction), role }
    }

    /// Rebuilds the acceptor that wrote `record`. Fails if no acceptor can have written it.
    pub fn restore(cluster: Cluster, record: AcceptorRecord) -> Result<Self, RestoreError> {
        let role = acceptor::Acceptor::restore(&cluster, &record)?;
        Ok(Self { alone: Alone::new(cluster, NodeId::default(), record.transaction), role })
    }

    /// The transaction.
    pub fn transaction(&self) -> &Transaction {
        &self.alone.transaction
    }

    /// Everything that must survive a crash.
    pub fn record(&self) -> AcceptorRecord {
        self.role.record(&self.alone.transaction)
    }

    /// Whether there is anything that must survive a crash.
    pub fn has_record(&self) -> bool {
        self.role.has_record()
    }

    /// What it waits for.
    pub fn wait(&self) -> Wait {
        self.role.wait()
    }
}

impl ResourceManager {
    /// The resource manager of node `id`, which has never heard of `transaction`. Fails if `id` is not a participant.
    pub fn new(cluster: Cluster, id: NodeId, transaction: Transaction) -> Result<Self, Refusal> {
        if !transaction.has(id) {
            return Err(Refusal::NotAParticipant);
        }
        let role = resource_manager::ResourceManager::new(cluster.manager_of(transaction.id()));
        Ok(Self { alone: Alone::new(cluster, id, transaction), role })
    }

    /// Rebuilds the resource manager of node `id` that wrote `record`. Fails if none can have written it.
    pub fn restore(cluster: Cluster, id: NodeId, record: ResourceManagerRecord) -> Result<Self, RestoreError> {
        let transaction = record.transaction.clone();
        let role = resource_manager::ResourceManager::restore(&cluster, id, record)?;
        Ok(Self { alone: Alone::new(cluster, id, transaction), role })
    }

    /// The same, but for a resource of this kind.
    #[must_use]
    pub fn with_resource(mut self, resource: ResourceKind) -> Self {
        self.alone.resource = resource;
        self
    }

    /// The transaction.
    pub fn transaction(&self) -> &Transaction {
        &self.alone.transaction
    }

    /// The consensus instance that chooses its vote.
    pub fn instance(&self) -> InstanceId {
        InstanceId { tx: self.alone.transaction.id(), rm: self.alone.id }
    }

    /// Everything that must survive a crash.
    pub fn record(&self) -> ResourceManagerRecord {
        self.role.record(&self.alone.transaction)
    }

    /// Whether there is anything that must survive a crash.
    pub fn has_record(&self) -> bool {
        self.role.has_record()
    }

    /// Its state, in the specification's terms.
    pub fn state(&self) -> ResourceManagerState {
        self.role.state()
    }

    /// The outcome, once it is known here.
    pub fn outcome(&self) -> Option<Outcome> {
        self.role.outcome()
    }

    /// Whether the outcome is carried out.
    pub fn is_finished(&self) -> bool {
        self.role.is_finished()
    }

    /// Whether it is prepared and knows no outcome.
    pub fn is_in_doubt(&self) -> bool {
        self.role.is_in_doubt()
    }

    /// What it waits for.
    pub fn wait(&self) -> Wait {
        self.role.wait()
    }
}

impl TransactionManager {
    /// The transaction manager of node `id`, which has never heard of `transaction`.
    pub fn new(cluster: Cluster, id: NodeId, transaction: Transaction) -> Self {
        let role = transaction_manager::TransactionManager::new(&transaction);
        Self { alone: Alone::new(cluster, id, transaction), role }
    }

    /// The transaction.
    pub fn transaction(&self) -> &Transaction {
        &self.alone.transaction
    }

    /// The outcome, once it is known here.
    pub fn outcome(&self) -> Option<Outcome> {
        self.role.outcome()
    }

    /// Whether all resource managers have carried out the outcome.
    pub fn is_completed(&self) -> bool {
        self.role.is_completed()
    }

    /// If it needs a round, to try a ballot of its own: the number that the round must be above.
    pub fn wants_round(&self) -> Option<u64> {
        self.role.wants_round()
    }

    /// What it waits for.
    pub fn wait(&self) -> Option<Wait> {
        self.role.wait()
    }
}

impl Machine for Acceptor {
    type Input = AcceptorInput;
    type Record = Record;
    type Message = Message;
    type Decision = Decision;

    fn step_into(
        &mut self,
        input: AcceptorInput,
        effects: &mut impl EffectSink<Record, Message, Decision>,
    ) -> Result<(), Refusal> {
        let metrics = &mut Metrics::default();
        match input {
            AcceptorInput::Receive { from, message } => {
                let what = self.alone.about(&message)?;
                let (role, cx) = (&mut self.role, &mut self.alone.context(metrics, effects)?);
                match what {
                    What::Vote { vote, manager } => role.vote(cx, from, *vote, *manager),
                    What::Phase1a { ballot, instances } => role.phase1a(cx, from, *ballot, instances),
                    What::Phase2a { ballot, votes } => role.phase2a(cx, from, *ballot, votes),
                    _ => Err(Refusal::NotForThisRole),
                }
            }
            AcceptorInput::Timeout => {
                self.role.timeout(&mut self.alone.context(metrics, effects)?);
                Ok(())
            }
        }
    }
}

impl Machine for ResourceManager {
    type Input = ResourceManagerInput;
    type Record = Record;
    type Message = Message;
    type Decision = Decision;

    fn step_into(
        &mut self,
        input: ResourceManagerInput,
        effects: &mut impl EffectSink<Record, Message, Decision>,
    ) -> Result<(), Refusal> {
        let metrics = &mut Metrics::default();
        let Self { alone, role } = self;
        match input {
            ResourceManagerInput::Begin(meta) if !alone.transaction.is_about(&meta) => Err(Refusal::OtherContent),
            ResourceManagerInput::Begin(meta) => {
                role.begin(&mut alone.context(metrics, effects)?, &meta);
                Ok(())
            }
            ResourceManagerInput::Vote(vote) => role.hear_vote(&mut alone.context(metrics, effects)?, vote),
            ResourceManagerInput::Finished => role.finish(&mut alone.context(metrics, effects)?),
            ResourceManagerInput::Inquire => {
                role.inquire(&mut alone.context(metrics, effects)?);
                Ok(())
            }
            ResourceManagerInput::Receive { from, message } => {
                let what = alone.about(&message)?;
                let learns = alone.cluster.learning() == Learning::Everyone;
                let cx = &mut alone.context(metrics, effects)?;
                match what {
                    What::Prepare { meta, acceptors } => role.prepare(cx, from, meta, acceptors),
                    What::Outcome(outcome) => role.hear_outcome(cx, from, *outcome),
                    What::Phase2b { votes, higher } if learns => role.phase2b(cx, from, votes, higher),
                    _ => Err(Refusal::NotForThisRole),
                }
            }
            ResourceManagerInput::Timeout => {
                role.timeout(&mut alone.context(metrics, effects)?);
                Ok(())
            }
            ResourceManagerInput::Prepared(meta) => role.found(&mut alone.context(metrics, effects)?, &meta),
        }
    }
}

impl Machine for TransactionManager {
    type Input = TransactionManagerInput;
    type Record = Record;
    type Message = Message;
    type Decision = Decision;

    fn step_into(
        &mut self,
        input: TransactionManagerInput,
        effects: &mut impl EffectSink<Record, Message, Decision>,
    ) -> Result<(), Refusal> {
        let metrics = &mut Metrics::default();
        let Self { alone, role } = self;
        match input {
            TransactionManagerInput::Begin(meta) if !alone.transaction.is_about(&meta) => Err(Refusal::OtherContent),
            TransactionManagerInput::Begin(meta) => {
                role.begin(&mut alone.context(metrics, effects)?, &meta);
                Ok(())
            }
            TransactionManagerInput::Inquire => {
                role.inquire(&mut alone.context(metrics, effects)?);
                Ok(())
            }
            TransactionManagerInput::Recover { round } => role.recover(&mut alone.context(metrics, effects)?, round),
            TransactionManagerInput::Receive { from, message } => {
                let what = alone.about(&message)?;
                let cx = &mut alone.context(metrics, effects)?;
                match what {
                    What::Begin { meta } => role.hear_begin(cx, from, meta),
                    What::Inquire => role.hear_inquiry(cx, from),
                    What::Decline => role.hear_decline(cx, from),
                    What::Outcome(outcome) => role.hear_outcome(cx, from, *outcome),
                    What::Finished(outcome) => role.finished(cx, from, *outcome),
                    What::Phase1b { ballot, promises } => role.phase1b(cx, from, *ballot, promises),
                    What::Phase2b { votes, higher } => role.phase2b(cx, from, votes, higher),
                    What::Reject { ballot, promised } => role.reject(cx, from, *ballot, promised),
                    _ => Err(Refusal::NotForThisRole),
                }
            }
            TransactionManagerInput::Timeout => {
                role.timeout(&mut alone.context(metrics, effects)?);
                Ok(())
            }
        }
    }
}
