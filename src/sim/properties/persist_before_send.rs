//! Nothing is said that a crash could make untrue: when a message leaves, what it rests on is durable. *Paxos Made
//! Simple*, section 2.5: an acceptor records its intended response in stable storage before sending it; Gray and
//! Lamport 2006, section 4.

use std::collections::BTreeMap;

use super::{Observation, Property, Violation, instances_of, name_in, paxos_of, require};
use crate::{
    InstanceId, NodeId, TxId,
    commit::{Decision, Ending, EpochMessage, Key, Message, Outcome, OutcomeBlock, Record, TxRange, Vote, What},
    paxos,
};

#[derive(Default)]
pub(super) struct PersistBeforeSend {
    acceptors: BTreeMap<(NodeId, InstanceId), paxos::AcceptorRecord<Vote>>,
    votes: BTreeMap<(NodeId, TxId), Vote>,
    finished: BTreeMap<(NodeId, TxId), Outcome>,
    rounds: BTreeMap<NodeId, u64>,
    numbers: BTreeMap<NodeId, u64>,
    retired: BTreeMap<(NodeId, TxId), TxRange>,
    ended: BTreeMap<(NodeId, TxId), Outcome>,
    epochs: BTreeMap<NodeId, u64>,
    handovers: BTreeMap<NodeId, (u64, paxos::AcceptorRecord<Ending>)>,
}

const NAME: &str = "persist before send";

impl PersistBeforeSend {
    fn durable(&mut self, at: NodeId, record: &Record) {
        match record {
            Record::Acceptor(record) => {
                self.acceptors.extend(instances_of(record).map(|(instance, state)| ((at, instance), state)));
            }
            Record::ResourceManager(record) | Record::Resolved { record, .. } => {
                let key = (at, record.transaction.id());
                self.votes.extend(record.vote.map(|vote| (key, vote)));
                self.finished.extend(record.finished.map(|outcome| (key, outcome)));
            }
            Record::Rounds { reserved } => {
                self.rounds.insert(at, *reserved);
            }
            Record::Retired(range) => {
                self.retired.insert((at, range.first()), *range);
            }
            Record::Erased(Key::Retired(first)) => {
                self.retired.remove(&(at, *first));
            }
            Record::History { outcomes, .. } => {
                self.ended.extend(outcomes.iter().map(|(tx, outcome)| ((at, tx), outcome)));
            }
            Record::Sequence { reserved } => {
                self.numbers.insert(at, *reserved);
            }
            Record::Epoch { number, .. } => {
                self.epochs.insert(at, *number);
                self.handovers.remove(&at);
            }
            Record::Handover { epoch, state } => {
                self.handovers.insert(at, (*epoch, (**state).clone()));
            }
            Record::Identity { .. }
            | Record::Birth(_)
            | Record::Peer { .. }
            | Record::Resolutions { .. }
            | Record::Erased(_) => {}
        }
    }

    /// A name of a node's own must never be given again once it was seen.
    fn name(&self, at: NodeId, tx: TxId) -> Result<(), Violation> {
        let reserved = self.numbers.get(&at).is_some_and(|reserved| tx.seq < *reserved);
        require(NAME, reserved || tx.origin != at, || format!("{at} shows the name {tx}, which is not reserved"))
    }

    /// A node says that it is in an epoch.
    fn epoch(&self, at: NodeId, number: u64) -> Result<(), Violation> {
        let holds = self.epochs.get(&at) >= Some(&number);
        require(NAME, holds, || format!("{at} says that it is in epoch {number}, unwritten"))
    }

