//! The contract of effects as types: no send and no decision is visible before the writes that it rests on are durable.
//!
//! Records are written in numbered batches, in order, one batch at a time. An effect waits for the batch that its
//! [`Scope`] names, and for no later one.
//!
//! Invariants:
//! 1. records leave in order, each once;
//! 2. an effect is released only when the batch of its scope, and every batch before that, is durable;
//! 3. once a batch is lost, nothing more is released.

use alloc::{sync::Arc, vec::Vec};
use core::{
    mem,
    sync::atomic::{AtomicU8, Ordering},
};

use crate::{
    NodeId, Refusal, Scope, Urgency,
    effect::{Effect, EffectSink, Machine},
};

/// Gathers the effects of any number of steps, and releases each once the writes that it rests on are durable.
///
/// [`take`](Outbox::take) returns all records gathered so far; writing them all at once is group commit.
/// [`Pending::persisted`] exchanges them for the sends and decisions that wait for them. A send that overtakes its
/// write does not compile:
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
/// Instead:
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
/// Effects that a machine [steps](Outbox::step) into an outbox have scopes: one that rests on nothing unwritten is
/// [free](Outbox::take_free) at once, even while a batch is being written. Effects that are [pushed](Outbox::push) have
/// none: each waits for every record before it, and a pushed record holds up everything after it.
///
/// When a write fails, drop the [`Pending`] (or call [`Pending::failed`]). That *fences* the outbox: the machine's
/// memory is ahead of what is durable, so nothing more is released, and the machine must be restored from its storage.
#[derive(Debug)]
pub struct Outbox<R, M, D> {
    /// Sends and decisions that rest on nothing unwritten.
    free: Released<M, D>,
    /// Sends and decisions that wait for the batch being written.
    behind_out: Released<M, D>,
    /// The records of the next batch.
    records: Vec<R>,
    /// Sends and decisions that wait for the next batch.
    behind_records: Released<M, D>,
    /// Whether the next batch holds an urgent record.
    urgent: bool,
    /// The number of the next batch. All batches before it were taken; the last of them is durable unless it is being
    /// written.
    number: u64,
    /// The last batch with a record that was pushed.
    barrier: Scope,
    gate: Arc<AtomicU8>,
}

/// Records to write, and the sends and decisions that wait for them.
///
/// It may move to another thread while the machine keeps stepping. Dropping it fences its outbox.
///
/// See [`Outbox`] for an example.
#[derive(Debug)]
#[must_use = "a Pending that is dropped fences its outbox"]
pub struct Pending<R, M, D> {
    records: Vec<R>,
    waiting: Released<M, D>,
    ticket: Ticket,
}

/// Sends and decisions whose records are durable.
///
/// See [`Outbox`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "these sends and decisions are due"]
pub struct Released<M, D> {
    packets: Vec<Packet<M>>,
    decisions: Vec<D>,
}

/// Everything that one release sends to one node, in order.
///
/// See [`Outbox`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Packet<M> {
    /// The node that the messages are for.
    pub to: NodeId,
    /// The messages, in the order in which they were sent.
    pub messages: Vec<M>,
}

const OPEN: u8 = 0;
const WRITING: u8 = 1;
const FENCED: u8 = 2;

/// The right to reopen the gate. If it is dropped unused, the gate stays shut for good.
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

    /// Appends one effect, which waits for every record before it. A fenced outbox ignores it.
    pub fn push(&mut self, effect: Effect<R, M, D>) {
        match effect {
            Effect::Persist(record) => self.barrier = self.persist(record, Urgency::Urgent),
            Effect::Send { to, message } => self.send(to, message, Scope::EVERYTHING),
            Effect::Decide(decision) => self.decide(decision, Scope::EVERYTHING),
        }
    }

    /// Steps `machine` with `input` and appends its effects, with their scopes. An error says why the machine refused
    /// the input; a fenced outbox returns [`Refusal::Fenced`] without stepping it.
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

    /// The number of the next batch: the scope of the records that come now.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// How many effects wait to be taken: gathered records, and all sends and decisions that are not in a [`Pending`].
    pub fn len(&self) -> usize {
        self.records.len() + self.free.len() + self.behind_out.len() + self.behind_records.len()
    }

    /// Whether progress waits for a gathered record: if so, write now. Other records may ride along with a later one.
    pub fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Whether any record is gathered.
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

    /// Takes everything gathered, to be written. `None` if there is nothing, while a [`Pending`] is out, and forever
    /// once the outbox is fenced. The result may hold no records, only sends and decisions that are free.
    pub fn take(&mut self) -> Option<Pending<R, M, D>> {
        if self.is_empty() || self.gate.compare_exchange(OPEN, WRITING, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return None;
        }
        let ticket = Ticket { gate: Arc::clone(&self.gate), redeemed: false };
        // Expect the next batch to be about as large.
        let room = Vec::with_capacity(self.records.len());
        let records = mem::replace(&mut self.records, room);
        let mut waiting = self.free.take();
        // The batch before this one is durable, or the gate would not be open.
        waiting.append(self.behind_out.take());
        waiting.append(self.behind_records.take());
        self.urgent = false;
        self.number += 1;
        Some(Pending { records, waiting, ticket })
    }

    /// Whether `pending` belongs to this outbox.
    pub fn owns(&self, pending: &Pending<R, M, D>) -> bool {
        Arc::ptr_eq(&self.gate, &pending.ticket.gate)
    }

    /// Takes the sends and decisions that may leave at once, because they rest on no unwritten record. `None` if there
    /// are none, and forever once the outbox is fenced.
    pub fn take_free(&mut self) -> Option<Released<M, D>> {
        self.settle();
        if self.free.is_empty() || self.is_fenced() {
            return None;
        }
        Some(self.free.take())
    }

    /// Frees what waited for a batch that is durable now.
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

    /// Where to put an effect of this scope; nowhere once the outbox is fenced.
    #[inline]
    fn behind(&mut self, scope: Scope) -> Option<&mut Released<M, D>> {
        // Effects that were freed meanwhile precede this one.
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
    /// The batch being written.
    BehindOut,
    /// The next batch.
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

    /// Reports that every record is durable, and returns what waited for that.
    pub fn persisted(self) -> Released<M, D> {
        self.ticket.redeem();
        self.waiting
    }

    /// Reports that the write failed, or may have. Fences the outbox.
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

    /// The packets and the decisions, by value.
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

    /// Appends `more`, which is released together with this, and after it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_that_come_now_have_the_number_of_the_next_batch() {
        let mut outbox = Outbox::<u8, (), ()>::new();
        let mut numbers = Vec::new();
        for record in 0..4 {
            numbers.push(outbox.number());
            assert_eq!(outbox.persist(record, Urgency::Urgent), Scope(outbox.number()));
            outbox.take().map(Pending::persisted);
        }
        assert_eq!(numbers, [1, 2, 3, 4]);
    }
}
