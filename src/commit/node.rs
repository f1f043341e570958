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

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use super::{
    Acceptor, AcceptorRecord, Config, Decision, Effect, Input, Key, Message, Metrics, Outcome, Part, Record,
    ResourceManager, ResourceManagerRecord, ResourceManagerState, Time, Transaction, TxRange, Wait,
    open::{Open, mix},
    retired::Retired,
    timers::{Role, Timers},
};
use crate::{Machine, NodeId, Refusal, RestoreError, TxId, effect};

/// How many numbers or rounds one write reserves.
const BLOCK: u64 = 1024;
/// How many unacknowledged ranges an acceptor is sent again at a time.
const RANGES_AT_ONCE: usize = 64;

/// All roles of one process. See the [module's](self) documentation.
#[derive(Clone, Debug)]
pub struct Node {
    config: Config,
    open: HashMap<TxId, Open, FixedState>,
    /// Durable.
    retired: Retired,
    /// What each acceptor has not acknowledged of what was retired here.
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

/// Numbers of which a block is reserved durably before the first one is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reserve {
    next: u64,
    reserved: u64,
}

/// When unacknowledged ranges are sent again.
#[derive(Clone, Copy, Debug, Default)]
struct Announcement {
    repetitions: u32,
    due: Option<Time>,
}

/// What a node knows of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Status {
    /// Nothing. It may have never begun, or not reached this node.
    Unknown,
    /// It is open.
    Open {
        /// The state of the resource manager here, if there is one.
        state: Option<ResourceManagerState>,
        /// The outcome, if it is known here.
        outcome: Option<Outcome>,
    },
    /// It is over: every resource manager has finished it.
    Retired,
}

/// A transaction that the resource manager here is prepared in, without knowing the outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct InDoubt {
    /// The transaction.
    pub transaction: Transaction,
    /// The state of the resource manager here.
    pub state: ResourceManagerState,
    /// For how long the node has had it open, in the caller's unit, as ticks have told.
    pub age: u64,
}

impl Node {
    /// A new node, of an id that was never used before in its cluster, and its first effect: the record of its identity.
    pub fn create(config: Config) -> (Self, Vec<Effect>) {
        let identity = Record::Identity { cluster: config.cluster.id(), node: config.id };
        (Self::blank(config), alloc::vec![effect::Effect::Persist(identity)])
    }

    /// The node that wrote `records`, in the order of writing. Of each key the last one counts.
    ///
    /// An error if the identity record is missing or another's: a blank disk does not vote. And an error if no node can
    /// have written these records.
    pub fn restore(config: Config, records: impl IntoIterator<Item = Record>) -> Result<Self, RestoreError> {
        let latest: BTreeMap<Key, Record> = records.into_iter().map(|record| (record.key(), record)).collect();
        match latest.get(&Key::Identity) {
            Some(Record::Identity { cluster, .. }) if *cluster != config.cluster.id() => {
                return Err(RestoreError::OtherCluster);
            }
            Some(Record::Identity { node, .. }) if *node != config.id => return Err(RestoreError::OtherNode(*node)),
            Some(Record::Identity { .. }) => {}
            _ => return Err(RestoreError::NoIdentity),
        }
        let mut node = Self::blank(config);
        for record in latest.values() {
            if let Record::Retired(range) = record {
                node.retired.add(*range);
            }
        }
        for record in latest.into_values() {
            match record {
                Record::Sequence { reserved } => node.sequence = Reserve { next: reserved, reserved },
                Record::Rounds { reserved } => node.rounds = Reserve { next: reserved, reserved },
                Record::Acceptor(record) => node.restore_acceptor(record)?,
                Record::ResourceManager(record) => node.restore_rm(record)?,
                Record::Identity { .. } | Record::Retired(_) | Record::Erased(_) => {}
            }
        }
        if node.config.cluster.is_manager(node.config.id) && !node.retired.is_empty() {
            for acceptor in other_acceptors(&node.config) {
                node.announced.insert(acceptor, node.retired.clone());
            }
        }
        for open in node.open.values_mut() {
            // Which is armed first does not matter: none starts before the first tick, and then each by itself.
            open.arm(&mut node.timers);
        }
        node.timers.sort_armed();
        Ok(node)
    }

