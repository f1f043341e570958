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

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

use foldhash::quality::FixedState;
use hashbrown::HashMap;

pub use self::view::{InDoubt, Status};
use self::{admission::Work, retirement::Announcement};
use super::{
    Config, Decision, Effect, Input, Message, Metrics, Record, ResourceManager, Time, Transaction,
    open::{Open, mix},
    reserve::Reserve,
    retired::Retired,
    timers::{Role, Timers},
};
use crate::{Machine, NodeId, Refusal, TxId};

/// All roles of one process: whichever the configuration and each transaction give it.
///
/// It takes an [`Input`] and yields [`Effect`]s, to be carried out in order; [`Outbox`](crate::Outbox) sees to that. It
/// never fails: what it cannot take it refuses, counts in [`metrics`](Self::metrics), and [`check`](Self::check) says
/// why. Time is what [`Input::Tick`] tells it, and [`deadline`](Self::deadline) says when the next one matters.
#[derive(Clone, Debug)]
pub struct Node {
    config: Config,
    open: HashMap<TxId, Open, FixedState>,
    /// Durable.
    retired: Retired,
    /// What the other acceptors and transaction managers have not acknowledged of what was retired here.
    announced: BTreeMap<NodeId, Retired>,
    announcement: Announcement,
    /// Durable, as `reserved`.
    sequence: Reserve,
    /// Durable, as `reserved`.
    rounds: Reserve,
    timers: Timers,
    now: Option<Time>,
    metrics: Metrics,
    /// Effects that the next step has to begin with.
    owed: Vec<Effect>,
    /// Messages from one role here to another.
    local: VecDeque<Message>,
    /// Empty between steps; kept for their room.
    scratch: Vec<Effect>,
    due: Vec<(TxId, Role)>,
}

impl Node {
    /// A new node, of an id that was never used before in its cluster, and its first effect: the record of its identity.
    pub fn create(config: Config) -> (Self, Vec<Effect>) {
        let identity = Record::Identity { cluster: config.cluster.id(), node: config.id };
        (Self::blank(config), alloc::vec![Effect::Persist(identity)])
    }

