//! The loop around one node: inputs in, one write, then messages and decisions out.

use alloc::vec::Vec;

use super::{Progress, Resource, Storage, Transport};
use crate::{
    NodeId, Outbox, Refusal, Released, RestoreError, TxId,
    commit::{Config, Decision, Input, Message, Node, Record},
};

/// A node and what it has yet to have carried out.
///
/// [`push`](Driver::push) steps the node at once and keeps what follows; [`flush`](Driver::flush) carries it out. What
/// a [`Resource`] answers is stepped in turn and waits for the next flush, so that one flush is one write at most.
#[derive(Debug)]
pub struct Driver {
    node: Node,
    outbox: Outbox<Record, Message, Decision>,
}

/// What a node starts from. Only its operator can know: a disk that was lost looks like one that is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Start {
    /// Nothing: its id was never used in this cluster. An error if the storage is not blank. This is how a node starts for
    /// the first time, and how a new one takes over the work of one whose disk was lost.
    Create,
    /// What its storage holds: it was a member before. An error if the storage is blank, or another's. A member that came
    /// back with a blank disk would forget what it has promised, and vote again (Alagappan and others, *Protocol-Aware
    /// Recovery for Consensus-Based Storage*, 2018).
    Restore,
}

/// Why a driver stopped, or did not start.
#[derive(Debug, thiserror::Error)]
pub enum DriverError<E: core::error::Error + 'static> {
    /// The records could not be read.
    #[error("the records could not be read")]
    Load(#[source] E),
    /// There are records already: the node was created before and must be restored.
    #[error("the storage is in use: a node that was a member before must be restored, not created")]
    InUse,
    /// The records do not make a node.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A write failed. The node in memory is ahead of its storage now: drop it and restore it.
    #[error("a write failed; the node must be restored from its storage")]
    Write(#[source] E),
    /// An earlier write failed. Drop the driver and restore it.
    #[error("an earlier write failed; the node must be restored from its storage")]
    Fenced,
}

impl Driver {
    /// The node of `config`, new or restored, as `start` says. A storage that does not fit is an error, and left as it is.
    pub fn open<S: Storage>(config: Config, start: Start, storage: &mut S) -> Result<Self, DriverError<S::Error>> {
        match start {
            Start::Create => Self::create(config, storage),
            Start::Restore => Self::restore(config, storage),
        }
    }

    /// A node whose id was never used, on blank storage. Its identity is durable when this returns.
    pub fn create<S: Storage>(config: Config, storage: &mut S) -> Result<Self, DriverError<S::Error>> {
        if !storage.load().map_err(DriverError::Load)?.is_empty() {
            return Err(DriverError::InUse);
        }
        let (node, effects) = Node::create(config);
        let mut driver = Self { node, outbox: Outbox::new() };
        driver.outbox.extend(effects);
        // It has said and decided nothing yet.
        let _ = driver.write(storage)?;
        Ok(driver)
    }

    /// The node that `storage` holds.
    pub fn restore<S: Storage>(config: Config, storage: &mut S) -> Result<Self, DriverError<S::Error>> {
        let records = storage.load().map_err(DriverError::Load)?;
        Ok(Self { node: Node::restore(config, records)?, outbox: Outbox::new() })
    }

    /// The node and its outbox, for another loop than this one.
    #[cfg(feature = "tokio")]
    pub(crate) fn into_parts(self) -> (Node, Outbox<Record, Message, Decision>) {
        (self.node, self.outbox)
    }

    /// The node, to be looked at.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// A new name for a transaction, for the very next [`push`](Driver::push).
    pub fn allocate(&mut self) -> Option<TxId> {
        self.node.allocate()
    }

    /// Steps the node. What follows waits for the next flush. After a failed write this does nothing.
    pub fn push(&mut self, input: Input) {
        if !self.is_fenced() {
            self.outbox.step(&mut self.node, input);
        }
    }

    /// Steps the node, unless it would refuse `input`.
    pub fn offer(&mut self, input: Input) -> Result<(), Refusal> {
        if self.is_fenced() {
            return Err(Refusal::Fenced);
        }
        self.node.check(&input)?;
        self.push(input);
        Ok(())
    }

    /// Steps the node with each message of a packet, in order.
    pub fn receive(&mut self, from: NodeId, messages: impl IntoIterator<Item = Message>) {
        for message in messages {
            self.push(Input::Receive { from, message });
        }
    }

    /// Whether there is nothing to carry out.
    pub fn is_idle(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Whether a write has failed, so that this driver will do nothing more.
    pub fn is_fenced(&self) -> bool {
        self.outbox.is_fenced()
    }

    /// Carries out what waits, with one write at most. What follows from the resource's answers waits for the next
    /// flush: until then the driver is not [idle](Driver::is_idle).
    pub fn flush<H: Storage + Transport + Resource>(&mut self, handlers: &mut H) -> Result<(), DriverError<H::Error>> {
        if self.is_fenced() {
            return Err(DriverError::Fenced);
        }
        // What waits for no write may go first; a vote that it asks for can then be part of this very write.
        while let Some(released) = self.outbox.take_free() {
            self.carry_out(released, handlers);
        }
        if let Some(released) = self.write(handlers)? {
            self.carry_out(released, handlers);
        }
        Ok(())
    }

    /// Writes what waits, and gets what may be carried out then.
    fn write<S: Storage>(
        &mut self,
        storage: &mut S,
    ) -> Result<Option<Released<Message, Decision>>, DriverError<S::Error>> {
        let Some(pending) = self.outbox.take() else { return Ok(None) };
        match storage.persist(pending.records()) {
            Ok(()) => Ok(Some(pending.persisted())),
            Err(error) => {
                pending.failed();
                Err(DriverError::Write(error))
            }
        }
    }

    fn carry_out<H: Transport + Resource>(&mut self, released: Released<Message, Decision>, handlers: &mut H) {
        let (packets, decisions) = released.into_parts();
        for packet in packets {
            handlers.send(packet);
        }
        let answers: Vec<Input> = decisions.into_iter().filter_map(|decision| decide(decision, handlers)).collect();
        for answer in answers {
            self.push(answer);
        }
    }
}

/// Hands a decision to the resource, and gets its answer to the node.
fn decide(decision: Decision, resource: &mut impl Resource) -> Option<Input> {
    let finished = |tx, progress| (progress == Progress::Finished).then_some(Input::Finished(tx));
    match decision {
        Decision::Vote(transaction) => {
            let vote = resource.vote(&transaction)?;
            Some(Input::Vote { tx: transaction.id(), vote })
        }
        Decision::Commit(tx) => finished(tx, resource.commit(tx)),
        Decision::Abort(tx) => finished(tx, resource.abort(tx)),
        Decision::Decided { tx, outcome } => {
            resource.decided(tx, outcome);
            None
        }
        Decision::Completed { tx, outcome } => {
            resource.completed(tx, outcome);
            None
        }
    }
}
