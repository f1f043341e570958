//! What the open transactions of a node share, and the roles that it plays in them, each with its time-out.

use alloc::{
    boxed::Box,
    collections::{BTreeSet, VecDeque},
    vec::Vec,
};

use super::{
    Config, EpochMessage, Fingerprints, Message, Metrics, Outcome, Sink, Targets, Time, Transaction, Wait, What,
    block::BlockAllocator,
    clock::{Clock, NEVER},
    open::Open,
    peers::Peers,
    resource_manager::ResourceManager,
    transaction_manager::TransactionManager,
    turns::Turns,
    wait::mix,
};
use crate::{Ballot, NodeId, Scope, TxId};

/// How many unused roles are kept, so that their memory is reused.
const SPARES: usize = 1024;

/// A role, and its one time-out.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Playing<R> {
    pub(crate) role: R,
    pub(super) wait: Option<Wait>,
    /// When the wait ends, on the node's own clock.
    pub(super) due: Time,
}

/// What the open transactions of a node share.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Shared {
    /// Its cluster is that of the present epoch; a newcomer's has the members that it asks for news.
    pub(crate) config: Config,
    /// Durable: the number of the present epoch. A newcomer has none.
    pub(crate) epoch: Option<u64>,
    /// Durable: every id that was a member of an epoch before.
    pub(crate) former: BTreeSet<NodeId>,
    /// Durable: transactions of epochs before that are committed, in order. Some may have been retired here since.
    pub(crate) committed: Fingerprints,
    /// The ballot that the acceptor here has promised in the handover of the epoch. Then it is frozen.
    pub(crate) frozen: Option<Ballot>,
    /// Who asked this node to begin nothing new, and how much that it has begun was undecided then and still is.
    pub(crate) draining: Option<(NodeId, u64)>,
    /// What everything rests on that this node says: whom it has met, and which epoch it is in.
    pub(crate) ground: Scope,
    /// Whether this node is an acceptor, and whether it is a transaction manager.
    pub(super) is_acceptor: bool,
    pub(crate) is_manager: bool,
    /// Only `reserved` is durable.
    pub(crate) rounds: BlockAllocator,
    pub(crate) clock: Clock,
    pub(crate) peers: Peers,
    pub(crate) turns: Turns,
    pub(crate) metrics: Metrics,
    /// Messages between the roles of this node. Empty between steps.
    pub(crate) local: VecDeque<What>,
    /// The transaction that the current step is about.
    pub(crate) tx: TxId,
    /// The hash of its name. It may differ between platforms, so only the order of the table may depend on it.
    pub(crate) hash: u64,
    /// Whether a time-out of that transaction has changed.
    pub(crate) moved: bool,
    #[cfg_attr(feature = "record", serde(skip))]
    pub(super) spare_rms: Vec<Spare<ResourceManager>>,
    #[cfg_attr(feature = "record", serde(skip))]
    pub(super) spare_tms: Vec<Spare<TransactionManager>>,
}

/// An unused role, kept for its memory.
pub(super) type Spare<R> = Box<Playing<R>>;

impl Shared {
    /// Of a node in epoch 0, or of a role that is driven alone.
    pub(crate) fn new(config: Config) -> Self {
        let (cluster, id) = (&config.cluster, config.id);
        Self {
            epoch: Some(0),
            former: BTreeSet::new(),
            committed: Fingerprints::default(),
            frozen: None,
            draining: None,
            ground: Scope::NOTHING,
            is_acceptor: cluster.acceptors().contains(id),
            is_manager: cluster.is_manager(id),
            peers: Peers::new(cluster),
            turns: Turns::default(),
            config,
            rounds: BlockAllocator::UNUSED,
            clock: Clock::default(),
            metrics: Metrics::default(),
            local: VecDeque::new(),
            tx: TxId::default(),
            hash: 0,
            moved: false,
            spare_rms: Vec::new(),
            spare_tms: Vec::new(),
        }
    }

    /// Of a node that is in no epoch yet.
    pub(crate) fn of_newcomer(config: Config) -> Self {
        Self { epoch: None, is_acceptor: false, is_manager: false, ..Self::new(config) }
    }

    /// How `transaction` ended, of an epoch that is over here, if it is not retired. `None` if another one of its name has
    /// committed: a name that is used twice ends nothing but the one that has it.
    pub(crate) fn oracle(&self, transaction: &Transaction) -> Option<Outcome> {
        if self.committed.contains(transaction.fingerprint()) {
            return Some(Outcome::Committed);
        }
        (!self.committed.has_name(transaction.id())).then_some(Outcome::Aborted)
    }

    /// One transaction more is decided here.
    #[inline]
    pub(crate) fn count_decided(&mut self) {
        if let Some((_, undecided)) = &mut self.draining {
            *undecided = undecided.saturating_sub(1);
        }
    }

    /// Says something about this node's epoch.
    #[cold]
    pub(crate) fn say(&mut self, effects: &mut Sink<'_>, to: NodeId, what: EpochMessage) {
        self.say_of(effects, to, self.epoch, what);
    }

    /// Says something about another node's epoch.
    #[cold]
    pub(crate) fn say_of(&mut self, effects: &mut Sink<'_>, to: NodeId, number: Option<u64>, what: EpochMessage) {
        self.say_after(effects, to, number, what, self.ground);
    }