    fn blank(config: Config) -> Self {
        Self {
            open: HashMap::with_hasher(FixedState::with_seed(mix(config.seed))),
            config,
            retired: Retired::default(),
            announced: BTreeMap::new(),
            announcement: Announcement::default(),
            sequence: Reserve::UNUSED,
            rounds: Reserve::UNUSED,
            timers: Timers::default(),
            now: None,
            metrics: Metrics::default(),
            owed: Vec::new(),
            local: VecDeque::new(),
            scratch: Vec::new(),
            due: Vec::new(),
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
    pub fn allocate(&mut self) -> Option<TxId> {
        let (seq, reserved) = self.sequence.take(0)?;
        self.owed.extend(reserved.map(|reserved| Effect::Persist(Record::Sequence { reserved })));
        Some(TxId { origin: self.config.id, seq })
    }

    /// When the next [`Input::Tick`] matters. Timers armed since the last one make that at once.
    pub fn deadline(&self) -> Option<Time> {
        let announcing = !self.announced.is_empty();
        if self.timers.any_armed() || (announcing && self.announcement.due.is_none()) {
            return Some(self.now.unwrap_or_default());
        }
        let announcement = self.announcement.due.filter(|_| announcing);
        self.timers.first_due().into_iter().chain(announcement).min()
    }

    fn take(&mut self, input: Input, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        match input {
            Input::Receive { from, .. } if from == self.config.id => Err(Refusal::FromSelf),
            Input::Receive { from, message } => self.receive(from, message, effects),
            other => {
                self.check(&other)?;
                match other {
                    Input::Begin(transaction) => self.begin(transaction, effects),
                    Input::Vote { tx, vote } => self.with_rm(tx, effects, |rm, effects| rm.vote(vote, effects)),
                    Input::Finished(tx) => self.with_rm(tx, effects, ResourceManager::finish),
                    Input::Inquire(tx) => self.inquire(tx, effects),
                    Input::Tick(now) => self.tick(now, effects),
                    Input::Receive { .. } => {}
                }
                Ok(())
            }
        }
    }

    fn begin(&mut self, transaction: Transaction, effects: &mut Vec<Effect>) {
        let tx = transaction.id();
        let open = self.open.entry(tx).or_insert_with(|| Open::new(transaction));
        // A node that is both starts as the transaction manager, and asks itself for its vote.
        if let Ok(tm) = open.tm(&self.config) {
            tm.begin(&mut self.scratch);
        } else if let Ok(rm) = open.rm(&self.config) {
            rm.begin(&mut self.scratch);
        }
        self.settle(tx, effects);
    }

    fn with_rm(
        &mut self,
        tx: TxId,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut ResourceManager, &mut Vec<Effect>),
    ) {
        if let Some(rm) = self.open.get_mut(&tx).and_then(|open| open.rm.as_mut()) {
            act(rm, &mut self.scratch);
        }
        self.settle(tx, effects);
    }

    fn inquire(&mut self, tx: TxId, effects: &mut Vec<Effect>) {
        if let Some(open) = self.open.get_mut(&tx) {
            open.rm.iter_mut().for_each(|rm| rm.inquire(&mut self.scratch));
            open.acceptor.iter_mut().for_each(|acceptor| acceptor.inquire(&mut self.scratch));
            open.tm.iter_mut().for_each(|tm| tm.inquire(&mut self.scratch));
        }
        self.settle(tx, effects);
    }

    fn receive(&mut self, from: NodeId, message: Message, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let transaction = match &message {
            Message::Retired { range } => {
                self.check_may_retire(from, *range)?;
                return self.note_retired(from, *range, effects);
            }
            Message::RetiredNoted { range } => {
                self.check_message(from, &message)?;
                self.acknowledged(from, *range);
                return Ok(());
            }
            other => other.transaction().ok_or(Refusal::NotForThisRole)?,
        };
        let tx = transaction.id();
        let work = Work::of(&message);
        match self.open.get_mut(&tx) {
            Some(open) if open.transaction != *transaction => return Err(Refusal::OtherTransaction),
            Some(open) => {
                let result = open.receive(&self.config, from, message, &mut self.scratch);
                self.settle(tx, effects);
                return result;
            }
            None => {}
        }
        if self.retired.contains(tx) {
            if from != self.config.id {
                effects.push(Effect::Send { to: from, message: self.retired_reply(tx) });
            }
            return Err(Refusal::Retired);
        }
        self.check_limits(transaction, work)?;
        let mut open = Open::new(transaction.clone());
        open.receive(&self.config, from, message, &mut self.scratch)?;
        self.open.insert(tx, open);
        self.settle(tx, effects);
        Ok(())
    }

    /// After a role has stepped: gives the transaction manager the round that it asks for, sorts effects into those
    /// for the world and those for another role here, and sees to timers and to the end of the transaction.
    fn settle(&mut self, tx: TxId, effects: &mut Vec<Effect>) {
        let mut completed = false;
        if let Some(open) = self.open.get_mut(&tx) {
            if let Some(tm) = &mut open.tm {
                if let Some(above) = tm.wants_round() {
                    match self.rounds.take(above.saturating_add(1)) {
                        Some((round, reserved)) => {
                            let reserved = reserved.map(|reserved| Record::Rounds { reserved });
                            effects.extend(reserved.map(Effect::Persist));
                            tm.recover(round, &mut self.scratch);
                            self.metrics.recoveries = self.metrics.recoveries.saturating_add(1);
                        }
                        None => self.metrics.refuse(Refusal::RoundsUsedUp),
                    }
                }
                completed = tm.is_completed();
            }
            open.arm(&mut self.timers);
        }
        for effect in self.scratch.drain(..) {
            match effect {
                Effect::Send { to, message } if to == self.config.id => self.local.push_back(message),
                effect => effects.push(effect),
            }
        }
        if completed {
            self.complete(tx, effects);
        }
    }

    fn tick(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.now = Some(now);
        self.start_timers(now);
        let mut due = core::mem::take(&mut self.due);
        self.timers.take_due(now, &mut due);
        for (tx, role) in due.drain(..) {
            if let Some(open) = self.open.get_mut(&tx) {
                open.fired(role);
                open.timeout(role, &mut self.scratch);
                self.settle(tx, effects);
            }
        }
        self.due = due;
        self.announce(now, effects);
        self.pass_on(effects);
        self.start_timers(now);
    }

    fn start_timers(&mut self, now: Time) {
        while let Some(tx) = self.timers.next_armed() {
            if let Some(open) = self.open.get_mut(&tx) {
                open.start(now, &self.config, &mut self.timers);
            }
        }
    }

    /// Lets the roles here have what they said to each other, until they have nothing more to say.
    fn pass_on(&mut self, effects: &mut Vec<Effect>) {
        while let Some(message) = self.local.pop_front() {
            if let Err(refusal) = self.receive(self.config.id, message, effects) {
                self.metrics.refuse(refusal);
            }
        }
    }

    fn count(&mut self, effects: &[Effect]) {
        for effect in effects {
            let counter = match effect {
                Effect::Persist(_) => &mut self.metrics.writes,
                Effect::Send { .. } => &mut self.metrics.sends,
                Effect::Decide(_) => &mut self.metrics.decisions,
            };
            *counter = counter.saturating_add(1);
        }
    }
}

impl Machine for Node {
    type Input = Input;
    type Record = Record;
    type Message = Message;
    type Decision = Decision;

    fn step_into(&mut self, input: Input, effects: &mut Vec<Effect>) {
        let before = effects.len();
        effects.append(&mut self.owed);
        self.metrics.steps = self.metrics.steps.saturating_add(1);
        if let Err(refusal) = self.take(input, effects) {
            self.metrics.refuse(refusal);
        }
        self.pass_on(effects);
        self.count(effects.get(before..).unwrap_or_default());
    }
}
