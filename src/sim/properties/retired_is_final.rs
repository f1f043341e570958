//! A transaction that is over is never taken up again: a node that has retired it durably writes, decides and answers
//! nothing about it but that. The fault of cockroach#9377 and tikv#7364.

use std::collections::{BTreeMap, BTreeSet};

use super::{Hurt, Observation, Property, Violation, outcome_of, require};
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
    /// Whether names may be used twice.
    names: bool,
    /// What resource managers have voted to commit.
    prepared: BTreeSet<(NodeId, TxId)>,
    /// Of these, what a handover said is over, since another transaction of that name is: they stay in doubt until an operator
    /// ends them.
    stays: BTreeSet<(NodeId, TxId)>,
}

const NAME: &str = "a retired transaction is never decided again";

fn covers(ranges: &BTreeMap<NodeId, BTreeSet<TxRange>>, at: NodeId, tx: TxId) -> bool {
    ranges.get(&at).is_some_and(|ranges| ranges.iter().any(|range| range.contains(tx)))
}

impl RetiredIsFinal {
    pub(super) fn of(hurt: Option<Hurt>) -> Self {
        Self { names: hurt == Some(Hurt::Names), ..Self::default() }
    }

    /// A node has gone to a later epoch, and has written what is retired in the same step.
    fn note_stays(&mut self, at: NodeId, effects: &[Effect]) {
        let enters = |effect: &Effect| matches!(effect, Effect::Persist(Record::Epoch { .. }));
        if !self.names || !effects.iter().any(enters) {
            return;
        }
        for effect in effects {
            let Effect::Persist(Record::Retired(range)) = effect else { continue };
            let prepared = self.prepared.iter().filter(|(node, tx)| *node == at && range.contains(*tx));
            self.stays.extend(prepared.filter(|(_, tx)| Hurt::may_hit(*tx)));
        }
    }
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
                self.note_stays(*at, effects);
                for effect in *effects {
                    let about = match effect {
                        Effect::Persist(Record::Retired(range)) => {
                            self.said.entry(*at).or_default().insert(*range);
                            None
                        }
                        Effect::Persist(Record::Acceptor(record)) => Some(record.transaction.id()),
                        Effect::Persist(Record::ResourceManager(record)) => {
                            if record.vote == Some(Vote::Prepared) && record.finished.is_none() {
                                self.prepared.insert((*at, record.transaction.id()));
                            }
                            Some(record.transaction.id())
                        }
                        Effect::Decide(Decision::Vote { transaction, .. }) => Some(transaction.id()),
                        Effect::Decide(Decision::Begun(tx)) => Some(*tx),
                        Effect::Decide(decision) => outcome_of(decision).map(|(tx, _)| tx),
                        Effect::Send { message, .. } => message.transaction().map(|transaction| transaction.id()),
                        Effect::Persist(_) => None,
                    };
                    if let Some(tx) = about {
                        let may_go_on = self.lied.contains(&(*at, tx)) || self.stays.contains(&(*at, tx));
                        let is_over = covers(&self.said, *at, tx) && !may_go_on;
                        require(NAME, !is_over, || format!("{at} retired {tx}, then: {effect:?}"))?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
