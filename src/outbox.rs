//! The contract of effects as types: no send and no decision can be seen before the writes that it rests on are durable.
//!
//! Records are written in numbered batches, in the order in which they came, one batch at a time. An effect waits for the
//! batch that its [`Scope`] names, and for no other.
//!
//! Invariants:
//! 1. records leave in order, each once;
//! 2. an effect is released only when the batch of its scope, and every batch before that, is durable;
//! 3. once a batch was lost, nothing is released any more.

use alloc::{sync::Arc, vec::Vec};
use core::{
    mem,
    sync::atomic::{AtomicU8, Ordering},
};

use crate::{
    NodeId, Refusal, Scope, Urgency,
    effect::{Effect, EffectSink, Machine},
};

/// The effects of any number of steps, given out in an order that keeps every promise.
///
/// [`take`](Outbox::take) shows the records of all that has gathered; writing them all at once is group commit.
/// [`Pending::persisted`] trades them for the sends and decisions behind them. A send that overtakes its write does not
/// compile:
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
/// What a machine [steps](Outbox::step) into an outbox comes with scopes: an effect that rests on nothing unwritten is
/// [free](Outbox::take_free) at once, even while a batch is being written. What is [pushed](Outbox::push) has none, so it
/// waits for every record before it, and a record that is pushed holds up everything after it.
///
/// When a write fails, drop the [`Pending`] (or call [`Pending::failed`]). The outbox is then *fenced*: what the
/// machine has in memory is ahead of what is durable, so it releases nothing more, and the machine must be restored
/// from its storage.
#[derive(Debug)]
pub struct Outbox<R, M, D> {
    /// Sends and decisions that rest on nothing unwritten.
    free: Released<M, D>,
    /// Those that wait for the batch that is out.
    behind_out: Released<M, D>,
    /// The batch that gathers.
    records: Vec<R>,
    /// Those that wait for it.
    behind_records: Released<M, D>,
    /// Whether progress waits for one of its records.
    urgent: bool,
    /// Its number. The batches before it were taken; the last of those is durable unless it is out.
    number: u64,
    /// The last batch with a record that was pushed without a scope.
    barrier: Scope,
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
    /// The node that it is for.
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
            behind_out: Released::new(),
            records: Vec::new(),
            behind_records: Released::new(),
            urgent: false,
            number: 1,
            barrier: Scope::NOTHING,
            gate: Arc::new(AtomicU8::new(OPEN)),
        }
    }

    /// Appends one effect, which waits for every record before it. A fenced outbox takes nothing more.
    pub fn push(&mut self, effect: Effect<R, M, D>) {
        match effect {
            Effect::Persist(record) => self.barrier = self.persist(record, Urgency::Urgent),
            Effect::Send { to, message } => self.send(to, message, Scope::EVERYTHING),
            Effect::Decide(decision) => self.decide(decision, Scope::EVERYTHING),
        }
    }

    /// Steps `machine` with `input` and appends its effects, with their scopes. An error says why the machine refused the
    /// input; a fenced outbox does not step it.
    pub fn step<T>(&mut self, machine: &mut T, input: T::Input) -> Result<(), Refusal>
    where
        T: Machine<Record = R, Message = M, Decision = D>,
    {
        if self.is_fenced() { Err(Refusal::Fenced) } else { machine.step_into(input, self) }
    }

    /// Whether no effect is waiting to be taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many effects are waiting to be taken: records, and what waits behind them or behind the batch that is out.
    pub fn len(&self) -> usize {
        self.records.len() + self.free.len() + self.behind_out.len() + self.behind_records.len()
    }

    /// Whether progress waits for a record that gathers: then write it now. The others may ride along with a later one.
    pub fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Whether any record gathers.
    pub fn has_records(&self) -> bool {
        !self.records.is_empty()
    }

    /// Whether everything that `scope` stands for is durable.
    pub fn is_durable(&self, scope: Scope) -> bool {
        !matches!(self.class(scope), Class::BehindOut | Class::BehindRecords) && !self.is_fenced()
    }

    /// Whether a write has failed. The machine behind this outbox must be restored from its storage.
    pub fn is_fenced(&self) -> bool {
        self.gate.load(Ordering::Acquire) == FENCED
    }

    /// Takes all that has gathered, to be written. `None` if that is nothing, while a [`Pending`] is out, and for
    /// good once the outbox is fenced. With no records there is nothing to write, but what is free may be in it.
    pub fn take(&mut self) -> Option<Pending<R, M, D>> {
        if self.is_empty() || self.gate.compare_exchange(OPEN, WRITING, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return None;
        }
        let ticket = Ticket { gate: Arc::clone(&self.gate), redeemed: false };
        // The next batch will be about as large.
        let room = Vec::with_capacity(self.records.len());
        let records = mem::replace(&mut self.records, room);
        let mut waiting = self.free.take();
        // The batch before this one is durable, or the gate would not have been open.
        waiting.append(self.behind_out.take());
        waiting.append(self.behind_records.take());
        self.urgent = false;
        self.number += 1;
        Some(Pending { records, waiting, ticket })
    }

    /// Whether `pending` is of this outbox.
    pub fn owns(&self, pending: &Pending<R, M, D>) -> bool {
        Arc::ptr_eq(&self.gate, &pending.ticket.gate)
    }

    /// Takes what may leave at once: the sends and decisions that rest on no record that is still to be written. `None` if
    /// that is nothing, and for good once the outbox is fenced.
    pub fn take_free(&mut self) -> Option<Released<M, D>> {
        self.settle();
        if self.free.is_empty() || self.is_fenced() {
            return None;
        }
        Some(self.free.take())
    }

    /// Frees what waited for a batch that has become durable since.
    #[inline]
    fn settle(&mut self) {
        if !self.behind_out.is_empty() && self.gate.load(Ordering::Acquire) == OPEN {
            let freed = self.behind_out.take();
            self.free.append(freed);
        }
    }

    /// What an effect of this scope waits for now.
    #[inline]
    fn class(&self, scope: Scope) -> Class {
        let scope = scope.0;
        if scope >= self.number && !self.records.is_empty() {
            Class::BehindRecords
        } else if scope.saturating_add(1) < self.number || self.gate.load(Ordering::Acquire) == OPEN {
            Class::Free
        } else {
            Class::BehindOut
        }
    }

    /// Where an effect of this scope waits.
    #[inline]
    fn behind(&mut self, scope: Scope) -> Option<&mut Released<M, D>> {
        // What was freed meanwhile came before this.
        self.settle();
        match self.class(scope.and(self.barrier)) {
            _ if self.is_fenced() => None,
            Class::Free => Some(&mut self.free),
            Class::BehindOut => Some(&mut self.behind_out),
            Class::BehindRecords => Some(&mut self.behind_records),
        }
    }
}

/// What an effect waits for.
enum Class {
    /// Nothing.
    Free,
    /// The batch that is out.
    BehindOut,
    /// The batch that gathers.
    BehindRecords,
}

impl<R, M, D> Default for Outbox<R, M, D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R, M, D> EffectSink<R, M, D> for Outbox<R, M, D> {
    #[inline]
    fn persist(&mut self, record: R, urgency: Urgency) -> Scope {
        if !self.is_fenced() {
            self.records.push(record);
            self.urgent |= urgency == Urgency::Urgent;
        }
        Scope(self.number)
    }

    #[inline]
    fn send(&mut self, to: NodeId, message: M, after: Scope) {
        if let Some(behind) = self.behind(after) {
            behind.send(to, message);
        }
    }

    #[inline]
    fn decide(&mut self, decision: D, after: Scope) {
        if let Some(behind) = self.behind(after) {
            behind.decisions.push(decision);
        }
    }
}

impl<R, M, D> Extend<Effect<R, M, D>> for Outbox<R, M, D> {
    fn extend<I: IntoIterator<Item = Effect<R, M, D>>>(&mut self, effects: I) {
        effects.into_iter().for_each(|effect| self.push(effect));
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
