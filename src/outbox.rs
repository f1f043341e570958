//! The contract of effects as types: no send and no decision can be seen before the writes ahead of it are durable.

use alloc::{sync::Arc, vec::Vec};
use core::{
    mem,
    sync::atomic::{AtomicU8, Ordering},
};

use crate::{
    NodeId, Refusal,
    effect::{Effect, Machine},
};

/// The effects of any number of steps, given out in the order that keeps every promise.
///
/// [`take`](Outbox::take) shows the records of all that has gathered; writing them all at once is group commit.
/// [`Pending::persisted`] trades them for the sends and decisions. A send that overtakes its write does not compile:
///
/// ```compile_fail,E0599
/// use synod::{Effect, NodeId, Outbox};
/// let mut outbox = Outbox::<u8, &str, ()>::new();
/// outbox.push(Effect::Persist(1));
/// outbox.push(Effect::Send { to: NodeId(2), message: "promise" });
/// let pending = outbox.take().unwrap();
/// pending.packets(); // no such method: only `Released` has it
/// ```
///
/// In its place:
///
/// ```
/// # use synod::{Effect, NodeId, Outbox};
/// # let mut outbox = Outbox::<u8, &str, ()>::new();
/// # outbox.push(Effect::Persist(1));
/// # outbox.push(Effect::Send { to: NodeId(2), message: "promise" });
/// let pending = outbox.take().unwrap();
/// assert_eq!(pending.records(), [1]); // write them, then
/// let released = pending.persisted();
/// assert_eq!(released.packets()[0].to, NodeId(2));
/// ```
///
/// When a write fails, drop the [`Pending`] (or call [`Pending::failed`]). The outbox is then *fenced*: what the
/// machine has in memory is ahead of what is durable, so it releases nothing more, and the machine must be restored
/// from its storage.
#[derive(Debug)]
pub struct Outbox<R, M, D> {
    /// The sends and decisions ahead of the first record.
    free: Released<M, D>,
    records: Vec<R>,
    /// The sends and decisions behind the first record.
    waiting: Released<M, D>,
    /// Room for the effects of one step. Empty between steps.
    step: Vec<Effect<R, M, D>>,
    gate: Arc<AtomicU8>,
}

/// Records that are being written, and behind them what waits for that.
///
/// It may move to another thread while the machine goes on stepping. Dropped, it fences its outbox.
#[derive(Debug)]
#[must_use = "a Pending that is dropped fences its outbox"]
pub struct Pending<R, M, D> {
    records: Vec<R>,
    waiting: Released<M, D>,
    ticket: Ticket,
}

/// Sends and decisions whose records are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "these sends and decisions are due"]
pub struct Released<M, D> {
    packets: Vec<Packet<M>>,
    decisions: Vec<D>,
}

/// All that one release sends to one node, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Packet<M> {
    /// Whom it is for.
    pub to: NodeId,
    /// The messages, in the order in which they were sent.
    pub messages: Vec<M>,
}

const OPEN: u8 = 0;
const WRITING: u8 = 1;
const FENCED: u8 = 2;

/// The right to open the gate again; lost, the gate stays shut for good.
#[derive(Debug)]
struct Ticket {
    gate: Arc<AtomicU8>,
    redeemed: bool,
}

impl<R, M, D> Outbox<R, M, D> {
    /// An empty outbox.
    pub fn new() -> Self {
        Self {
            free: Released::new(),
            records: Vec::new(),
            waiting: Released::new(),
            step: Vec::new(),
            gate: Arc::new(AtomicU8::new(OPEN)),
        }
    }

    /// Appends one effect. A fenced outbox takes nothing more.
    pub fn push(&mut self, effect: Effect<R, M, D>) {
        self.extend([effect]);
    }

    /// Steps `machine` with `input` and appends its effects. An error says why the input was refused.
    pub fn step<T>(&mut self, machine: &mut T, input: T::Input) -> Result<(), Refusal>
    where
        T: Machine<Record = R, Message = M, Decision = D>,
    {
        let mut effects = mem::take(&mut self.step);
        let result = machine.step_into(input, &mut effects);
        self.extend(effects.drain(..));
        self.step = effects;
        result
    }

