//! The loop around one node: inputs in, one write, then messages and decisions out.

use alloc::vec::Vec;

#[cfg(feature = "record")]
use super::record::{Digest, Recorder};
#[cfg(not(feature = "record"))]
use super::unrecorded::{Digest, Recorder};
use super::{Progress, RecoverError, Resource, Storage, Transport};
use crate::{
    EffectSink, Machine, NodeId, Outbox, Pending, Refusal, Released, RestoreError, Scope, Urgency,
    commit::{Config, Decision, Effect, Input, Message, Node, Promised, Record, Weight},
};

/// A node's records to be written together, and the messages and decisions that wait for them.
///
/// See [`Driver`] for an example.
pub type Batch = Pending<Record, Message, Decision>;

/// A node, and its effects that are not carried out yet.
///
/// [`push`](Driver::push) steps the node at once and keeps its effects; [`flush`](Driver::flush) carries them out, with
/// one write at most. What a [`Resource`] answers is stepped in turn, and its effects wait for the next flush.
///
/// The loop around a driver does four things, in this order, whenever an input has arrived or
/// [`deadline`](Node::deadline) is reached: it pushes [`Input::Tick`], because time-outs start at the last tick; it
/// pushes what has arrived; it carries out what waits for no write ([`release`](Driver::release)); and it flushes.
/// While nothing is [urgent](Driver::is_urgent), it may put off the flush for a few milliseconds at most, so that those
/// records ride along with the next write.
///
/// A handler that panics panics out of `flush`, `release` or `finish`, into the loop that called it, which may catch that
/// and go on: nothing untrue was said. If it was the storage, the driver is [fenced](Driver::is_fenced). Otherwise what
/// was to be carried out at the same time is lost: messages and requests for votes and verdicts come again when their
/// time-outs end, reports (`begun`, `decided`, `completed`) do not.
///
/// A flush has two halves, [`begin`](Driver::begin) and [`finish`](Driver::finish). With the write between them on
/// another thread, the node keeps stepping meanwhile, and what gathers becomes the next batch:
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
/// #     let message = Message::about(&transaction, What::prepare(Meta::default()));
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
    /// How many bytes everything takes that was stepped and is not carried out.
    held: usize,
    recorder: Option<Recorder>,
}

/// What a node starts from. Only its operator can know: a lost disk looks like a new one.
///
/// ```
/// # use synod::{NodeId, Quorums, commit::{Cluster, ClusterId, Config}, perform::memory::MemoryStorage};
/// use synod::perform::{Driver, DriverError, Handlers, NoResource, Start};
///
/// # let me = NodeId(1);
/// # let cluster = Cluster::new(ClusterId(*b"a cluster of one"), Quorums::majority([me])?, [me])?;
/// # let config = Config::new(cluster, me, 7);
/// let mut handlers = Handlers { storage: MemoryStorage::new(), transport: (), resource: NoResource };
/// let blank = Driver::open(config.clone(), Start::Restore, &mut handlers);
/// assert!(matches!(blank, Err(DriverError::Restore(_))));
/// Driver::open(config.clone(), Start::Create, &mut handlers)?; // the first time
/// Driver::open(config.clone(), Start::Restore, &mut handlers)?; // from then on
/// assert!(matches!(Driver::open(config, Start::Create, &mut handlers), Err(DriverError::InUse)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Start {
    /// Nothing: its id was never used in this cluster. Fails if the storage is not blank. Use this when a node starts
    /// for the first time, and for a new node that takes over the work of one whose disk was lost.
    Create,
    /// Its storage: it was a member before. Fails if the storage is blank, or another node's. A member that came back
    /// with a blank disk would forget its promises and vote again (Alagappan and others, *Protocol-Aware Recovery for
    /// Consensus-Based Storage*, 2018).
    Restore,
    /// Nothing, as with [`Create`](Self::Create), in a cluster whose members have changed or are to change: it is in no epoch
    /// until it hears of the present one from the members in its configuration, or is invited to be one of them.
    Join,
}

