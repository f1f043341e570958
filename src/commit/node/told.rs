//! What the caller tells a node: for the local resource, for the transport, and for an operator.

use super::{
    super::{Decision, EpochTag, Meta, Outcome, Record, ResourceKind, Sink, Transaction, Vote},
    Admission, Node, Open,
};
use crate::{NodeId, Refusal, Scope, TxId};

impl Node {
    /// The local resource votes.
    pub(super) fn hear_vote(
        &mut self,
        transaction: Transaction,
        vote: Vote,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        if !transaction.has(self.shared.config.id) {
            return Err(Refusal::NotAParticipant);
        }
        match self.known(transaction.id()) {
            Ok(handle) => self.work(handle, effects, |open, shared, effects| {
                if open.transaction != transaction {
                    return Err(Refusal::OtherTransaction);
                }
                open.hear_vote(shared, effects, vote)
            }),
            // This node has not voted to commit, or has finished. Nobody else must keep the resource from letting go.
            Err(_) if vote == Vote::Prepared && self.shared.config.resource == ResourceKind::VotesHere => {
                self.decide(Decision::Abort { transaction, meta: None }, Scope::NOTHING, effects);
                Ok(())
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// A connection to another node begins.
    pub(super) fn meet(
        &mut self,
        node: NodeId,
        birth: u64,
        epoch: Option<EpochTag>,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        let config = &self.shared.config;
        if node == config.id {
            return Err(Refusal::FromSelf);
        }
        if config.cluster.is_departed(node) {
            return Err(Refusal::Departed);
        }
        self.compare_epochs(node, epoch, effects)?;
        let config = &self.shared.config;
        if self.shared.peers.contacts.meet(node, birth, config.cluster.limits().nodes)? {
            self.persist_ground(Record::Peer { node, birth }, effects);
        }
        Ok(())
    }

    /// The local resource finds `transaction` prepared in itself.
    pub(super) fn hear_prepared(
        &mut self,
        transaction: &Transaction,
        meta: &Meta,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        if self.shared.config.resource == ResourceKind::VotesHere {
            return Err(Refusal::VotesAreHere);
        }
        if !transaction.is_about(meta) {
            return Err(Refusal::OtherContent);
        }
        match self.known(transaction.id()) {
            Ok(handle) => self.work(handle, effects, |open, shared, effects| {
                if open.transaction != *transaction {
                    return Err(Refusal::OtherTransaction);
                }
                open.found(shared, effects, meta)
            }),
            // How it ended is not known here any more.
            Err(Refusal::Retired) => Err(Refusal::RetiredUnfinished),
            Err(_) => {
                self.check_name(transaction.id())?;
                if self.shared.epoch.is_none_or(|epoch| transaction.epoch() > epoch) {
                    return Err(Refusal::NewerEpoch);
                }
                self.check_room(transaction.participants(), Admission::Old)?;
                self.open_with(transaction, None, effects, |open, shared, effects| open.found(shared, effects, meta))
            }
        }
    }

    /// An operator ends a transaction here.
    pub(super) fn resolve(&mut self, tx: TxId, outcome: Outcome, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        let handle = self.known(tx)?;
        if self.open.at(handle).is_some_and(Open::is_stuck) {
            // A transaction manager remembers nothing, so to forget the transaction is safe.
            self.drop_open(handle, effects);
        } else {
            self.work(handle, effects, |open, shared, effects| open.resolve(shared, effects, outcome))?;
        }
        self.shared.metrics.count_resolved();
        self.persist(Record::Resolutions { count: self.shared.metrics.resolved }, effects);
        Ok(())
    }
}