    fn blank(config: Config) -> Self {
        Self {
            open: HashMap::with_hasher(FixedState::with_seed(mix(config.seed))),
            config,
            retired: Retired::default(),
            announced: BTreeMap::new(),
            announcement: Announcement::default(),
            sequence: Reserve { next: 1, reserved: 1 },
            rounds: Reserve { next: 1, reserved: 1 },
            timers: Timers::default(),
            now: None,
            metrics: Metrics::default(),
            owed: Vec::new(),
            local: VecDeque::new(),
            scratch: Vec::new(),
            due: Vec::new(),
        }
    }

    fn restore_acceptor(&mut self, record: AcceptorRecord) -> Result<(), RestoreError> {
        let tx = record.transaction.id();
        if self.retired.contains(tx) {
            return Ok(());
        }
        if !self.config.cluster.acceptors().contains(self.config.id) {
            return Err(RestoreError::NotAnAcceptor(tx));
        }
        let acceptor = Acceptor::restore(self.config.cluster.clone(), record)?;
        let open = self.open.entry(tx).or_insert_with(|| Open::new(acceptor.transaction().clone()));
        if open.transaction != *acceptor.transaction() {
            return Err(RestoreError::OtherTransaction(tx));
        }
        open.acceptor = Some(acceptor.into());
        Ok(())
    }

    fn restore_rm(&mut self, record: ResourceManagerRecord) -> Result<(), RestoreError> {
        let tx = record.transaction.id();
        if self.retired.contains(tx) {
            return Ok(());
        }
        let rm = ResourceManager::restore(self.config.cluster.clone(), self.config.id, record)?;
        let open = self.open.entry(tx).or_insert_with(|| Open::new(rm.transaction().clone()));
        if open.transaction != *rm.transaction() {
            return Err(RestoreError::OtherTransaction(tx));
        }
        open.rm = Some(rm.into());
        Ok(())
    }

