//! A node: every role of one process, in many transactions at once, behind one `step`.
//!
//! It finds the transaction that an input is about, lets its roles take it, passes what they say to each other on
//! without a packet, keeps their time, and drops transactions that are over. It must never answer for a transaction
//! that it has dropped as if it were new.
//!
//! Invariants:
//! 1. the first record that it ever writes says whose storage this is, and without it nothing is restored;
//! 2. a transaction leaves memory only with the write that adds it to the retired ranges;
//! 3. nothing depends on the order of the map of open transactions.

mod admission;
mod restore;
mod retirement;
mod view;

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use core::mem;

pub use self::view::{InDoubt, Status};
use self::{
    admission::{Work, check_room},
    retirement::Announcement,
};
use super::{
    Config, Decision, Effect, Input, Message, Metrics, Record, Time, Transaction,
    message::hand_on,
    open::{Common, Open},
    reserve::Reserve,
    retired::Retired,
    table::Table,
    timers::{Role, Timers},
};
use crate::{EffectSink, Machine, NodeId, Refusal, TxId};

/// How often the roles here may answer each other within a step. The longest exchange takes seven turns: an inquiry, the two
/// phases of a ballot and their answers, the outcome, and that it is carried out.
const TURNS: usize = 16;

/// All roles of one process: whichever the configuration and each transaction give it.
///
/// It takes an [`Input`] and yields [`Effect`]s, to be carried out in order; [`Outbox`](crate::Outbox) sees to that. It
/// never fails: what it cannot take it refuses, says why, and counts in [`metrics`](Self::metrics). Time is what [`Input::Tick`] tells it, and [`deadline`](Self::deadline) says when the next one matters.
#[derive(Clone, Debug)]
pub struct Node {
    config: Config,
    open: Table,
    /// Durable.
    retired: Retired,
    /// What the other acceptors and transaction managers have not acknowledged of what was retired here.
    announced: BTreeMap<NodeId, Retired>,
    announcement: Announcement,
    /// Durable, as `reserved`.
    sequence: Reserve,
    common: Common,
    /// Messages from one role here to another. Empty between steps; kept for its room.
    local: Vec<Message>,
    now: Option<Time>,
    /// Effects that the next step has to begin with.
    owed: Vec<Effect>,
    /// Empty between steps; kept for their room.
    due: Vec<(Time, TxId, Role)>,
    over: Vec<TxId>,
    effects: Vec<Effect>,
}

impl Node {
    /// A new node, of an id that was never used before in its cluster, and its first effect: the record of its identity.
    pub fn create(config: Config) -> (Self, Vec<Effect>) {
        let identity = Record::Identity { cluster: config.cluster.id(), node: config.id };
        (Self::blank(config), alloc::vec![Effect::Persist(identity)])
    }

