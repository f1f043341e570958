//! The clients of a world: what they begin, and how long they wait for it.

use super::{Actor, CLIENT, Violation, World, name_in};
use crate::{
    NodeId, TxId,
    commit::{Effect, Input, Meta, Participants, Status, Transaction},
};

impl<A: Actor> World<A> {
    pub(super) fn begin(&mut self, at: NodeId, participants: &[NodeId]) -> Result<Vec<Effect>, Violation> {
        let Ok(participants) = Participants::new(participants) else { return Ok(Vec::new()) };
        if !self.is_there(at) {
            return Ok(Vec::new());
        }
        let meta = self.next_meta();
        let effects = self.step(at, Input::Begin { participants: participants.clone(), meta: meta.clone() })?;
        if let Some(tx) = effects.iter().find_map(name_in) {
            let epoch = self.epoch_of(at);
            self.note_begun(Transaction::of(tx, participants, &meta).in_epoch(epoch), meta);
            self.be_patient(at, tx)?;
        }
        Ok(effects)
    }

    pub(super) fn begin_as(
        &mut self,
        at: NodeId,
        participants: &[NodeId],
        own: Option<u64>,
    ) -> Result<Vec<Effect>, Violation> {
        let Ok(participants) = Participants::new(participants) else { return Ok(Vec::new()) };
        if !self.is_there(at) {
            return Ok(Vec::new());
        }
        let origin = own.map_or(CLIENT, |_| at);
        let last = self.last_number(origin);
        let meta = self.next_meta();
        let tx = TxId { origin, seq: last + 1 + own.unwrap_or(0) };
        let transaction = Transaction::of(tx, participants, &meta).in_epoch(self.epoch_of(at));
        let effects = self.step(at, Input::BeginAs { transaction: transaction.clone(), meta: meta.clone() })?;
        // A number of the node's own that it has refused is still to be given. A client may try elsewhere.
        if own.is_none() || self.actor(at).is_some_and(|actor| actor.node().status(tx) != Status::Unknown) {
            self.stats.named_by_clients += 1;
            self.note_begun(transaction, meta);
            self.be_patient(at, tx)?;
        }
        Ok(effects)
    }

    /// A liar begins a transaction under a name that `origin` gives next, or has given. It is not [begun](World::begun):
    /// nobody but the liar's client asks for it.
    pub(super) fn steal_name(
        &mut self,
        at: NodeId,
        origin: NodeId,
        participants: &[NodeId],
        back: u64,
    ) -> Result<Vec<Effect>, Violation> {
        let Ok(participants) = Participants::new(participants) else { return Ok(Vec::new()) };
        let seq = (self.last_number(origin) + 2).saturating_sub(back) | 1;
        let tx = TxId { origin, seq };
        let is_liar = self.setup.liars.contains(&at) && self.setup.may_use_twice(tx) && origin != at;
        if !is_liar || !self.is_there(at) {
            return Ok(Vec::new());
        }
        let meta = self.next_meta();
        let transaction = Transaction::of(tx, participants, &meta).in_epoch(self.epoch_of(at));
        let effects = self.step(at, Input::BeginAs { transaction, meta })?;
        self.stats.stolen_names += u64::from(!effects.is_empty());
        Ok(effects)
    }

    /// The epoch that a node is in, as its clients know.
    fn epoch_of(&self, at: NodeId) -> u64 {
        self.actor(at).and_then(|actor| actor.node().tag()).map_or(0, |tag| tag.number)
    }

    /// The highest number that clients know of `origin`.
    fn last_number(&self, origin: NodeId) -> u64 {
        let names = self.begun.iter().map(Transaction::id).filter(|tx| tx.origin == origin);
        names.map(|tx| tx.seq).max().unwrap_or(0)
    }

    /// A client says how long to wait for the votes on what it has just begun.
    fn be_patient(&mut self, at: NodeId, tx: TxId) -> Result<(), Violation> {
        let Some(patience) = self.setup.patience.filter(|_| self.is_manager(at)) else { return Ok(()) };
        self.stats.patient += 1;
        self.step(at, Input::Patience { tx, patience }).map(drop)
    }

    fn is_manager(&self, at: NodeId) -> bool {
        self.actor(at).is_some_and(|actor| actor.node().config().cluster.is_manager(at))
    }

    fn next_meta(&mut self) -> Meta {
        self.begins += 1;
        self.begins.to_be_bytes().into()
    }

    fn note_begun(&mut self, transaction: Transaction, meta: Meta) {
        self.stats.begun += 1;
        self.stats.haunted += u64::from(self.setup.ghosts.iter().any(|ghost| transaction.has(*ghost)));
        self.metas.insert(transaction.id(), meta);
        self.begun.push(transaction);
    }
}
