//! A transaction that is over is never taken up again: a node that has retired it durably writes, decides and answers
//! nothing about it but that. The fault of cockroach#9377 and tikv#7364.

use std::collections::{BTreeMap, BTreeSet};

use super::{Observation, Property, Violation, outcome_of, require};
use crate::{
    NodeId, TxId,
    commit::{Decision, Effect, Input, Message, Record, TxRange, Vote, What},
};

#[derive(Default)]
pub(super) struct RetiredIsFinal {
    retired: BTreeMap<NodeId, BTreeSet<TxRange>>,
    /// What each node has said in steps, in order, about retirement.
    said: BTreeMap<NodeId, BTreeSet<TxRange>>,
    lied: BTreeSet<(NodeId, TxId)>,
}

const NAME: &str = "a retired transaction is never decided again";

fn covers(ranges: &BTreeMap<NodeId, BTreeSet<TxRange>>, at: NodeId, tx: TxId) -> bool {
    ranges.get(&at).is_some_and(|ranges| ranges.iter().any(|range| range.contains(tx)))
}

impl Property for RetiredIsFinal {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        match observation {
            Observation::Durable { at, record: Record::Retired(range) } => {
                self.retired.entry(*at).or_default().insert(*range);
            }
            Observation::Started { at } | Observation::Stopped { at } => {
                let durable = self.retired.get(at).cloned().unwrap_or_default();
                self.said.insert(*at, durable);
            }
            // A resource that votes to commit all the same is told the end once more.
            Observation::Stepped {
                input: Input::Vote { vote: Vote::Prepared, .. },
                effects: [Effect::Decide(Decision::Abort { .. })],
                ..
            } => {}
            // Whoever begins it again, or asks for its outcome, is told how it ended.
            Observation::Stepped {
                input: Input::BeginAs { .. },
                effects: [Effect::Decide(Decision::Decided { .. })],
                ..
            }
            | Observation::Stepped {
                input: Input::Receive { message: Message::About { what: What::Inquire | What::Begin { .. }, .. }, .. },
                effects: [Effect::Send { message: Message::About { what: What::Outcome(_), .. }, .. }],
                ..
            } => {}
            // Whoever is left in doubt by its own lie goes on asking.
            Observation::Lied { at, tx } => {
                self.lied.insert((*at, *tx));
            }
            Observation::Stepped { at, effects, .. } => {
                for effect in *effects {
                    let about = match effect {
                        Effect::Persist(Record::Retired(range)) => {
                            self.said.entry(*at).or_default().insert(*range);
                            None
                        }
                        Effect::Persist(Record::Acceptor(record)) => Some(record.transaction.id()),
                        Effect::Persist(Record::ResourceManager(record)) => Some(record.transaction.id()),
                        Effect::Decide(Decision::Vote { transaction, .. }) => Some(transaction.id()),
                        Effect::Decide(Decision::Begun(tx)) => Some(*tx),
                        Effect::Decide(decision) => outcome_of(decision).map(|(tx, _)| tx),
                        Effect::Send { message, .. } => message.transaction().map(|transaction| transaction.id()),
                        Effect::Persist(_) => None,
                    };
                    if let Some(tx) = about {
                        let is_over = covers(&self.said, *at, tx) && !self.lied.contains(&(*at, tx));
                        require(NAME, !is_over, || format!("{at} retired {tx}, then: {effect:?}"))?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
