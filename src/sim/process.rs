//! One node of a world, up or down, and what is around it: its disk, its clock, its resource.

use std::collections::BTreeSet;

use super::{Actor, disk::Disk};
use crate::{
    EffectSink, NodeId, Outbox, Pending, Refusal, Released, Scope, TxId, Urgency,
    commit::{Config, Decision, Effect, Input, Key, Message, Record, Time, Transaction},
};

pub(super) struct Process<A> {
    /// None while it is down.
    pub(super) actor: Option<A>,
    outbox: Outbox<Record, Message, Decision>,
    /// Whether every effect waits for all records before it.
    in_order: bool,
    pub(super) writing: Option<Pending<Record, Message, Decision>>,
    pub(super) disk: Disk,
    clock: Time,
    /// What time the node was told last, since it started.
    told: Option<Time>,
    /// Whether it came to the cluster later.
    joins: bool,
    /// Whether it has met the others, since it started.
    pub(super) acquainted: bool,
    /// What the resource is asked to vote on.
    pub(super) asked: Vec<Transaction>,
    /// What the resource was handed, and has not carried out.
    pub(super) handed: Vec<TxId>,
    /// What the resource has prepared. It has a disk of its own, so this outlives everything.
    pub(super) held: BTreeSet<TxId>,
    /// What it does not find of that for now.
    pub(super) hidden: BTreeSet<TxId>,
    /// What the resource has carried out the outcome of.
    pub(super) ended: BTreeSet<TxId>,
}

impl<A: Actor> Process<A> {
    /// A node that was never there before.
    pub(super) fn new(config: Config, in_order: bool) -> Self {
        let mut process = Self::blank(in_order);
        process.create(config);
        process
    }

    fn blank(in_order: bool) -> Self {
        Self {
            actor: None,
            outbox: Outbox::new(),
            in_order,
            writing: None,
            disk: Disk::default(),
            clock: Time(0),
            told: None,
            joins: false,
            acquainted: false,
            asked: Vec::new(),
            handed: Vec::new(),
            held: BTreeSet::new(),
            hidden: BTreeSet::new(),
            ended: BTreeSet::new(),
        }
    }

    /// Makes the node, for the first time as far as its disk knows.
    pub(super) fn create(&mut self, config: Config) {
        let (actor, effects) = A::create(config);
        self.start(actor);
        self.outbox.extend(effects);
    }

    /// A node that comes to a cluster later.
    pub(super) fn join(config: Config, in_order: bool) -> Self {
        let mut process = Self { joins: true, ..Self::blank(in_order) };
        let (actor, effects) = A::join(config);
        process.start(actor);
        process.outbox.extend(effects);
        process
    }

    /// A node that starts. Its clock may begin anywhere.
    pub(super) fn start(&mut self, actor: A) {
        self.actor = Some(actor);
        (self.clock, self.told, self.acquainted) = (Time(0), None, false);
    }

    /// Lets the node take `input`, and keeps what is to be written, sent and decided, which is added to `effects` as
    /// well. `None` while it is down.
    pub(super) fn take(&mut self, input: Input, effects: &mut Vec<Effect>) -> Option<Result<(), Refusal>> {
        let mut gathering = Gathering { outbox: &mut self.outbox, in_order: self.in_order, effects };
        Some(self.actor.as_mut()?.step_into(input, &mut gathering))
    }

    /// Whether it has come into being: a founder has, once it is in epoch 0, and a newcomer once it has its name. Before that
    /// it has said nothing, and may be created again.
    pub(super) fn is_known(&self) -> bool {
        let has_epoch = self.disk.get(Key::Epoch).is_some();
        has_epoch || self.joins && !self.disk.is_blank()
    }

    /// Whether anything has gathered.
    pub(super) fn has_gathered(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Loses all that is in memory. Returns what was being written.
    pub(super) fn stop(&mut self) -> Vec<Record> {
        self.actor = None;
        self.outbox = Outbox::new();
        self.asked.clear();
        self.handed.clear();
        self.writing.take().map(|pending| pending.records().to_vec()).unwrap_or_default()
    }

    /// What rests on nothing unwritten any more. Where effects are carried out in order, it waits for the next write.
    pub(super) fn take_free(&mut self) -> Option<Released<Message, Decision>> {
        if self.in_order { None } else { self.outbox.take_free() }
    }

    /// Begins to write what has gathered. Returns what need not wait for that.
    pub(super) fn write(&mut self) -> Option<Released<Message, Decision>> {
        if self.writing.is_some() {
            return None;
        }
        let free = self.outbox.take_free();
        self.writing = self.outbox.take();
        free
    }

    /// What time it is.
    pub(super) fn clock(&self) -> Time {
        self.clock
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, by: u64) {
        self.clock = Time(self.clock.0.saturating_add(by));
    }

    /// What time it is, for the node to be told; `None` if it knows.
    pub(super) fn tell_time(&mut self) -> Option<Time> {
        let news = self.told != Some(self.clock);
        self.told = Some(self.clock);
        news.then_some(self.clock)
    }

    /// Whether a disk that is cut down to a snapshot now would miss nothing.
    pub(super) fn is_synced(&self) -> bool {
        !self.has_gathered() && self.writing.is_none() && !self.disk.is_blank()
    }

    /// What the resource is asked or told.
    pub(super) fn hand_over(&mut self, decision: &Decision) {
        match decision {
            Decision::Vote { transaction, .. } => {
                // It may have voted by now, if effects are carried out in order.
                let votes = self.actor.as_ref().is_some_and(|actor| actor.node().awaits_vote(transaction.id()));
                if votes && !self.asked.contains(transaction) {
                    self.asked.push(transaction.clone());
                }
            }
            Decision::Commit { transaction, .. } | Decision::Abort { transaction, .. } => {
                // A resource that still considers its vote may give it all the same.
                let tx = transaction.id();
                if !self.handed.contains(&tx) {
                    self.handed.push(tx);
                }
            }
            Decision::Forget(range) => {
                self.asked.retain(|asked| !range.contains(asked.id()));
                self.ended.retain(|tx| !range.contains(*tx));
            }
            Decision::Begun(_)
            | Decision::Named(_)
            | Decision::Epoch { .. }
            | Decision::Changed { .. }
            | Decision::Decided { .. }
            | Decision::Completed { .. } => {}
        }
    }
}

/// The way of effects into an outbox: with their scopes, or without.
struct Gathering<'a> {
    outbox: &'a mut Outbox<Record, Message, Decision>,
    in_order: bool,
    /// All of them, in order.
    effects: &'a mut Vec<Effect>,
}

impl EffectSink<Record, Message, Decision> for Gathering<'_> {
    fn persist(&mut self, record: Record, urgency: Urgency) -> Scope {
        self.effects.push(Effect::Persist(record.clone()));
        if self.in_order {
            self.outbox.push(Effect::Persist(record));
            return Scope::NOTHING;
        }
        self.outbox.persist(record, urgency)
    }

    fn send(&mut self, to: NodeId, message: Message, after: Scope) {
        self.effects.push(Effect::Send { to, message: message.clone() });
        self.outbox.send(to, message, if self.in_order { Scope::EVERYTHING } else { after });
    }

    fn decide(&mut self, decision: Decision, after: Scope) {
        self.effects.push(Effect::Decide(decision.clone()));
        self.outbox.decide(decision, if self.in_order { Scope::EVERYTHING } else { after });
    }
}
