//! The loop around one node: inputs in, one write, then messages and decisions out.

use super::{Progress, Resource, Storage, Transport};
use crate::{
    NodeId, Outbox, Pending, Refusal, Released, RestoreError, Scope,
    commit::{Config, Decision, Input, Message, Node, Record},
};

/// A node's records that are to be written as one, and behind them what waits for that.
pub type Batch = Pending<Record, Message, Decision>;

/// A node, and what is yet to be carried out of what it asked for.
///
/// [`push`](Driver::push) steps the node at once and keeps what follows; [`flush`](Driver::flush) carries it out, with one
/// write at most. What a [`Resource`] answers is stepped in turn and waits for the next flush.
///
/// A loop around it does four things, in this order, whenever something has come or [`deadline`](Node::deadline) is there:
/// it pushes [`Input::Tick`], because time-outs start at the time that the node was told last; it pushes what has come;
/// it carries out what waits for no write ([`release`](Driver::release)); and it flushes. It may put the flush off while
/// nothing is [urgent](Driver::is_urgent), for a few milliseconds at most: those records ride along with the next write.
///
/// A flush has two halves, [`begin`](Driver::begin) and [`finish`](Driver::finish). With the write between them on
/// another thread, the node goes on stepping meanwhile, and all that gathers is the next batch:
///
/// ```
/// # use synod::{NodeId, Quorums, TxId, commit::*, perform::{memory::MemoryStorage, NoResource}};
/// use std::{sync::mpsc, thread};
/// use synod::perform::{Batch, Driver, Handlers, Storage};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = Cluster::new(ClusterId(*b"an example of it"), Quorums::majority([NodeId(1)])?, [NodeId(1)])?;
/// # let config = Config::new(cluster, NodeId(2), 0);
/// # let prepare = |seq| {
/// #     let transaction = Transaction::new(TxId { origin: NodeId(1), seq }, [NodeId(2), NodeId(3)], []).unwrap();
/// #     let message = Message::about(&transaction, What::Prepare { meta: Meta::default() });
/// #     Input::Receive { from: NodeId(1), message }
/// # };
/// # let mut storage = MemoryStorage::new();
/// let mut driver = Driver::create(config, &mut storage)?;
/// # let records = storage.records();
/// let mut handlers = Handlers { storage: (), transport: Vec::new(), resource: NoResource };
/// let (to_disk, batches) = mpsc::channel::<Batch>();
/// let (to_loop, written) = mpsc::channel();
/// let disk = thread::spawn(move || {
///     # let mut storage = MemoryStorage::with_records(records);
///     for batch in batches {
///         // A batch that could not be written is dropped, which fences the driver.
///         if storage.persist(batch.records()).is_err() || to_loop.send(batch).is_err() {
///             return;
///         }
///     }
/// });
///
/// driver.push(prepare(1))?;
/// driver.release(&mut handlers); // asks the resource for its vote
/// if let Some(batch) = driver.begin(&mut handlers) {
///     to_disk.send(batch)?;
///     driver.push(prepare(2))?; // while the first batch is written
///     driver.finish(written.recv()?, &mut handlers).expect("it is this driver's");
/// }
/// # drop(to_disk);
/// # disk.join().unwrap();
/// # assert!(!driver.is_fenced() && !driver.is_idle());
/// # Ok(())
/// # }
/// ```
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
#[non_exhaustive]
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
        if let Some(batch) = driver.outbox.take() {
            storage.persist(batch.records()).map_err(DriverError::Write)?;
            // It has said and decided nothing yet.
            let _ = batch.persisted();
        }
        Ok(driver)
    }

    /// The node that `storage` holds.
    pub fn restore<S: Storage>(config: Config, storage: &mut S) -> Result<Self, DriverError<S::Error>> {
        let records = storage.load().map_err(DriverError::Load)?;
        Ok(Self { node: Node::restore(config, records)?, outbox: Outbox::new() })
    }

    /// A node that a test has made.
    #[cfg(test)]
    pub(crate) fn of(node: Node) -> Self {
        Self { node, outbox: Outbox::new() }
    }

    /// The node, to be looked at.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Steps the node. What follows waits for the next flush. An error says why the node refused the input;
    /// [`Refusal::Fenced`] that a write has failed, after which the node is not stepped any more.
    pub fn push(&mut self, input: Input) -> Result<(), Refusal> {
        self.outbox.step(&mut self.node, input)
    }

    /// Steps the node with each message of a packet, in order. What it refuses is counted in its
    /// [`metrics`](Node::metrics).
    pub fn receive(&mut self, from: NodeId, messages: &[Message]) {
        if !self.is_fenced() {
            self.node.receive(from, messages, &mut self.outbox);
        }
    }

    /// Whether there is nothing to carry out, but for what a batch holds that is out.
    pub fn is_idle(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Whether a write has failed, so that this driver will do nothing more.
    pub fn is_fenced(&self) -> bool {
        self.outbox.is_fenced()
    }

    /// Whether progress waits for a write. Otherwise the records that wait, if any, may ride along with a later one.
    pub fn is_urgent(&self) -> bool {
        self.outbox.is_urgent()
    }

    /// Whether any record waits for a write to begin. Such records may wait a few milliseconds unless they are
    /// [urgent](Driver::is_urgent).
    pub fn has_records(&self) -> bool {
        self.outbox.has_records()
    }

    /// Whether all that `scope` stands for is durable. With the [scope](Node::scope) of a transaction: whether no crash
    /// could make an answer about it untrue.
    pub fn is_durable(&self, scope: Scope) -> bool {
        self.outbox.is_durable(scope)
    }

    /// How many effects wait to be carried out, but for what a batch holds that is out.
    pub fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Carries out what waits, with one write at most. What follows from the resource's answers waits for the next
    /// flush: until then the driver is not [idle](Driver::is_idle). While a batch is out, it does no more than
    /// [`release`](Driver::release).
    pub fn flush<H: Storage + Transport + Resource>(&mut self, handlers: &mut H) -> Result<(), DriverError<H::Error>> {
        if self.is_fenced() {
            return Err(DriverError::Fenced);
        }
        if let Some(batch) = self.begin(handlers) {
            // A batch that could not be written is dropped, which fences the outbox.
            handlers.persist(batch.records()).map_err(DriverError::Write)?;
            self.carry_out(batch.persisted(), handlers);
        }
        Ok(())
    }

    /// Carries out what rests on no write that is still to come, and what follows from that in turn.
    pub fn release<H: Transport + Resource>(&mut self, handlers: &mut H) {
        while let Some(released) = self.outbox.take_free() {
            self.carry_out(released, handlers);
        }
    }

    /// Carries out what waits for no write, and gives out the rest to be written. `None` if that is nothing, while a batch
    /// is out, and for good once a write has failed.
    ///
    /// Once all its records are durable, the batch comes back to [`finish`](Driver::finish). Otherwise, drop it: nothing
    /// of what waits for them may happen, and the driver does nothing more.
    pub fn begin<H: Transport + Resource>(&mut self, handlers: &mut H) -> Option<Batch> {
        // A vote that this asks for can then be part of this very write.
        self.release(handlers);
        self.outbox.take()
    }

    /// Carries out what waited for `batch`, all of whose records are durable now. An error if it is another driver's: then
    /// it comes back as it was.
    pub fn finish<H: Transport + Resource>(&mut self, batch: Batch, handlers: &mut H) -> Result<(), Batch> {
        if !self.outbox.owns(&batch) {
            return Err(batch);
        }
        self.carry_out(batch.persisted(), handlers);
        Ok(())
    }

    fn carry_out<H: Transport + Resource>(&mut self, released: Released<Message, Decision>, handlers: &mut H) {
        let (packets, decisions) = released.into_parts();
        for packet in packets {
            handlers.send(packet);
        }
        for decision in decisions {
            if let Some(answer) = decide(decision, handlers) {
                // The node counts what it refuses.
                let _ = self.push(answer);
            }
        }
    }
}

/// Hands a decision to the resource, and gets its answer for the node.
fn decide(decision: Decision, resource: &mut impl Resource) -> Option<Input> {
    let finished = |tx, progress| (progress == Progress::Finished).then_some(Input::Finished(tx));
    match decision {
        Decision::Begun(tx) => {
            resource.begun(tx);
            None
        }
        Decision::Vote { transaction, meta } => {
            let vote = resource.vote(&transaction, &meta)?;
            Some(Input::Vote { tx: transaction.id(), vote })
        }
        Decision::Commit { transaction, meta } => finished(transaction.id(), resource.commit(&transaction, &meta)),
        Decision::Abort { transaction, meta } => {
            finished(transaction.id(), resource.abort(&transaction, meta.as_ref()))
        }
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