    /// A node says something of the handover of epoch `number`.
    fn handover(&self, at: NodeId, number: u64, what: &EpochMessage) -> Result<(), Violation> {
        let state = self.handovers.get(&at).filter(|(epoch, _)| *epoch == number).map(|(_, state)| state);
        // It may have gone on to the next epoch while this was waiting to leave.
        let is_over = self.epochs.get(&at) > Some(&number);
        let holds = match what {
            EpochMessage::Prepare { ballot } => self.rounds.get(&at).is_some_and(|reserved| ballot.round < *reserved),
            EpochMessage::Promise { ballot, .. } => {
                is_over || state.is_some_and(|state| state.promised >= Some(*ballot))
            }
            EpochMessage::Frozen { .. } => is_over || state.is_some(),
            EpochMessage::Accepted { ballot } => {
                let accepted = state.and_then(|state| state.accepted.as_ref()).map(|(at, _)| at);
                is_over || accepted >= Some(ballot)
            }
            // A node that is invited to be a member must get to know of the next epoch by those who end this one.
            EpochMessage::Ready | EpochMessage::Newer | EpochMessage::Noted | EpochMessage::Told { .. } => {
                return self.epoch(at, number);
            }
            _ => true,
        };
        require(NAME, holds, || format!("{at} says {what:?} of epoch {number}, with only {state:?} on its disk"))
    }

    fn is_retired(&self, at: NodeId, range: TxRange) -> bool {
        let mut ranges = self.retired.iter().filter(|((node, _), _)| *node == at).map(|(_, known)| known);
        ranges.any(|known| known.contains(range.first()) && known.contains(range.last()))
    }

    /// `message` says that `range` is over, and perhaps how: `written`, or not.
    fn over(&self, at: NodeId, range: TxRange, message: &Message, written: bool) -> Result<(), Violation> {
        require(NAME, written && self.is_retired(at, range), || format!("{at} says {message:?}, unwritten"))
    }

    fn paxos(&self, at: NodeId, instance: InstanceId, message: paxos::Message<Vote>) -> Result<(), Violation> {
        let state = self.acceptors.get(&(at, instance));
        let holds = match message {
            paxos::Message::Prepare { ballot } => self.rounds.get(&at).is_some_and(|reserved| ballot.round < *reserved),
            paxos::Message::Promise { ballot, .. } => state.is_some_and(|state| state.promised >= Some(ballot)),
            paxos::Message::Accepted { ballot, value } => state.is_some_and(|state| {
                // A later acceptance may have replaced it, while this one was waiting to leave.
                state.accepted.is_some_and(|accepted| accepted.0 > ballot || accepted == (ballot, value))
            }),
            paxos::Message::Accept { ballot, value } if ballot.is_initial() => {
                self.votes.get(&(at, instance.tx)) == Some(&value)
            }
            paxos::Message::Accept { .. } | paxos::Message::Reject { .. } => true,
        };
        require(NAME, holds, || format!("{at} says {message:?} of {instance}, with only {state:?} on its disk"))
    }
}

impl Property for PersistBeforeSend {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Durable { at, record } => {
                self.durable(*at, record);
                Ok(())
            }
            Observation::Voted { at, tx } => {
                self.votes.insert((*at, *tx), Vote::Prepared);
                Ok(())
            }
            Observation::Decided { at, decision } => {
                if let Decision::Forget(range) = decision {
                    require(NAME, self.is_retired(*at, *range), || format!("{at} says {decision:?}, unwritten"))?;
                }
                if let Decision::Epoch { number, .. } = decision {
                    self.epoch(*at, *number)?;
                }
                name_in(decision).map_or(Ok(()), |tx| self.name(*at, tx))
            }
            Observation::Sent { at, message, .. } => {
                if let Message::About { transaction, what } = message
                    // Another node has used the name, and is told so.
                    && *what != What::OtherTransaction
                {
                    self.name(*at, transaction.id())?;
                }
                for (instance, message) in paxos_of(*at, message) {
                    self.paxos(*at, instance, message)?;
                }
                match message {
                    Message::About { transaction, what: What::Finished(outcome) } => {
                        let holds = self.finished.get(&(*at, transaction.id())) == Some(outcome);
                        require(NAME, holds, || {
                            format!("{at} says that it finished {} as {outcome:?}, unwritten", transaction.id())
                        })
                    }
                    Message::Retired { range, outcomes } => {
                        let mut told = outcomes.blocks().iter().flat_map(OutcomeBlock::iter);
                        let written = told.all(|(tx, outcome)| self.ended.get(&(*at, tx)) == Some(&outcome));
                        self.over(*at, *range, message, written)
                    }
                    Message::RetiredNoted { range } => self.over(*at, *range, message, true),
                    Message::Epoch { number: Some(number), what } => self.handover(*at, *number, what),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
