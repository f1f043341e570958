//! No instance chooses two values, and an outcome is decided only when what was chosen settles it: to commit, when
//! every participant's instance has chosen `Prepared`; to abort, when one has chosen `Aborted`, or its owner has voted
//! so, after which nothing else can be chosen; or what the handover of its epoch says. What a node remembers of an ended transaction is that, too. Gray and Lamport 2006, section 4.1; TLA+: `Decide`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Acceptors, Begun, Observation, Property, Violation, begun, instances_of, outcome_of, require};
use crate::{
    Ballot, InstanceId, Members, NodeId, Phase, TxId,
    commit::{Cluster, Outcome, Record, Vote},
};

pub(super) struct DecidedIsChosen {
    acceptors: Acceptors,
    /// The epoch of each transaction, as acceptors and resource managers write it.
    epochs: BTreeMap<TxId, u64>,
    /// What a handover has committed.
    committed: BTreeSet<TxId>,
    participants: BTreeMap<TxId, Vec<NodeId>>,
    /// Who has accepted what, durably, in which ballot.
    accepted: BTreeMap<(InstanceId, Ballot, Vote), Members>,
    chosen: BTreeMap<InstanceId, Vote>,
    /// Transactions that a participant has voted to abort, durably.
    vetoed: BTreeSet<TxId>,
}

const NAME: &str = "decided is chosen";

impl DecidedIsChosen {
    pub(super) fn new(cluster: &Cluster) -> Self {
        Self {
            acceptors: Acceptors::new(cluster),
            epochs: BTreeMap::new(),
            committed: BTreeSet::new(),
            participants: BTreeMap::new(),
            accepted: BTreeMap::new(),
            chosen: BTreeMap::new(),
            vetoed: BTreeSet::new(),
        }
    }

    fn accepted(&mut self, at: NodeId, instance: InstanceId, ballot: Ballot, value: Vote) -> Result<(), Violation> {
        let members = self.accepted.entry((instance, ballot, value)).or_default();
        let epoch = self.epochs.get(&instance.tx).copied().unwrap_or_default();
        let Some(acceptors) = self.acceptors.of(epoch) else { return Ok(()) };
        *members = acceptors.position(at).map_or(*members, |place| members.with(place));
        if !acceptors.is_quorum(Phase::Accept, *members) {
            return Ok(());
        }
        let known = *self.chosen.entry(instance).or_insert(value);
        require(NAME, known == value, || format!("{instance} has chosen both {known:?} and {value:?}"))
    }

    fn is_settled(&self, tx: TxId, outcome: Outcome) -> bool {
        let participants = self.participants.get(&tx).into_iter().flatten();
        let chosen = participants.map(|rm| self.chosen.get(&InstanceId { tx, rm: *rm }).copied());
        let is_over = self.acceptors.is_over(self.epochs.get(&tx).copied().unwrap_or_default());
        let by_handover = match outcome {
            Outcome::Committed => self.committed.contains(&tx),
            Outcome::Aborted => true,
        };
        Outcome::of(chosen) == Some(outcome)
            || (outcome == Outcome::Aborted && self.vetoed.contains(&tx))
            || (is_over && by_handover)
    }
}

impl Property for DecidedIsChosen {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        if let Some(Begun { tx, participants, .. }) = begun(observation) {
            self.participants.insert(tx, participants.to_vec());
        }
        if let Observation::Durable { record, .. } = observation {
            self.acceptors.note(record);
        }
        match observation {
            Observation::Durable { record: Record::Epoch { committed, .. }, .. } => {
                self.committed.extend(committed.iter().map(|transaction| transaction.tx));
                Ok(())
            }
            Observation::Durable { record: Record::ResourceManager(record), .. } => {
                self.epochs.insert(record.transaction.id(), record.transaction.epoch());
                if record.vote == Some(Vote::Aborted) {
                    self.vetoed.insert(record.transaction.id());
                }
                Ok(())
            }
            Observation::Durable { at, record: Record::Acceptor(record) } => {
                self.epochs.insert(record.transaction.id(), record.transaction.epoch());
                instances_of(record)
                    .filter_map(|(instance, state)| Some((instance, state.accepted?)))
                    .try_for_each(|(instance, (ballot, value))| self.accepted(*at, instance, ballot, value))
            }
            Observation::Decided { at, decision } => {
                let Some((tx, outcome)) = outcome_of(decision) else { return Ok(()) };
                require(NAME, self.is_settled(tx, outcome), || {
                    let chosen: Vec<_> = self.chosen.iter().filter(|(instance, _)| instance.tx == tx).collect();
                    format!("{at} decides {decision:?}, with only {chosen:?} chosen")
                })
            }
            Observation::Remembered { at, tx, outcome } => require(NAME, self.is_settled(*tx, *outcome), || {
                format!("{at} remembers that {tx} ended as {outcome:?}, and that was not chosen")
            }),
            _ => Ok(()),
        }
    }
}