    /// The same, once more than that is durable.
    #[cold]
    pub(crate) fn say_after(
        &mut self,
        effects: &mut Sink<'_>,
        to: NodeId,
        number: Option<u64>,
        what: EpochMessage,
        after: Scope,
    ) {
        self.metrics.count_send();
        effects.send(to, Message::Epoch { number, what: Box::new(what) }, after);
    }

    /// Tells `from` that this node knows another transaction by the name of `transaction`, if `from` asks something of this
    /// node: who drives a transaction asks acceptors, and who takes part asks transaction managers.
    #[cold]
    pub(crate) fn tell_of_other(
        &mut self,
        effects: &mut Sink<'_>,
        from: NodeId,
        transaction: &Transaction,
        what: &What,
        after: Scope,
    ) {
        let asks = match what {
            What::Phase1a { .. } | What::Phase2a { .. } => self.is_acceptor && self.config.cluster.is_manager(from),
            What::Begin { .. } | What::Inquire | What::Decline => self.is_manager && transaction.has(from),
            _ => false,
        };
        if asks {
            self.metrics.count_send();
            effects.send(from, Message::about(transaction, What::OtherTransaction), after);
        }
    }

    /// When a wait that starts now will end.
    pub(super) fn due(&self, wait: Wait) -> Time {
        let words = [self.tx.origin.0, self.tx.seq, wait.salt()];
        let jitter = words.into_iter().fold(self.config.seed, |state, word| mix(state ^ word));
        let duration = wait.duration(self.config.cluster.timeouts(), jitter);
        Time(self.clock.now().0.saturating_add(duration))
    }

    pub(super) fn new_rm(&mut self) -> Box<Playing<ResourceManager>> {
        let manager = self.peers.manager_of(&self.config.cluster, self.tx, self.clock.now());
        match self.spare_rms.pop() {
            Some(mut spare) => {
                (spare.wait, spare.due) = (None, NEVER);
                spare.role.reset(manager);
                spare
            }
            None => Box::new(ResourceManager::new(manager).into()),
        }
    }

    /// Notes that `node`, from which something was expected, has let a whole wait pass.
    pub(super) fn miss(&mut self, node: NodeId, wait: Wait, due: Time) {
        let now = self.clock.now();
        let duration = self.due(wait).0.saturating_sub(now.0);
        let until = now.0.saturating_add(self.config.cluster.timeouts().ceiling);
        self.peers.miss(node, Time(due.0.saturating_sub(duration)), Time(until));
    }

    /// Notes which acceptors have let a transaction manager wait: first of those that votes go to, then of all, since a
    /// ballot goes to all.
    pub(super) fn miss_acceptors(&mut self, wait: Wait, due: Time) {
        let Config { cluster, id, .. } = self.config.clone();
        if cluster.targets() == Targets::Quorum {
            let acceptors = cluster.acceptors();
            let asked = if wait.repetition() == 0 {
                acceptors.first_accept_quorum(Some(id))
            } else {
                acceptors.members(acceptors.nodes())
            };
            acceptors.nodes_of(asked).filter(|node| *node != id).for_each(|node| self.miss(node, wait, due));
        }
    }

    pub(super) fn new_tm(&mut self, transaction: &Transaction) -> Box<Playing<TransactionManager>> {
        match self.spare_tms.pop() {
            Some(mut spare) => {
                (spare.wait, spare.due) = (None, NEVER);
                spare.role.reset(transaction);
                spare
            }
            None => Box::new(TransactionManager::new(transaction).into()),
        }
    }

    /// Keeps the roles of a dropped transaction for reuse.
    pub(crate) fn recycle(&mut self, open: Open) {
        keep(&mut self.spare_rms, open.rm);
        keep(&mut self.spare_tms, open.tm);
    }
}

/// Keeps `role` for its memory, unless enough are kept.
pub(super) fn keep<R>(spares: &mut Vec<Spare<R>>, role: Option<Spare<R>>) {
    if let Some(role) = role
        && spares.len() < SPARES
    {
        spares.push(role);
    }
}

impl<R> Playing<R> {
    /// Restarts the time-out if the role now waits for something else.
    #[inline]
    pub(super) fn keep(&mut self, wait: Option<Wait>, shared: &mut Shared) {
        if wait != self.wait {
            self.wait = wait;
            self.due = wait.map_or(NEVER, |wait| shared.due(wait));
            shared.moved = true;
        }
    }

    /// Whether the time-out has ended by `now`. If so, clears it, so that the next wait starts afresh.
    pub(super) fn ends(&mut self, now: Time) -> bool {
        let ends = self.due <= now;
        if ends {
            (self.wait, self.due) = (None, NEVER);
        }
        ends
    }
}

impl<R> From<R> for Playing<R> {
    fn from(role: R) -> Self {
        Self { role, wait: None, due: NEVER }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{boxed::Box, vec::Vec};

    use super::{SPARES, keep};

    #[test]
    fn no_more_roles_are_kept_for_their_memory_than_are_worth_it() {
        let mut spares = Vec::new();
        keep::<u8>(&mut spares, None);
        assert_eq!(spares.len(), 0);
        for kept in 1..SPARES + 3 {
            keep(&mut spares, Some(Box::new(7_u8.into())));
            assert_eq!(spares.len(), kept.min(SPARES));
        }
    }
}
