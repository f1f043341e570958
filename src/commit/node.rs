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
use hashbrown::{HashMap, hash_map::Entry};

pub use self::view::{InDoubt, Status};
use self::{
    admission::{Work, check_room},
    retirement::Announcement,
};
use super::{
    Config, Decision, Effect, Input, Message, Metrics, Record, ResourceManager, ResourceManagerInput, Time,
    Transaction,
    open::Open,
    reserve::Reserve,
    retired::Retired,
    timers::{Role, Timers},
    wait::mix,
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
    common: Common,
    /// Messages from one role here to another.
    local: VecDeque<Message>,
    now: Option<Time>,
    /// Effects that the next step has to begin with.
    owed: Vec<Effect>,
    /// Empty between steps; kept for their room.
    due: Vec<(TxId, Role)>,
    over: Vec<TxId>,
}

/// What the open transactions share.
#[derive(Clone, Debug)]
struct Common {
    /// Durable, as `reserved`.
    rounds: Reserve,
    timers: Timers,
    metrics: Metrics,
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
            common: Common { rounds: Reserve::UNUSED, timers: Timers::default(), metrics: Metrics::default() },
            local: VecDeque::new(),
            now: None,
            owed: Vec::new(),
            due: Vec::new(),
            over: Vec::new(),
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
        let announcing = !self.announced.is_empty();
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
            Input::Vote { tx, vote } => self.with_rm(tx, effects, |rm, effects| {
                rm.check(&ResourceManagerInput::Vote(vote))?;
                rm.vote(vote, effects);
                Ok(())
            }),
            Input::Finished(tx) => self.with_rm(tx, effects, |rm, effects| {
                rm.check(&ResourceManagerInput::Finished)?;
                rm.finish(effects);
                Ok(())
            }),
            Input::Inquire(tx) => self.with(tx, effects, |open, effects| {
                open.inquire(effects);
                Ok(())
            }),
            Input::Tick(now) if self.now.is_some_and(|last| now < last) => Err(Refusal::TimeWentBack),
            Input::Tick(now) => {
                self.tick(now, effects);
                Ok(())
            }
        }
    }

    /// Lets an open transaction act.
    fn with(
        &mut self,
        tx: TxId,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut Open, &mut Vec<Effect>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let Some(open) = self.open.get_mut(&tx) else {
            return Err(if self.retired.contains(tx) { Refusal::Retired } else { Refusal::UnknownTransaction });
        };
        let start = effects.len();
        act(open, effects)?;
        self.common.settle(tx, open, effects, start);
        Ok(())
    }

    fn with_rm(
        &mut self,
        tx: TxId,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut ResourceManager, &mut Vec<Effect>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.with(tx, effects, |open, effects| act(open.rm.as_mut().ok_or(Refusal::UnknownTransaction)?, effects))
    }

    fn begin(&mut self, transaction: Transaction, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        self.check_begin(&transaction)?;
        let (tx, open) = (transaction.id(), self.open.len());
        let open = match self.open.entry(tx) {
            Entry::Occupied(open) if open.get().transaction != transaction => return Err(Refusal::OtherTransaction),
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(_) if self.retired.contains(tx) => return Err(Refusal::Retired),
            Entry::Vacant(place) => {
                check_room(&self.config, open, &transaction, Work::New)?;
                place.insert(Open::new(transaction))
            }
        };
        let start = effects.len();
        open.begin(&self.config, effects)?;
        self.common.settle(tx, open, effects, start);
        Ok(())
    }

    fn receive(&mut self, from: NodeId, message: &Message, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let transaction = match message {
            Message::Retired { range } => {
                self.check_may_retire(from, *range)?;
                return self.note_retired(from, *range, effects);
            }
            Message::RetiredNoted { range } => {
                self.check_message(from, message)?;
                self.acknowledged(from, *range);
                return Ok(());
            }
            other => other.transaction().ok_or(Refusal::NotForThisRole)?,
        };
        let (tx, open, start) = (transaction.id(), self.open.len(), effects.len());
        let (open, result) = match self.open.entry(tx) {
            Entry::Occupied(open) if open.get().transaction != *transaction => return Err(Refusal::OtherTransaction),
            Entry::Occupied(open) => {
                let open = open.into_mut();
                let result = open.receive(&self.config, from, message, effects);
                (open, result)
            }
            Entry::Vacant(_) if self.retired.contains(tx) => {
                if from != self.config.id {
                    effects.push(Effect::Send { to: from, message: self.retired_reply(tx) });
                }
                return Err(Refusal::Retired);
            }
            Entry::Vacant(place) => {
                check_room(&self.config, open, transaction, Work::of(message))?;
                let mut open = Open::new(transaction.clone());
                open.receive(&self.config, from, message, effects)?;
                (place.insert(open), Ok(()))
            }
        };
        self.common.settle(tx, open, effects, start);
        if open.tm.as_ref().is_some_and(|tm| tm.is_completed()) {
            self.complete(tx, effects);
        }
        result
    }

    fn tick(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.now = Some(now);
        self.start_timers(now);
        let mut due = core::mem::take(&mut self.due);
        self.common.timers.take_due(now, &mut due);
        for (tx, role) in due.drain(..) {
            if let Some(open) = self.open.get_mut(&tx) {
                let start = effects.len();
                open.timeout(role, effects);
                self.common.settle(tx, open, effects, start);
            }
        }
        self.due = due;
        self.announce(now, effects);
    }

    fn start_timers(&mut self, now: Time) {
        for _ in 0..self.common.timers.armed() {
            if let Some(open) = self.common.timers.next_armed().and_then(|tx| self.open.get_mut(&tx)) {
                open.start(now, &self.config, &mut self.common.timers);
            }
        }
    }

    /// Lets the roles here have what they said to each other in `effects` from `start` on, until they have nothing more
    /// to say.
    fn pass_on(&mut self, mut start: usize, effects: &mut Vec<Effect>) {
        loop {
            self.keep_local(start, effects);
            start = effects.len();
            let Some(message) = self.local.pop_front() else { return };
            if let Err(refusal) = self.receive(self.config.id, &message, effects) {
                self.common.metrics.refuse(refusal);
            }
        }
    }

    /// Keeps back what is for another role here, and counts what is for the world.
    fn keep_local(&mut self, start: usize, effects: &mut Vec<Effect>) {
        let (mut writes, mut sends, mut decisions, mut local) = (0u64, 0u64, 0u64, false);
        for effect in effects.get(start..).unwrap_or_default() {
            match effect {
                Effect::Persist(_) => writes = writes.saturating_add(1),
                Effect::Send { to, .. } if *to == self.config.id => local = true,
                Effect::Send { .. } => sends = sends.saturating_add(1),
                Effect::Decide(_) => decisions = decisions.saturating_add(1),
            }
        }
        let metrics = &mut self.common.metrics;
        metrics.writes = metrics.writes.saturating_add(writes);
        metrics.sends = metrics.sends.saturating_add(sends);
        metrics.decisions = metrics.decisions.saturating_add(decisions);
        if local {
            let id = self.config.id;
            let local = effects.extract_if(start.., |effect| matches!(effect, Effect::Send { to, .. } if *to == id));
            self.local.extend(local.filter_map(|effect| match effect {
                Effect::Send { message, .. } => Some(message),
                Effect::Persist(_) | Effect::Decide(_) => None,
            }));
        }
    }
}

