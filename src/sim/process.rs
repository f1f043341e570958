//! One node of a world, up or down, and what is around it: its disk, its clock, its resource.

use super::{Actor, disk::Disk};
use crate::{
    Outbox, Pending, Released, TxId,
    commit::{Config, Decision, Effect, Message, Record, Time},
};

pub(super) struct Process<A> {
    /// None while it is down.
    pub(super) actor: Option<A>,
    outbox: Outbox<Record, Message, Decision>,
    pub(super) writing: Option<Pending<Record, Message, Decision>>,
    pub(super) disk: Disk,
    clock: Time,
    /// What time the node was told last, since it started.
    told: Option<Time>,
    /// What the resource is asked to vote on.
    pub(super) asked: Vec<TxId>,
    /// What the resource was handed, and has not carried out.
    pub(super) handed: Vec<TxId>,
}

impl<A: Actor> Process<A> {
    /// A node that was never there before.
    pub(super) fn new(config: Config) -> Self {
        let mut process = Self {
            actor: None,
            outbox: Outbox::new(),
            writing: None,
            disk: Disk::default(),
            clock: Time(0),
            told: None,
            asked: Vec::new(),
            handed: Vec::new(),
        };
        process.create(config);
        process
    }

    /// Makes the node, for the first time as far as its disk knows.
    pub(super) fn create(&mut self, config: Config) {
        let (actor, effects) = A::create(config);
        self.start(actor);
        self.gather(effects);
    }

    /// A node that starts. Its clock may begin anywhere.
    pub(super) fn start(&mut self, actor: A) {
        self.actor = Some(actor);
        (self.clock, self.told) = (Time(0), None);
    }

    /// Keeps what is to be written, sent and decided.
    pub(super) fn gather(&mut self, effects: impl IntoIterator<Item = Effect>) {
        self.outbox.extend(effects);
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
            Decision::Vote { transaction, .. } => self.asked.push(transaction.id()),
            Decision::Commit { transaction, .. } | Decision::Abort { transaction, .. } => {
                let tx = transaction.id();
                self.asked.retain(|asked| *asked != tx);
                if !self.handed.contains(&tx) {
                    self.handed.push(tx);
                }
            }
            Decision::Begun(_) | Decision::Decided { .. } | Decision::Completed { .. } => {}
        }
    }
}