/// Why a driver stopped, or did not start.
///
/// See [`Start`] for an example.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError<E: core::error::Error + 'static> {
    /// The records could not be read.
    #[error("the records could not be read")]
    Load(#[source] E),
    /// The storage holds records: the node was created before, and must be restored.
    #[error("the storage is in use: a node that was a member before must be restored, not created")]
    InUse,
    /// No node can be restored from the records.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A write failed. The node in memory is now ahead of its storage: drop it and restore it.
    #[error("a write failed; the node must be restored from its storage")]
    Write(#[source] E),
    /// The resource could not recover. Nothing has happened: restore the node again.
    #[error("the resource could not recover")]
    Recover(#[source] RecoverError),
    /// An earlier write failed. Drop the driver and restore it.
    #[error("an earlier write failed; the node must be restored from its storage")]
    Fenced,
}

impl Driver {
    /// Creates or restores the node of `config`, as `start` says. A storage that does not fit is an error, and is left
    /// unchanged.
    pub fn open<H: Storage + Resource>(
        config: Config,
        start: Start,
        handlers: &mut H,
    ) -> Result<Self, DriverError<H::Error>> {
        match start {
            Start::Create => Self::create(config, handlers),
            Start::Restore => Self::restore(config, handlers),
            Start::Join => Self::join(config, handlers),
        }
    }

    /// Creates a node whose id was never used, on blank storage. Its identity is durable when this returns. If `config` gives
    /// it no [birth](Config::birth), it gets one from the operating system (not without the feature `std`).
    pub fn create<S: Storage>(config: Config, storage: &mut S) -> Result<Self, DriverError<S::Error>> {
        Self::begin_life(config, storage, Node::create)
    }

    /// Creates a node that comes to a cluster later, as [`Node::join`] does. All else is as with [`create`](Self::create).
    pub fn join<S: Storage>(config: Config, storage: &mut S) -> Result<Self, DriverError<S::Error>> {
        Self::begin_life(config, storage, Node::join)
    }

    fn begin_life<S: Storage>(
        config: Config,
        storage: &mut S,
        create: impl FnOnce(Config) -> (Node, Vec<Effect>),
    ) -> Result<Self, DriverError<S::Error>> {
        if !storage.load().map_err(DriverError::Load)?.is_empty() {
            return Err(DriverError::InUse);
        }
        let birth = config.birth.or_else(super::random::birth);
        let (node, effects) = create(config.with_birth(birth));
        let mut outbox = Outbox::new();
        outbox.extend(effects);
        if let Some(batch) = outbox.take() {
            storage.persist(batch.records()).map_err(DriverError::Write)?;
            // The batch holds no sends and no decisions.
            let _ = batch.persisted();
        }
        Ok(Self { node, outbox, held: 0, recorder: None })
    }

    /// Restores the node that the storage holds, and has the resource [recover](Resource::recover).
    pub fn restore<H: Storage + Resource>(config: Config, handlers: &mut H) -> Result<Self, DriverError<H::Error>> {
        let mut driver = Self::load(config, handlers)?;
        let found = handlers.recover(&driver.node.promised()).map_err(DriverError::Recover)?;
        driver.take_found(found);
        Ok(driver)
    }

    /// Restores the node that `storage` holds. The resource must recover before anything else.
    pub(crate) fn load<S: Storage>(config: Config, storage: &mut S) -> Result<Self, DriverError<S::Error>> {
        let records = storage.load().map_err(DriverError::Load)?;
        Ok(Self::of(Node::restore(config, records)?))
    }

    /// Steps the node with what the resource has found prepared in itself.
    pub(crate) fn take_found(&mut self, found: Vec<Promised>) {
        for promised in found {
            // The node counts what it refuses.
            let _ = self.push(promised.into());
        }
    }

    /// The driver of a node without effects.
    pub(crate) fn of(node: Node) -> Self {
        Self { node, outbox: Outbox::new(), held: 0, recorder: None }
    }

    /// The node, for inspection.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Steps the node. Its effects wait for the next flush. An error says why the node refused the input;
    /// [`Refusal::Fenced`] says that a write has failed, after which the node is not stepped any more.
    pub fn push(&mut self, input: Input) -> Result<(), Refusal> {
        if self.is_fenced() {
            return Err(Refusal::Fenced);
        }
        let Self { node, outbox, held, recorder } = self;
        let digest = recorder.as_mut().map(|recorder| recorder.told(&input));
        let mut effects = Weighed { outbox, held, digest };
        let verdict = node.step_into(input, &mut effects);
        let digest = effects.digest;
        self.stepped(digest, verdict);
        verdict
    }

    /// Steps the node with each message of a packet, in order. Refusals are counted in its [`metrics`](Node::metrics).
    pub fn receive(&mut self, from: NodeId, messages: &[Message]) {
        if !self.is_fenced() {
            let Self { node, outbox, held, recorder } = self;
            let digest = recorder.as_mut().map(|recorder| recorder.received(from, messages));
            let mut effects = Weighed { outbox, held, digest };
            node.receive(from, messages, &mut effects);
            let digest = effects.digest;
            self.stepped(digest, Ok(()));
        }
    }

    /// Has this recorder take down, from now on, all that the node is told.
    #[cfg(feature = "record")]
    pub fn record(&mut self, mut recorder: Recorder) {
        recorder.begin(&self.node, self.outbox.number());
        self.recorder = Some(recorder);
    }

    /// What records the node, if anything does.
    #[cfg(feature = "record")]
    pub fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    /// Why nothing more is recorded: said once.
    #[cfg(feature = "tokio")]
    pub(crate) fn recorder_failure(&mut self) -> Option<alloc::string::String> {
        self.recorder.as_mut()?.take_failure()
    }

    /// Takes down what a step has led to.
    #[inline]
    fn stepped(&mut self, digest: Option<Digest>, verdict: Result<(), Refusal>) {
        if let (Some(recorder), Some(digest)) = (&mut self.recorder, digest)
            && recorder.stepped(digest, verdict)
        {
            recorder.begin(&self.node, self.outbox.number());
        }
    }

    /// Whether nothing waits to be carried out, apart from what a batch holds that is out.
    pub fn is_idle(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Whether a write has failed. This driver then does nothing more.
    pub fn is_fenced(&self) -> bool {
        self.outbox.is_fenced()
    }

    /// Whether progress waits for a write. Otherwise waiting records, if any, may ride along with a later one.
    pub fn is_urgent(&self) -> bool {
        self.outbox.is_urgent()
    }

    /// Whether any record waits to be written. It may wait a few milliseconds unless it is [urgent](Driver::is_urgent).
    pub fn has_records(&self) -> bool {
        self.outbox.has_records()
    }

    /// Whether everything that `scope` stands for is durable. With the [scope](Node::scope) of a transaction: whether
    /// no crash could make an answer about it untrue.
    pub fn is_durable(&self, scope: Scope) -> bool {
        self.outbox.is_durable(scope)
    }

    /// How many effects wait to be carried out, apart from those in a batch that is out.
    pub fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// About how many bytes everything takes that is stepped and not carried out: records, messages and decisions,
    /// also those in a batch that is out. While that is much, take nothing more: a storage that stands still would fill
    /// the memory.
    pub fn unwritten_bytes(&self) -> usize {
        self.held
    }

    /// Carries out what waits, with one write at most. If the resource answers after that write, the effects of its
    /// answer wait for the next flush: until then the driver is not [idle](Driver::is_idle). While a batch is out, this
    /// does no more than [`release`](Driver::release).
    pub fn flush<H: Storage + Transport + Resource>(&mut self, handlers: &mut H) -> Result<(), DriverError<H::Error>> {
        if self.is_fenced() {
            return Err(DriverError::Fenced);
        }
        if let Some(batch) = self.begin(handlers) {
            // A batch that could not be written is dropped, which fences the outbox.
            handlers.persist(batch.records()).map_err(DriverError::Write)?;
            self.durable(batch, handlers);
        }
        Ok(())
    }

    /// Carries out everything that rests on no unwritten record, and everything that follows from it in turn.
    pub fn release<H: Transport + Resource>(&mut self, handlers: &mut H) {
        while let Some(released) = self.outbox.take_free() {
            self.carry_out(released, handlers);
        }
    }

    /// Carries out what waits for no write, and returns the rest to be written. `None` if there is no rest, while a
    /// batch is out, and forever once a write has failed.
    ///
    /// Once all its records are durable, give the batch to [`finish`](Driver::finish). If they are not, drop it:
    /// nothing that waits for them may happen, and the driver does nothing more.
    pub fn begin<H: Transport + Resource>(&mut self, handlers: &mut H) -> Option<Batch> {
        // The votes that this asks for can still be part of this write.
        self.release(handlers);
        let batch = self.outbox.take()?;
        if let Some(recorder) = &mut self.recorder {
            recorder.batch_taken();
        }
        Some(batch)
    }

    /// Carries out what waited for `batch`, all of whose records are durable now. Returns the batch, unchanged, if it
    /// belongs to another driver.
    pub fn finish<H: Transport + Resource>(&mut self, batch: Batch, handlers: &mut H) -> Result<(), Batch> {
        if !self.outbox.owns(&batch) {
            return Err(batch);
        }
        self.durable(batch, handlers);
        Ok(())
    }

    fn durable<H: Transport + Resource>(&mut self, batch: Batch, handlers: &mut H) {
        self.held = self.held.saturating_sub(weight(batch.records()));
        self.carry_out(batch.persisted(), handlers);
    }

    fn carry_out<H: Transport + Resource>(&mut self, released: Released<Message, Decision>, handlers: &mut H) {
        let (packets, decisions) = released.into_parts();
        let left = packets.iter().map(|packet| weight(&packet.messages)).sum::<usize>();
        self.held = self.held.saturating_sub(left.saturating_add(weight(&decisions)));
        for packet in packets {
            handlers.send(packet);
        }
        for decision in decisions {
            if let Decision::Vote { transaction, .. } = &decision
                && !self.node.awaits_vote(transaction.id())
            {
                // It was given meanwhile. The resource may have carried out the outcome, too, and must not prepare again.
                continue;
            }
            if let Some(answer) = decide(decision, handlers) {
                // The node counts what it refuses.
                let _ = self.push(answer);
            }
        }
    }
}

/// An outbox, how many bytes it takes, and a digest of what comes to it, if the step is recorded.
struct Weighed<'a> {
    outbox: &'a mut Outbox<Record, Message, Decision>,
    held: &'a mut usize,
    digest: Option<Digest>,
}

impl EffectSink<Record, Message, Decision> for Weighed<'_> {
    #[inline]
    fn persist(&mut self, record: Record, urgency: Urgency) -> Scope {
        *self.held = self.held.saturating_add(record.weight());
        if let Some(digest) = &mut self.digest {
            digest.persist(&record, urgency);
        }
        self.outbox.persist(record, urgency)
    }

    #[inline]
    fn send(&mut self, to: NodeId, message: Message, after: Scope) {
        *self.held = self.held.saturating_add(message.weight());
        if let Some(digest) = &mut self.digest {
            digest.send(to, &message, after);
        }
        self.outbox.send(to, message, after);
    }

    #[inline]
    fn decide(&mut self, decision: Decision, after: Scope) {
        *self.held = self.held.saturating_add(decision.weight());
        if let Some(digest) = &mut self.digest {
            digest.decide(&decision, after);
        }
        self.outbox.decide(decision, after);
    }
}

fn weight<T: Weight>(items: &[T]) -> usize {
    items.iter().map(T::weight).sum()
}

/// Hands a decision to the resource, and returns its answer for the node.
fn decide(decision: Decision, resource: &mut impl Resource) -> Option<Input> {
    let finished = |tx, progress| (progress == Progress::Finished).then_some(Input::Finished(tx));
    match decision {
        Decision::Begun(tx) => {
            resource.begun(tx);
            None
        }
        Decision::Vote { transaction, meta } => {
            let vote = resource.vote(&transaction, &meta)?;
            Some(Input::Vote { transaction, vote })
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
        Decision::Forget(range) => {
            resource.forget(range);
            None
        }
        Decision::Named(given) => {
            resource.named(given);
            None
        }
        Decision::Epoch { number, membership } => {
            resource.epoch(number, &membership);
            None
        }
        Decision::Changed { number, is_mine } => {
            resource.changed(number, is_mine);
            None
        }
    }
}

#[cfg(all(test, feature = "record", feature = "tokio"))]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        NodeId, Quorums,
        commit::{Cluster, ClusterId, Time},
        perform::{memory::MemoryStorage, record::Options},
    };

    #[test]
    fn why_nothing_more_is_recorded_is_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let recordings = folder.path().join("recordings");
        let me = NodeId(1);
        let cluster = Cluster::new(ClusterId(*b"one that is full"), Quorums::majority([me]).unwrap(), [me]).unwrap();
        let mut driver = Driver::create(Config::new(cluster, me, 7), &mut MemoryStorage::new()).unwrap();
        let recorder = Recorder::open(&recordings, Options::default()).unwrap();
        assert_eq!(driver.recorder_failure(), None);
        fs::remove_dir(&recordings).unwrap();
        fs::write(&recordings, "in the way").unwrap();
        driver.record(recorder);
        let mut said = Vec::new();
        for now in 1..100_000 {
            driver.push(crate::commit::Input::Tick(Time(now))).unwrap();
            said.extend(driver.recorder_failure());
            if !said.is_empty() && now % 100 == 0 {
                break;
            }
            std::thread::yield_now();
        }
        assert!(said.len() == 1 && said[0].contains("recordings"), "{said:?}");
    }
}