impl Common {
    /// After the roles of `open` have stepped, with what they want done in `effects` from `start` on: gives the transaction
    /// manager the round that it asks for, and sees to timers.
    fn settle(&mut self, tx: TxId, open: &mut Open, effects: &mut Vec<Effect>, start: usize) {
        if let Some(tm) = &mut open.tm
            && tm.wants_round
        {
            match self.rounds.take(tm.highest_round.saturating_add(1)) {
                Some((round, reserved)) => {
                    if let Some(reserved) = reserved {
                        effects.insert(start, Effect::Persist(Record::Rounds { reserved }));
                    }
                    tm.recover(round, effects);
                    self.metrics.recoveries = self.metrics.recoveries.saturating_add(1);
                }
                None => self.metrics.refuse(Refusal::RoundsUsedUp),
            }
        }
        open.arm(tx, &mut self.timers);
    }
}

impl Machine for Node {
    type Input = Input;
    type Record = Record;
    type Message = Message;
    type Decision = Decision;

    fn step_into(&mut self, input: Input, effects: &mut Vec<Effect>) {
        let (start, tick) = (effects.len(), matches!(input, Input::Tick(_)));
        effects.append(&mut self.owed);
        self.common.metrics.steps = self.common.metrics.steps.saturating_add(1);
        let result = self.take(input, effects);
        self.pass_on(start, effects);
        match (result, self.now) {
            (Err(refusal), _) => self.common.metrics.refuse(refusal),
            (Ok(()), Some(now)) if tick => self.start_timers(now),
            (Ok(()), _) => {}
        }
    }
}