    /// Whether no effect is waiting to be taken.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.free.is_empty() && self.waiting.is_empty()
    }

    /// How many effects are waiting to be taken.
    pub fn len(&self) -> usize {
        self.records.len() + self.free.len() + self.waiting.len()
    }

    /// Whether a write has failed. The machine behind this outbox must be restored from its storage.
    pub fn is_fenced(&self) -> bool {
        self.gate.load(Ordering::Acquire) == FENCED
    }

    /// Takes all that has gathered, to be written. `None` if that is nothing, while a [`Pending`] is out, and for
    /// good once the outbox is fenced.
    pub fn take(&mut self) -> Option<Pending<R, M, D>> {
        if self.is_empty() || self.gate.compare_exchange(OPEN, WRITING, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return None;
        }
        let ticket = Ticket { gate: Arc::clone(&self.gate), redeemed: false };
        // The next batch will be about as large.
        let room = Vec::with_capacity(self.records.len());
        let records = mem::replace(&mut self.records, room);
        let mut waiting = self.free.take();
        waiting.append(self.waiting.take());
        Some(Pending { records, waiting, ticket })
    }

    /// Whether `pending` is of this outbox.
    pub fn owns(&self, pending: &Pending<R, M, D>) -> bool {
        Arc::ptr_eq(&self.gate, &pending.ticket.gate)
    }

    /// Takes what may leave at once: the sends and decisions ahead of the first record. `None` if that is nothing,
    /// while a [`Pending`] is out (they might depend on its records), and for good once the outbox is fenced.
    pub fn take_free(&mut self) -> Option<Released<M, D>> {
        if self.free.is_empty() || self.gate.load(Ordering::Acquire) != OPEN {
            return None;
        }
        Some(self.free.take())
    }
}

impl<R, M, D> Default for Outbox<R, M, D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R, M, D> Extend<Effect<R, M, D>> for Outbox<R, M, D> {
    fn extend<I: IntoIterator<Item = Effect<R, M, D>>>(&mut self, effects: I) {
        if self.is_fenced() {
            return;
        }
        for effect in effects {
            let behind = if self.records.is_empty() { &mut self.free } else { &mut self.waiting };
            match effect {
                Effect::Persist(record) => self.records.push(record),
                Effect::Send { to, message } => behind.send(to, message),
                Effect::Decide(decision) => behind.decisions.push(decision),
            }
        }
    }
}

impl<R, M, D> Pending<R, M, D> {
    /// The records to make durable, in order. A later record of a key replaces an earlier one.
    pub fn records(&self) -> &[R] {
        &self.records
    }

    /// Says that every record is durable, and gets what was waiting for that.
    pub fn persisted(self) -> Released<M, D> {
        self.ticket.redeem();
        self.waiting
    }

    /// Says that the write failed, or may have. Fences the outbox.
    pub fn failed(self) {}
}

impl<M, D> Released<M, D> {
    /// The sends: one packet per destination, in the order of first use.
    pub fn packets(&self) -> &[Packet<M>] {
        &self.packets
    }

    /// The decisions, in order.
    pub fn decisions(&self) -> &[D] {
        &self.decisions
    }

    /// The packets and the decisions, to be moved on.
    pub fn into_parts(self) -> (Vec<Packet<M>>, Vec<D>) {
        (self.packets, self.decisions)
    }

    fn new() -> Self {
        Self { packets: Vec::new(), decisions: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.packets.is_empty() && self.decisions.is_empty()
    }

    fn len(&self) -> usize {
        self.packets.iter().map(|packet| packet.messages.len()).sum::<usize>() + self.decisions.len()
    }

    fn take(&mut self) -> Self {
        mem::replace(self, Self::new())
    }

    /// What is released with this, and after it.
    fn append(&mut self, mut more: Self) {
        if self.is_empty() {
            *self = more;
            return;
        }
        for packet in more.packets {
            match self.packet(packet.to) {
                Some(mine) => mine.messages.extend(packet.messages),
                None => self.packets.push(packet),
            }
        }
        self.decisions.append(&mut more.decisions);
    }

    fn send(&mut self, to: NodeId, message: M) {
        match self.packet(to) {
            Some(packet) => packet.messages.push(message),
            None => self.packets.push(Packet { to, messages: alloc::vec![message] }),
        }
    }

    fn packet(&mut self, to: NodeId) -> Option<&mut Packet<M>> {
        self.packets.iter_mut().find(|packet| packet.to == to)
    }
}

impl Ticket {
    fn redeem(mut self) {
        self.redeemed = true;
        self.gate.store(OPEN, Ordering::Release);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.redeemed {
            self.gate.store(FENCED, Ordering::Release);
        }
    }
}
