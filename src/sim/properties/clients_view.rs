//! What a client was told is what the resources did: a transaction that was reported committed is carried out by every
//! participant, and one reported completed is finished everywhere. The fault of tidb#33641.

use std::collections::{BTreeMap, BTreeSet};

use super::{Begun, Observation, Property, Violation, begun, require};
use crate::{
    NodeId, TxId,
    commit::{Decision, Outcome, Record},
};

#[derive(Default)]
pub(super) struct ClientsView {
    participants: BTreeMap<TxId, Vec<NodeId>>,
    told: BTreeMap<TxId, Outcome>,
    /// What each resource has carried out, durably.
    done: BTreeMap<(TxId, NodeId), Outcome>,
    /// Which resources have voted, durably.
    voted: BTreeSet<(TxId, NodeId)>,
    /// Who has lied about its end, and may never hear of it.
    lied: BTreeSet<(TxId, NodeId)>,
    /// Whether a handover has ended what was open.
    handed_over: bool,
    /// Who never comes back, and need not hear how it ends.
    damaged: BTreeSet<NodeId>,
    /// Who has taken a step. Others may not exist, and nobody waits for them.
    seen: BTreeSet<NodeId>,
}

const NAME: &str = "the client's view is true";

impl ClientsView {
    /// Whether all have carried it out, `but` for some that may never do.
    fn all_did(&self, tx: TxId, outcome: Outcome, but: &BTreeSet<NodeId>) -> Result<(), Violation> {
        for rm in self.participants.get(&tx).into_iter().flatten().filter(|rm| self.seen.contains(rm)) {
            let done = self.done.get(&(tx, *rm)).copied();
            let is_spared = self.lied.contains(&(tx, *rm)) || but.contains(rm);
            require(NAME, done == Some(outcome) || is_spared && done.is_none(), || {
                format!("a client was told that {tx} is {outcome:?}, but {rm} has done {done:?}")
            })?;
        }
        Ok(())
    }
}

impl Property for ClientsView {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        if let Some(Begun { tx, participants, .. }) = begun(observation) {
            self.participants.insert(tx, participants.to_vec());
        }
        if let Observation::Stepped { at, .. } = observation {
            self.seen.insert(*at);
        }
        match observation {
            Observation::Durable { at, record: Record::ResourceManager(record) } => {
                let tx = record.transaction.id();
                if record.vote.is_some() {
                    self.voted.insert((tx, *at));
                }
                if let Some(outcome) = record.finished {
                    self.done.insert((tx, *at), outcome);
                    if let Some(told) = self.told.get(&tx) {
                        return require(NAME, *told == outcome, || {
                            format!("a client was told that {tx} is {told:?}, but {at} has done {outcome:?}")
                        });
                    }
                }
                Ok(())
            }
            Observation::Durable { record: Record::Epoch { number, .. }, .. } => {
                self.handed_over |= *number > 0;
                Ok(())
            }
            Observation::Damaged { at } => {
                self.damaged.insert(*at);
                Ok(())
            }
            Observation::Lied { at, tx } => {
                self.lied.insert((*tx, *at));
                Ok(())
            }
            Observation::Decided { decision: Decision::Decided { tx, outcome }, .. } => {
                let told = *self.told.entry(*tx).or_insert(*outcome);
                require(NAME, told == *outcome, || format!("clients were told {told:?} and {outcome:?} of {tx}"))
            }
            Observation::Decided { decision: Decision::Completed { tx, outcome }, .. } => {
                self.all_did(*tx, *outcome, &BTreeSet::new())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<(), Violation> {
        for (tx, outcome) in &self.told {
            // A manager that leaves gives up what a handover has aborted: who has not voted need not hear of it.
            let is_given_up = self.handed_over && *outcome == Outcome::Aborted;
            if !is_given_up {
                self.all_did(*tx, *outcome, &self.damaged)?;
            }
        }
        // A vote is a promise to wait for the outcome, and the outcome comes.
        let mut heeded = self.voted.difference(&self.lied).filter(|(_, at)| !self.damaged.contains(at));
        let waiting = heeded.find(|voted| !self.done.contains_key(voted));
        require(NAME, waiting.is_none(), || format!("{waiting:?} voted, and was never told the outcome"))
    }
}