    /// The least set of records that would rebuild this node, so that a log can be cut. What it leaves out is volatile.
    pub fn snapshot(&self) -> Vec<Record> {
        let mut records = alloc::vec![Record::Identity { cluster: self.config.cluster.id(), node: self.config.id }];
        if self.sequence.reserved > 1 {
            records.push(Record::Sequence { reserved: self.sequence.reserved });
        }
        if self.rounds.reserved > 1 {
            records.push(Record::Rounds { reserved: self.rounds.reserved });
        }
        records.extend(self.retired.iter().map(Record::Retired));
        for tx in self.open_transactions() {
            let Some(open) = self.open.get(&tx) else { continue };
            let acceptor = open.acceptor.as_ref().filter(|acceptor| acceptor.has_record());
            records.extend(acceptor.map(|acceptor| Record::Acceptor(acceptor.record())));
            let rm = open.rm.as_ref().filter(|rm| rm.has_record());
            records.extend(rm.map(|rm| Record::ResourceManager(rm.record())));
        }
        records
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
        self.owed.extend(reserved.map(|reserved| effect::Effect::Persist(Record::Sequence { reserved })));
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

    /// What this node knows of `tx`.
    pub fn status(&self, tx: TxId) -> Status {
        if self.retired.contains(tx) {
            return Status::Retired;
        }
        match self.open.get(&tx) {
            None => Status::Unknown,
            Some(open) => {
                let outcome = open.tm.as_ref().and_then(|tm| tm.outcome());
                Status::Open {
                    state: open.rm.as_ref().map(|rm| rm.state()),
                    outcome: outcome.or(open.rm.as_ref().and_then(|rm| rm.outcome())),
                }
            }
        }
    }

    /// The transactions that the resource manager here is prepared in without knowing the outcome, in order of name.
    /// [`Input::Inquire`] drives one to its outcome; there is no guessing.
    pub fn in_doubt(&self) -> Vec<InDoubt> {
        let open = self.open_transactions().into_iter().filter_map(|tx| self.open.get(&tx));
        open.filter_map(|open| {
            let rm = open.rm.as_ref().filter(|rm| rm.is_in_doubt())?;
            let (since, now) = (open.since.unwrap_or_default(), self.now.unwrap_or_default());
            let age = open.since.map_or(0, |_| now.0.saturating_sub(since.0));
            Some(InDoubt { transaction: open.transaction.clone(), state: rm.state(), age })
        })
        .collect()
    }

    /// The open transactions, in order of name.
    pub fn open_transactions(&self) -> Vec<TxId> {
        let mut open: Vec<TxId> = self.open.keys().copied().collect();
        open.sort_unstable();
        open
    }

    /// The counters.
    pub fn metrics(&self) -> Metrics {
        let mut metrics = self.metrics;
        metrics.open = self.open.len();
        metrics.retired_ranges = self.retired.len();
        metrics.unacknowledged_ranges = self.announced.values().map(Retired::len).sum();
        metrics
    }

    /// Why `input` would be refused.
    pub fn check(&self, input: &Input) -> Result<(), Refusal> {
        match input {
            Input::Begin(transaction) => {
                self.check_begin(transaction)?;
                let known = self.known(transaction.id())?;
                self.check_known(known, transaction, self.config.cluster.limits().open)
            }
            Input::Vote { tx, vote } => {
                let open = self.known(*tx)?.ok_or(Refusal::UnknownTransaction)?;
                let rm = open.rm.as_ref().ok_or(Refusal::UnknownTransaction)?;
                rm.check(&super::ResourceManagerInput::Vote(*vote))
            }
            Input::Finished(tx) => {
                let open = self.known(*tx)?.ok_or(Refusal::UnknownTransaction)?;
                let rm = open.rm.as_ref().ok_or(Refusal::UnknownTransaction)?;
                rm.check(&super::ResourceManagerInput::Finished)
            }
            Input::Inquire(tx) => self.known(*tx)?.map(|_| ()).ok_or(Refusal::UnknownTransaction),
            Input::Receive { from, .. } if *from == self.config.id => Err(Refusal::FromSelf),
            Input::Receive { from, message } => self.check_message(*from, message),
            Input::Tick(now) if self.now.is_some_and(|last| *now < last) => Err(Refusal::TimeWentBack),
            Input::Tick(_) => Ok(()),
        }
    }

    fn check_message(&self, from: NodeId, message: &Message) -> Result<(), Refusal> {
        match message {
            Message::Retired { range } => {
                self.check_may_retire(from, *range)?;
                let pieces = self.retirable(*range, &self.open_in(*range));
                return if pieces.is_empty() { Err(Refusal::RetiredUnfinished) } else { Ok(()) };
            }
            Message::RetiredNoted { .. } if self.config.cluster.acceptors().contains(from) => return Ok(()),
            Message::RetiredNoted { .. } => return Err(Refusal::NotAnAcceptor),
            _ => {}
        }
        let transaction = message.transaction().ok_or(Refusal::NotForThisRole)?;
        let known = self.known(transaction.id())?;
        self.check_known(known, transaction, self.room_for(message))?;
        match known {
            Some(open) => open.check(&self.config, from, message),
            None => Open::new(transaction.clone()).check(&self.config, from, message),
        }
    }

    /// The transaction `tx`, if it is open; an error if it is over.
    fn known(&self, tx: TxId) -> Result<Option<&Open>, Refusal> {
        match self.open.get(&tx) {
            None if self.retired.contains(tx) => Err(Refusal::Retired),
            open => Ok(open),
        }
    }

    fn check_known(&self, known: Option<&Open>, transaction: &Transaction, room: usize) -> Result<(), Refusal> {
        match known {
            Some(open) if open.transaction != *transaction => Err(Refusal::OtherTransaction),
            Some(_) => Ok(()),
            None => self.check_limits(transaction, room),
        }
    }

    /// Why a transaction that is not open cannot be opened.
    fn check_limits(&self, transaction: &Transaction, room: usize) -> Result<(), Refusal> {
        let limits = self.config.cluster.limits();
        if transaction.participants().len() > limits.participants {
            return Err(Refusal::TooManyParticipants);
        }
        if transaction.meta().len() > limits.meta {
            return Err(Refusal::MetaTooLong);
        }
        if self.open.len() >= room { Err(Refusal::TooManyOpen) } else { Ok(()) }
    }

    fn check_begin(&self, transaction: &Transaction) -> Result<(), Refusal> {
        if self.config.cluster.is_manager(self.config.id) || transaction.has(self.config.id) {
            Ok(())
        } else {
            Err(Refusal::NotAManager)
        }
    }

    /// How many transactions may be open for `message` to open one more.
    ///
    /// A transaction manager that ends a transaction is never turned away: if it could be, transactions that fill one
    /// node could wait for those that fill another, for good.
    fn room_for(&self, message: &Message) -> usize {
        let room = self.config.cluster.limits().open;
        match message {
            Message::Begin { .. } | Message::Prepare { .. } | Message::Vote { .. } => room,
            Message::Outcome { .. } => usize::MAX,
            Message::Paxos { parts, .. } if Part::are_requests(parts) => usize::MAX,
            _ => room.saturating_mul(2),
        }
    }

    /// Why a node may not say that `range` is over.
    fn check_may_retire(&self, from: NodeId, range: TxRange) -> Result<(), Refusal> {
        if self.config.cluster.is_manager(from) {
            return Ok(());
        }
        if !range.is_single() {
            return Err(Refusal::WideRange);
        }
        let open = self.known(range.first())?.ok_or(Refusal::UnknownTransaction)?;
        if self.config.cluster.acceptors().contains(from) || open.transaction.has(from) {
            Ok(())
        } else {
            Err(Refusal::NotAParticipant)
        }
    }

    /// What of `range`, in which `open` are the open transactions, can be over: all but those that are prepared and
    /// unfinished here, whatever anyone says.
    fn retirable(&self, range: TxRange, open: &[TxId]) -> Vec<TxRange> {
        let mut pieces = alloc::vec![range];
        let rms = open.iter().filter_map(|tx| Some((*tx, self.open.get(tx)?.rm.as_ref()?)));
        for (tx, _) in rms.filter(|(_, rm)| rm.check_retire().is_err()) {
            // They come in order, so no earlier piece has this one.
            let last = pieces.pop().map(|last| last.without(TxRange::only(tx)));
            pieces.extend(last.into_iter().flatten().flatten());
        }
        pieces
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
        let room = self.room_for(&message);
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
                let message = Message::Retired { range: TxRange::only(tx) };
                effects.push(effect::Effect::Send { to: from, message });
            }
            return Err(Refusal::Retired);
        }
        self.check_limits(transaction, room)?;
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
                if let Some(above) = tm.wants_round()
                    && let Some((round, reserved)) = self.rounds.take(above.saturating_add(1))
                {
                    let reservation = reserved.map(|reserved| effect::Effect::Persist(Record::Rounds { reserved }));
                    effects.extend(reservation);
                    tm.recover(round, &mut self.scratch);
                    self.metrics.recoveries = self.metrics.recoveries.saturating_add(1);
                }
                completed = tm.is_completed();
            }
            open.arm(&mut self.timers);
        }
        for effect in self.scratch.drain(..) {
            match effect {
                effect::Effect::Send { to, message } if to == self.config.id => self.local.push_back(message),
                effect => effects.push(effect),
            }
        }
        if completed {
            self.complete(tx, effects);
        }
    }

    /// All resource managers have finished: writes that, then tells everyone who may still hold the transaction.
    fn complete(&mut self, tx: TxId, effects: &mut Vec<Effect>) {
        let range = TxRange::only(tx);
        let Some(open) = self.drop_transactions(range, [tx].into(), effects).pop() else { return };
        let acceptors = other_acceptors(&self.config);
        for acceptor in acceptors.clone() {
            self.announced.entry(acceptor).or_default().add(range);
        }
        let others = open.transaction.participants().iter().copied();
        let others = others.filter(|rm| *rm != self.config.id && !self.config.cluster.acceptors().contains(*rm));
        effects
            .extend(acceptors.chain(others).map(|to| effect::Effect::Send { to, message: Message::Retired { range } }));
    }

    /// Someone says that transactions are over. Those that cannot be stay, and are counted; it is refused if all do.
    fn note_retired(&mut self, from: NodeId, range: TxRange, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let open = self.open_in(range);
        let pieces = self.retirable(range, &open);
        if pieces.is_empty() {
            return Err(Refusal::RetiredUnfinished);
        }
        if pieces != [range] {
            self.metrics.refuse(Refusal::RetiredUnfinished);
        }
        let answers = self.config.cluster.is_manager(from) && self.config.cluster.acceptors().contains(self.config.id);
        for piece in pieces {
            let dropped: Vec<TxId> = open.iter().copied().filter(|tx| piece.contains(*tx)).collect();
            for tx in &dropped {
                let Some(open) = self.open.get_mut(tx) else { continue };
                open.rm.iter_mut().for_each(|rm| rm.retire(&mut self.scratch));
                if open.tm.as_ref().is_some_and(|tm| tm.outcome().is_none()) {
                    self.metrics.missed_outcomes = self.metrics.missed_outcomes.saturating_add(1);
                }
            }
            effects.append(&mut self.scratch);
            self.drop_transactions(piece, dropped, effects);
            if answers {
                effects.push(effect::Effect::Send { to: from, message: Message::RetiredNoted { range: piece } });
            }
        }
        Ok(())
    }

    /// Drops `transactions` in the write that adds `range` to what is retired: range first, tombstones after.
    fn drop_transactions(&mut self, range: TxRange, transactions: Vec<TxId>, effects: &mut Vec<Effect>) -> Vec<Open> {
        self.retired.persist(range, effects);
        let mut dropped = Vec::with_capacity(transactions.len());
        for tx in transactions {
            let Some(mut open) = self.open.remove(&tx) else { continue };
            open.stop(&mut self.timers);
            if open.acceptor.as_ref().is_some_and(|acceptor| acceptor.has_record()) {
                effects.push(effect::Effect::Persist(Record::Erased(Key::Acceptor(tx))));
            }
            if open.rm.as_ref().is_some_and(|rm| rm.has_record()) {
                effects.push(effect::Effect::Persist(Record::Erased(Key::ResourceManager(tx))));
            }
            dropped.push(open);
        }
        self.timers.prune(self.open.len(), |tx| self.open.contains_key(&tx));
        dropped
    }

    /// The open transactions in `range`, in order; by the shorter of two ways.
    fn open_in(&self, range: TxRange) -> Vec<TxId> {
        let (first, last) = (range.first(), range.last());
        if last.seq.saturating_sub(first.seq) <= self.open.len() as u64 {
            let all = (first.seq..=last.seq).map(|seq| TxId { seq, ..first });
            all.filter(|tx| self.open.contains_key(tx)).collect()
        } else {
            self.open_transactions().into_iter().filter(|tx| range.contains(*tx)).collect()
        }
    }

    fn acknowledged(&mut self, from: NodeId, range: TxRange) {
        if let Some(unacknowledged) = self.announced.get_mut(&from) {
            unacknowledged.remove(range);
            self.announcement.repetitions = 0;
            if unacknowledged.is_empty() {
                self.announced.remove(&from);
            }
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

    /// Sends again what acceptors have not acknowledged, when it is time.
    fn announce(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.announced.is_empty() {
            self.announcement = Announcement::default();
            return;
        }
        match self.announcement.due {
            Some(due) if due > now => return,
            Some(_) => {
                for (acceptor, ranges) in &self.announced {
                    effects.extend(
                        ranges
                            .iter()
                            .take(RANGES_AT_ONCE)
                            .map(|range| effect::Effect::Send { to: *acceptor, message: Message::Retired { range } }),
                    );
                }
                self.announcement.repetitions = self.announcement.repetitions.saturating_add(1);
            }
            None => {}
        }
        let wait = Wait::Repeat(self.announcement.repetitions);
        let wait = wait.duration(&self.config.cluster.timeouts(), mix(self.config.seed ^ now.0));
        self.announcement.due = Some(Time(now.0.saturating_add(wait)));
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
                effect::Effect::Persist(_) => &mut self.metrics.writes,
                effect::Effect::Send { .. } => &mut self.metrics.sends,
                effect::Effect::Decide(_) => &mut self.metrics.decisions,
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

impl Reserve {
    /// The next number that is at least `least`, and the new end of the reservation if that has to move first.
    fn take(&mut self, least: u64) -> Option<(u64, Option<u64>)> {
        let number = self.next.max(least);
        // The last number of all stays unused, so that there is always one above.
        self.next = number.checked_add(1)?;
        if number < self.reserved {
            return Some((number, None));
        }
        self.reserved = number.saturating_add(BLOCK);
        Some((number, Some(self.reserved)))
    }
}

/// The acceptors on other nodes.
fn other_acceptors(config: &Config) -> impl Iterator<Item = NodeId> + Clone + use<> {
    let (acceptors, id) = (config.cluster.acceptors().clone(), config.id);
    let nodes: Vec<NodeId> = acceptors.nodes().filter(|acceptor| *acceptor != id).collect();
    nodes.into_iter()
}