    fn blank(config: Config) -> Self {
        Self {
            open: Table::new(config.seed),
            config,
            retired: Retired::default(),
            announced: BTreeMap::new(),
            announcement: Announcement::default(),
            sequence: Reserve::UNUSED,
            common: Common { rounds: Reserve::UNUSED, timers: Timers::default(), metrics: Metrics::default() },
            local: Vec::new(),
            now: None,
            owed: Vec::new(),
            due: Vec::new(),
            over: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A name for a new transaction; `None` when the numbers are used up.
    ///
    /// It comes from a durably reserved block: the reservation, where one is needed, is the first effect of the next
    /// step. Show the name to the world only after that, as a transaction that is begun with it does by itself.
    /// One that is never used leaves a gap in what all nodes remember of what is over.
    pub fn allocate(&mut self) -> Option<TxId> {
        let (seq, reserved) = self.sequence.take(0)?;
        self.owed.extend(reserved.map(|reserved| Effect::Persist(Record::Sequence { reserved })));
        Some(TxId { origin: self.config.id, seq })
    }

    /// When the next [`Input::Tick`] matters. Timers armed since the last one make that at once.
    pub fn deadline(&self) -> Option<Time> {
        let announcing = self.is_announcing();
        if self.common.timers.armed() > 0 || (announcing && self.announcement.due.is_none()) {
            return Some(self.now.unwrap_or_default());
        }
        let announcement = self.announcement.due.filter(|_| announcing);
        self.common.timers.first_due().into_iter().chain(announcement).min()
    }

    fn take(&mut self, input: Input, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        match input {
            Input::Receive { from, .. } if from == self.config.id => Err(Refusal::FromSelf),
            Input::Receive { from, message } => self.receive(from, &message, effects),
            Input::Begin(transaction) => self.begin(transaction, effects),
            Input::Vote { tx, vote } => {
                let open = known(&mut self.open, &self.retired, tx)?;
                open.hear_resource(&self.config, &mut self.common, |rm| rm.vote(vote, effects))
            }
            Input::Finished(tx) => {
                let open = known(&mut self.open, &self.retired, tx)?;
                open.hear_resource(&self.config, &mut self.common, |rm| rm.finish(effects))
            }
            Input::Inquire(tx) => {
                let open = known(&mut self.open, &self.retired, tx)?;
                open.inquire(&self.config, &mut self.common, effects)
            }
            Input::Tick(now) if self.now.is_some_and(|last| now < last) => Err(Refusal::TimeWentBack),
            Input::Tick(now) => {
                self.tick(now, effects);
                Ok(())
            }
        }
    }

    fn begin(&mut self, transaction: Transaction, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        self.check_begin(&transaction)?;
        match self.open.get_mut(transaction.id()) {
            Some(open) if open.transaction != transaction => Err(Refusal::OtherTransaction),
            Some(open) => open.begin(&self.config, &mut self.common, effects),
            None if self.retired.contains(transaction.id()) => Err(Refusal::Retired),
            None => {
                check_room(&self.config, self.open.len(), &transaction, Work::New)?;
                let mut open = Box::new(Open::new(transaction));
                open.begin(&self.config, &mut self.common, effects)?;
                self.open.insert(open);
                Ok(())
            }
        }
    }

    fn receive(&mut self, from: NodeId, message: &Message, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let Some(transaction) = message.transaction() else { return self.receive_range(from, message, effects) };
        let Some(open) = self.open.get_mut(transaction.id()) else {
            return self.receive_first(from, message, transaction, effects);
        };
        if open.transaction != *transaction {
            return Err(Refusal::OtherTransaction);
        }
        let result = open.receive(&self.config, from, message, &mut self.common, effects);
        if open.is_completed() {
            self.complete(transaction.id(), effects);
        }
        result
    }

    /// A message about a transaction that is not open here.
    fn receive_first(
        &mut self,
        from: NodeId,
        message: &Message,
        transaction: &Transaction,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let tx = transaction.id();
        if self.retired.contains(tx) {
            if from != self.config.id {
                effects.push(Effect::Send { to: from, message: self.retired_reply(tx) });
            }
            return Err(Refusal::Retired);
        }
        check_room(&self.config, self.open.len(), transaction, Work::of(message))?;
        let mut open = Box::new(Open::new(transaction.clone()));
        open.receive(&self.config, from, message, &mut self.common, effects)?;
        if self.open.insert(open).is_completed() {
            self.complete(tx, effects);
        }
        Ok(())
    }

    /// A message about transactions that are over.
    fn receive_range(&mut self, from: NodeId, message: &Message, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        match message {
            Message::Retired { range } => {
                self.check_may_retire(from, *range)?;
                self.note_retired(from, *range, effects)
            }
            Message::RetiredNoted { range } => {
                if !self.config.cluster.keeps_retired(from) {
                    return Err(Refusal::NotAnAcceptor);
                }
                self.acknowledged(from, *range);
                Ok(())
            }
            _ => Err(Refusal::NotForThisRole),
        }
    }

    fn tick(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.now = Some(now);
        self.start_timers(now);
        let mut due = mem::take(&mut self.due);
        self.common.timers.take_due(now, &mut due);
        for (at, tx, role) in due.drain(..) {
            if let Some(open) = self.open.get_mut(tx) {
                open.timeout(role, at, &mut self.common, effects);
            }
        }
        self.due = due;
        self.announce(now, effects);
    }

    fn start_timers(&mut self, now: Time) {
        let Common { timers, .. } = &mut self.common;
        for _ in 0..timers.armed() {
            if let Some(open) = timers.next_armed().and_then(|tx| self.open.get_mut(tx)) {
                open.start(now, &self.config, timers);
            }
        }
        timers.sweep(|due, tx, role| self.open.get(tx).is_some_and(|open| open.waits_until(role, due)));
    }

    /// Lets the roles here have what they said to each other, until they have nothing more to say.
    fn pass_on(&mut self, effects: &mut Vec<Effect>) {
        for _ in 0..TURNS {
            let start = effects.len();
            let mut local = mem::take(&mut self.local);
            for message in local.drain(..) {
                if let Err(refusal) = self.receive(self.config.id, &message, effects) {
                    self.common.metrics.refuse(refusal);
                }
            }
            self.local = local;
            if !self.keep_local(start, effects) {
                return;
            }
        }
        // They should have come to an end. What they say beyond that is lost, as any message may be.
        self.local.clear();
    }

    /// Keeps back what is for another role here, and counts what is for the world. Returns whether anything is kept.
    fn keep_local(&mut self, start: usize, effects: &mut Vec<Effect>) -> bool {
        let (id, metrics, mut local) = (self.config.id, &mut self.common.metrics, false);
        for effect in effects.get(start..).unwrap_or_default() {
            let count = match effect {
                Effect::Send { to, .. } if *to == id => {
                    local = true;
                    continue;
                }
                Effect::Send { .. } => &mut metrics.sends,
                Effect::Persist(_) => &mut metrics.writes,
                Effect::Decide(_) => &mut metrics.decisions,
            };
            *count = count.saturating_add(1);
        }
        if local {
            let local = effects.extract_if(start.., |effect| matches!(effect, Effect::Send { to, .. } if *to == id));
            self.local.extend(local.filter_map(|effect| match effect {
                Effect::Send { message, .. } => Some(message),
                Effect::Persist(_) | Effect::Decide(_) => None,
            }));
        }
        local
    }
}

/// The open transaction `tx`, or why there is none.
fn known<'a>(open: &'a mut Table, retired: &Retired, tx: TxId) -> Result<&'a mut Open, Refusal> {
    let unknown = || if retired.contains(tx) { Refusal::Retired } else { Refusal::UnknownTransaction };
    open.get_mut(tx).ok_or_else(unknown)
}

impl Machine for Node {
    type Input = Input;
    type Record = Record;
    type Message = Message;
    type Decision = Decision;

    fn step_into(
        &mut self,
        input: Input,
        effects: &mut impl EffectSink<Record, Message, Decision>,
    ) -> Result<(), Refusal> {
        let mut list = mem::take(&mut self.effects);
        list.append(&mut self.owed);
        self.common.metrics.steps = self.common.metrics.steps.saturating_add(1);
        let tick = if let Input::Tick(now) = input { Some(now) } else { None };
        let result = self.take(input, &mut list);
        if self.keep_local(0, &mut list) {
            self.pass_on(&mut list);
        }
        match (result, tick) {
            (Err(refusal), _) => self.common.metrics.refuse(refusal),
            (Ok(()), Some(now)) => self.start_timers(now),
            (Ok(()), None) => {}
        }
        hand_on(list.drain(..), effects);
        self.effects = list;
        result
    }
}
