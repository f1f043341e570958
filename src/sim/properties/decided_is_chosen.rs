//! No instance chooses two values, and an outcome is decided only when what was chosen settles it: to commit, when
//! every participant's instance has chosen `Prepared`; to abort, when one has chosen `Aborted`, or its owner has voted
//! so, after which nothing else can be chosen. What a node remembers of an ended transaction is that, too. Gray and Lamport 2006, section 4.1; TLA+: `Decide`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Begun, Observation, Property, Violation, begun, instances_of, outcome_of, require};
use crate::{
    Ballot, InstanceId, Members, NodeId, Phase, Quorums, TxId,
    commit::{Outcome, Record, Vote},
};

pub(super) struct DecidedIsChosen {
    acceptors: Quorums,
    participants: BTreeMap<TxId, Vec<NodeId>>,
    /// Who has accepted what, durably, in which ballot.
    accepted: BTreeMap<(InstanceId, Ballot, Vote), Members>,
    chosen: BTreeMap<InstanceId, Vote>,
    /// Transactions that a participant has voted to abort, durably.
    vetoed: BTreeSet<TxId>,
}

const NAME: &str = "decided is chosen";

impl DecidedIsChosen {
    pub(super) fn new(acceptors: Quorums) -> Self {
        Self {
            acceptors,
            participants: BTreeMap::new(),
            accepted: BTreeMap::new(),
            chosen: BTreeMap::new(),
            vetoed: BTreeSet::new(),
        }
    }

    fn accepted(&mut self, at: NodeId, instance: InstanceId, ballot: Ballot, value: Vote) -> Result<(), Violation> {
        let members = self.accepted.entry((instance, ballot, value)).or_default();
        *members = self.acceptors.position(at).map_or(*members, |place| members.with(place));
        if !self.acceptors.is_quorum(Phase::Accept, *members) {
            return Ok(());
        }
        let known = *self.chosen.entry(instance).or_insert(value);
        require(NAME, known == value, || format!("{instance} has chosen both {known:?} and {value:?}"))
    }

    fn is_settled(&self, tx: TxId, outcome: Outcome) -> bool {
        let participants = self.participants.get(&tx).into_iter().flatten();
        let chosen = participants.map(|rm| self.chosen.get(&InstanceId { tx, rm: *rm }).copied());
        Outcome::of(chosen) == Some(outcome) || (outcome == Outcome::Aborted && self.vetoed.contains(&tx))
    }
}

impl Property for DecidedIsChosen {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        if let Some(Begun { tx, participants, .. }) = begun(observation) {
            self.participants.insert(tx, participants.to_vec());
        }
        match observation {
            Observation::Durable { record: Record::ResourceManager(record), .. } => {
                if record.vote == Some(Vote::Aborted) {
                    self.vetoed.insert(record.transaction.id());
                }
                Ok(())
            }
            Observation::Durable { at, record: Record::Acceptor(record) } => instances_of(record)
                .filter_map(|(instance, state)| Some((instance, state.accepted?)))
                .try_for_each(|(instance, (ballot, value))| self.accepted(*at, instance, ballot, value)),
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
