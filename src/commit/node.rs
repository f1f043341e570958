//! A node: every role of one process, in many transactions at once, behind one `step`.
//!
//! It finds the transaction that an input is about, passes the input to its roles, delivers messages between the
//! roles of this node, keeps their time-outs, and drops transactions that are over. It must never treat a transaction
//! that it has dropped as new.
//!
//! Invariants:
//! 1. its first record says whose storage this is, and without that record nothing is restored;
//! 2. a transaction leaves memory only with the write that adds it to the retired ranges, or with the write of the epoch that
//!    ends it, if no resource manager knows it here; or because an operator says so, if only a transaction manager knows it
//!    here, which keeps nothing durable;
//! 3. nothing depends on the order of the table of open transactions.

mod beginning;
#[cfg(feature = "record")]
mod checkpoint;
mod epochs;
#[cfg(test)]
pub(crate) mod fenced;
mod handing_over;
mod leavings;
mod next_epoch;
mod restore;
mod retirement;
mod told;
mod view;

use alloc::{collections::BTreeMap, vec::Vec};

pub use self::view::{EpochStatus, InDoubt, OpenTransaction, Promised, Status, Violation, ViolationReason};
use self::{
    epochs::News,
    leavings::Leavings,
    retirement::{Announcement, Lists},
};
use super::{
    Config, Decision, Effect, Input, Message, Record, Sink, Time, Transaction, What,
    block::BlockAllocator,
    clock::{NEVER, NODE},
    contacts::ContactId,
    handover::Handover,
    history::History,
    open::Open,
    ranges::RangeSet,
    shared::Shared,
    table::{Handle, Table},
    turns::TURNS_PER_STEP,
};
use crate::{Machine, NodeId, Refusal, Scope, TxId, Urgency, effect::EffectSink};

/// Old work is admitted up to this multiple of the limit on open transactions: enough that overloaded nodes never keep
/// each other's transactions from ending, and still a bound.
const ROOM_FOR_OLD_WORK: usize = 64;

/// How many messages are looked up together, so that their memory accesses overlap.
const AHEAD: usize = 8;

/// After this many effects and woken waiters, together, a tick leaves all other due time-outs to the next one.
const WORK_PER_TICK: u64 = 3 << 10;

/// All roles of one process, as the configuration and each transaction assign them.
///
/// It takes an [`Input`] and yields [`Effect`]s, to be carried out in order; an [`Outbox`](crate::Outbox) ensures that.
/// It never fails: a step returns why it refused an input, and [`metrics`](Self::metrics) count refusals by reason.
/// Time is what [`Input::Tick`] says, and [`deadline`](Self::deadline) says when the next tick is due. A time-out
/// starts at the last tick, so tell the node the time before any other input.
///
/// The [crate's documentation](crate) commits a transaction among three of them; this is the beginning of one alone:
///
/// ```
/// use synod::{Effect, Machine, NodeId, Quorums, commit::*};
///
/// let (me, other) = (NodeId(1), NodeId(2));
/// let cluster = Cluster::new(ClusterId(*b"an example of it"), Quorums::majority([me])?, [me])?;
/// let (mut node, first) = Node::create(Config::new(cluster, me, 7));
/// let [Effect::Persist(identity), Effect::Persist(epoch)] = &first[..] else { panic!("{first:?}") };
/// assert!(matches!(identity, Record::Identity { .. }) && matches!(epoch, Record::Epoch { number: 0, .. }));
///
/// node.step(Input::Tick(Time(1_000)));
/// let participants = Participants::new([me, other])?;
/// let effects = node.step(Input::Begin { participants, meta: Meta::from(b"move 10") });
/// let mut asked = None;
/// for effect in effects {
///     match effect {
///         Effect::Persist(_) => {} // write it before the next effect is carried out
///         Effect::Send { to, message } => {
///             assert!(to == other && matches!(message, Message::About { what: What::Prepare { .. }, .. }));
///         }
///         Effect::Decide(Decision::Vote { transaction, .. }) => asked = Some(transaction),
///         Effect::Decide(_) => {}
///     }
/// }
/// assert!(node.deadline() > Some(Time(1_000)));
///
/// let transaction = asked.expect("the resource here is asked for its vote");
/// let tx = transaction.id();
/// node.step(Input::Vote { transaction, vote: Vote::Prepared });
/// assert_eq!(node.status(tx), Status::Open { state: Some(ResourceManagerState::Prepared), outcome: None });
/// assert_eq!(node.in_doubt()[0].transaction.id(), tx);
/// let metrics = node.metrics();
/// assert_eq!((metrics.open, metrics.fenced), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Node {
    shared: Shared,
    open: Table,
    /// Durable.
    retired: RangeSet,
    /// Durable: how some of them ended.
    history: History,
    /// What messages about retired transactions, and answers from the history, rest on.
    retired_scope: Scope,
    /// The ranges retired here that other acceptors and transaction managers have not acknowledged.
    announced: BTreeMap<NodeId, RangeSet>,
    announcement: Announcement,
    /// Only `reserved` is durable.
    sequence: BlockAllocator,
    /// Durable.
    birth: Option<u64>,
    /// Records that the next step must write first.
    owed: Vec<Record>,
    /// Whether the next tick must tell the roles how a handover has ended what they are at.
    owes_endings: bool,
    lists: Lists,
    handover: Handover,
    news: News,
    leavings: Leavings,
}

/// Whether a transaction would be opened for new or for old work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Admission {
    /// A begin, a prepare or a vote: the transaction may be new.
    New,
    /// Anything else: the transaction was admitted elsewhere, and is on its way to its end.
    Old,
}

impl Node {
    /// A new node of a new cluster, whose id was never used in it, and its first effects, to be written together: the records
    /// of its identity and of epoch 0, which has the members of the configuration; and of its [birth](Config::birth), if the
    /// configuration gives it one.
    ///
    /// All nodes of a new cluster must be given the same members. A node that comes to a cluster whose members have changed
    /// [joins](Self::join) it instead.
    pub fn create(config: Config) -> (Self, Vec<Effect>) {
        let (mut node, mut effects) = Self::join(config);
        node.enter(0);
        node.rearm();
        effects.insert(1, Effect::Persist(node.epoch_record()));
        (node, effects)
    }

    /// A new node, whose id was never used, that comes to a cluster later: it is in no epoch yet, takes part in nothing, and
    /// asks the members in its configuration for the present epoch. Its first effects, to be written together, are the records
    /// of its identity and of its [birth](Config::birth), if the configuration gives it one.
    pub fn join(config: Config) -> (Self, Vec<Effect>) {
        let identity = Record::Identity { cluster: config.cluster.id(), node: config.id };
        let birth = config.birth;
        let mut node = Self::blank(config);
        node.birth = birth;
        node.ask_members(&node.config().cluster.membership());
        let records = [Some(identity), birth.map(Record::Birth)];
        (node, records.into_iter().flatten().map(Effect::Persist).collect())
    }

    fn blank(config: Config) -> Self {
        Self {
            open: Table::new(config.seed),
            history: History::new(0, config.seed),
            shared: Shared::of_newcomer(config),
            retired: RangeSet::default(),
            retired_scope: Scope::NOTHING,
            announced: BTreeMap::new(),
            announcement: Announcement::default(),
            sequence: BlockAllocator::UNUSED,
            handover: Handover::default(),
            news: News::default(),
            leavings: Leavings::default(),
            birth: None,
            owed: Vec::new(),
            owes_endings: false,
            lists: Lists::default(),
        }
    }

    /// The configuration, with the members of the present epoch.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// When the next [`Input::Tick`] is due, on the caller's clock. `None` if nothing is waited for.
    pub fn deadline(&self) -> Option<Time> {
        self.shared.clock.deadline()
    }

    /// Handles messages that `from` sent, in order: the same as one [`Input::Receive`] for each, but faster. Refusals
    /// are counted.
    ///
    /// With very many open transactions, each lookup waits for memory. This looks up the next few messages together, so
    /// that those waits overlap.
    #[inline]
    pub fn receive(&mut self, from: NodeId, messages: &[Message], effects: &mut Sink<'_>) {
        if let [message] = messages {
            // `hear` counts refusals.
            let _ = self.hear(from, message, None, effects);
        } else {
            self.receive_ahead(from, messages, effects);
        }
    }

    fn receive_ahead(&mut self, from: NodeId, messages: &[Message], effects: &mut Sink<'_>) {
        for messages in messages.chunks(AHEAD) {
            let mut found = [None; AHEAD];
            for (found, message) in found.iter_mut().zip(messages) {
                *found = message.transaction().and_then(|transaction| self.look_up(transaction.id()).1);
            }
            for (found, message) in found.into_iter().zip(messages) {
                // `hear` counts refusals, and the next messages are handled all the same.
                let _ = self.hear(from, message, found, effects);
            }
        }
    }

    /// One step with a message. `found` is the handle of its transaction, if an earlier lookup found one.
    fn hear(
        &mut self,
        from: NodeId,
        message: &Message,
        found: Option<Handle>,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        self.begin_step(effects);
        let result = match message {
            _ if from == self.shared.config.id => Err(Refusal::FromSelf),
            _ if self.shared.config.cluster.is_departed(from) => Err(Refusal::Departed),
            Message::About { transaction, what } => self.receive_about(from, transaction, what, found, effects),
            Message::Retired { range, outcomes } => self.receive_retired(from, *range, outcomes, effects),
            Message::RetiredNoted { range } => self.acknowledged(from, *range),
            Message::Epoch { number, what } => self.hear_of_epoch(from, *number, what, effects),
        };
        if let Err(refusal @ (Refusal::NotAManager | Refusal::WideRange)) = result {
            self.ask_stranger(from, message, refusal, effects);
        }
        if result.is_ok() {
            self.shared.peers.hear(from, self.shared.clock.now());
        }
        self.give_turns(effects);
        self.end_step(result)
    }

    #[inline]
    fn begin_step(&mut self, effects: &mut Sink<'_>) {
        self.shared.metrics.count_step();
        if !self.owed.is_empty() {
            self.pay(effects);
        }
    }

    /// Writes the records that a restore left to be written.
    #[cold]
    fn pay(&mut self, effects: &mut Sink<'_>) {
        for record in core::mem::take(&mut self.owed) {
            self.persist(record, effects);
        }
    }

    #[inline]
    fn end_step(&mut self, result: Result<(), Refusal>) -> Result<(), Refusal> {
        result.inspect_err(|refusal| self.shared.metrics.refuse(*refusal))
    }

    /// Writes a record that is not urgent.
    fn persist(&mut self, record: Record, effects: &mut Sink<'_>) -> Scope {
        self.shared.metrics.count_write();
        effects.persist(record, Urgency::RidesAlong)
    }

    fn decide(&mut self, decision: Decision, after: Scope, effects: &mut Sink<'_>) {
        self.shared.metrics.count_decision();
        effects.decide(decision, after);
    }

    fn send(&mut self, to: NodeId, message: Message, after: Scope, effects: &mut Sink<'_>) {
        self.shared.metrics.count_send();
        effects.send(to, message, after);
    }

    /// The hash of a name, and the handle of its transaction, if that is open.
    #[inline]
    fn look_up(&self, tx: TxId) -> (u64, Option<Handle>) {
        let hash = self.open.hash(tx);
        (hash, self.open.find(tx, hash))
    }

    /// Lets the roles of the open transaction `tx` act.
    #[inline]
    fn work_on(
        &mut self,
        tx: TxId,
        effects: &mut Sink<'_>,
        act: impl FnOnce(&mut Open, &mut Shared, &mut Sink<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let handle = self.known(tx)?;
        self.work(handle, effects, act)
    }

    /// The handle of `tx`, or why it is not open. Makes `tx` the current transaction.
    #[inline]
    fn known(&mut self, tx: TxId) -> Result<Handle, Refusal> {
        let (hash, found) = self.look_up(tx);
        (self.shared.tx, self.shared.hash) = (tx, hash);
        found.ok_or_else(|| if self.retired.contains(tx) { Refusal::Retired } else { Refusal::UnknownTransaction })
    }

    /// Handles a message about one transaction.
    #[inline]
    fn receive_about(
        &mut self,
        from: NodeId,
        transaction: &Transaction,
        what: &What,
        found: Option<Handle>,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        let tx = transaction.id();
        if Some(transaction.epoch()) != self.shared.epoch {
            self.check_epoch(from, transaction, what, effects)?;
        }
        (self.shared.tx, self.shared.hash) = (tx, self.open.hash(tx));
        let found = found.filter(|found| self.open.at(*found).is_some());
        let found = found.or_else(|| self.open.find(tx, self.shared.hash));
        let Some(handle) = found.filter(|found| self.open.at(*found).is_some_and(|open| !open.is_closed_to(what)))
        else {
            return self.receive_first(from, transaction, what, effects);
        };
        self.work(handle, effects, |open, shared, effects| {
            if open.transaction != *transaction {
                shared.tell_of_other(effects, from, transaction, what, open.scope);
                return Err(Refusal::OtherTransaction);
            }
            let result = open.receive(shared, effects, from, what);
            if result == Err(Refusal::SecondValue) {
                open.violation.get_or_insert(ViolationReason::SecondVote);
            }
            result
        })
    }

    /// Handles a message about a transaction that is not open here.
    fn receive_first(
        &mut self,
        from: NodeId,
        transaction: &Transaction,
        what: &What,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        let tx = transaction.id();
        if self.retired.contains(tx) {
            let reply = self.answer_about_retired(from, transaction, what);
            self.send(from, reply, self.retired_scope, effects);
            return Err(Refusal::Retired);
        }
        if let Err(refusal) = self.check_name(tx) {
            // Only this node gives the name, and will give it to another transaction.
            self.shared.tell_of_other(effects, from, transaction, what, Scope::NOTHING);
            return Err(refusal);
        }
        if !self.shared.committed.is_empty()
            && self.shared.committed.has_name(tx)
            && !self.shared.committed.contains(transaction.fingerprint())
        {
            // Another transaction had the name in an epoch before.
            self.shared.tell_of_other(effects, from, transaction, what, Scope::NOTHING);
            return Err(Refusal::OtherTransaction);
        }
        if matches!(what, What::Begin { .. }) && self.shared.turns.is_crowded() {
            return Err(Refusal::Overloaded);
        }
        let admission = match what {
            What::Begin { .. } | What::Prepare { .. } | What::Vote { .. } => Admission::New,
            _ => Admission::Old,
        };
        self.check_room(transaction.participants(), admission)?;
        let config = &self.shared.config;
        // Acceptors and transaction managers speak for others.
        let opener = match config.cluster.keeps_retired(from) {
            true => None,
            false => self.shared.peers.contacts.opener(from, config.cluster.limits().open_per_peer)?,
        };
        self.open_with(transaction, opener, effects, |open, shared, effects| open.receive(shared, effects, from, what))
    }

    /// Opens the current transaction because of `opener`, unless what its roles are to do first is refused.
    #[inline]
    fn open_with(
        &mut self,
        transaction: &Transaction,
        opener: Option<ContactId>,
        effects: &mut Sink<'_>,
        act: impl FnOnce(&mut Open, &mut Shared, &mut Sink<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut open = self.new_open(transaction.clone());
        open.opener = opener;
        let result = act(&mut open, &mut self.shared, effects);
        if result.is_err() {
            // Only roles were allocated for it, and their memory is reused.
            self.shared.recycle(open);
            return result;
        }
        let handle = self.insert(open)?;
        self.shared.peers.contacts.charge(opener);
        self.work(handle, effects, |_, _, _| result)
    }

    /// Refuses a name of this node's own that it has not given.
    fn check_name(&self, tx: TxId) -> Result<(), Refusal> {
        if self.may_have_given(tx) { Ok(()) } else { Err(Refusal::NotNamedHere) }
    }

    /// Lets transactions recover whose turn has come.
    #[inline]
    fn give_turns(&mut self, effects: &mut Sink<'_>) {
        if self.shared.turns.is_crowded() {
            self.give_some_turns(effects);
        }
    }

    #[cold]
    fn give_some_turns(&mut self, effects: &mut Sink<'_>) {
        let most = self.shared.config.cluster.limits().recoveries;
        for _ in 0..TURNS_PER_STEP {
            let Some(tx) = self.shared.turns.next(most) else { return };
            // It is open, or it would not wait; and a fence takes its claim.
            let _ = self.work_on(tx, effects, |open, shared, effects| open.take_turn(shared, effects));
        }
    }

    /// Refuses to open a transaction that exceeds a limit.
    #[inline]
    fn check_room(&self, participants: &[NodeId], admission: Admission) -> Result<(), Refusal> {
        let limits = self.shared.config.cluster.limits();
        if participants.len() > limits.participants {
            return Err(Refusal::TooManyParticipants);
        }
        let room = match admission {
            Admission::Old => limits.open.saturating_mul(ROOM_FOR_OLD_WORK),
            Admission::New => limits.open,
        };
        if self.open.len() >= room { Err(Refusal::TooManyOpen) } else { Ok(()) }
    }

    /// A transaction to be opened. If it is named after this node, it rests on the reserved numbers, and always on the nodes
    /// that were met.
    #[inline]
    fn new_open(&self, transaction: Transaction) -> Open {
        let own = transaction.id().origin == self.shared.config.id;
        let scope = if own { self.sequence.scope } else { Scope::NOTHING };
        Open::new(transaction, scope.and(self.shared.ground), self.shared.clock.now())
    }

    /// Adds the current transaction to the table.
    #[inline]
    fn insert(&mut self, open: Open) -> Result<Handle, Refusal> {
        self.open.insert(open, self.shared.hash).ok_or(Refusal::TooManyOpen)
    }

    /// Lets the roles of an open transaction act and answer each other, sets its time-out, and retires it if it is
    /// completed.
    #[inline]
    fn work(
        &mut self,
        handle: Handle,
        effects: &mut Sink<'_>,
        act: impl FnOnce(&mut Open, &mut Shared, &mut Sink<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let Some(open) = self.open.at_mut(handle) else { return Err(Refusal::UnknownTransaction) };
        if open.fence.is_some() {
            return Err(Refusal::Broken);
        }
        // What is heard from a node rests on having met it: who comes back under another birth must be known for that. And all
        // that is said rests on the epoch, and on being frozen.
        open.scope = open.scope.and(self.shared.ground);
        let result = act(open, &mut self.shared, effects);
        if !self.shared.local.is_empty() {
            open.exchange(&mut self.shared, effects);
        }
        if self.shared.moved {
            self.shared.moved = false;
            self.shared.clock.set(handle.waiter(), open.due());
        }
        if open.fence.is_some() {
            self.shared.metrics.fenced = self.shared.metrics.fenced.saturating_add(1);
            open.let_go(&mut self.shared);
            self.shared.clock.set(handle.waiter(), NEVER);
        } else if open.is_completed() {
            self.complete(handle, effects);
        } else if open.is_retired && !open.stays() {
            self.drop_open(handle, effects);
        }
        if let Some((proposer, 0)) = self.shared.draining {
            self.say_drained(proposer, effects);
        }
        result
    }

    fn tick(&mut self, now: Time, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        if self.shared.clock.last_tick().is_some_and(|last| now < last) {
            return Err(Refusal::TimeWentBack);
        }
        self.shared.clock.tick(now, self.shared.config.cluster.timeouts().shortest());
        if core::mem::take(&mut self.owes_endings) {
            self.hand_over_open(effects);
        }
        let before = self.shared.metrics.effects();
        // Messages between roles of this node are not effects, so woken waiters count, too.
        let mut woken: u64 = 0;
        while self.shared.metrics.effects().saturating_sub(before).saturating_add(woken) < WORK_PER_TICK {
            let Some(waiter) = self.shared.clock.next_due() else { break };
            woken = woken.saturating_add(1);
            if waiter == NODE {
                self.wake(effects);
            } else if let Some(handle) = self.open.waiting(waiter)
                && let Some(open) = self.open.at(handle)
            {
                let tx = open.transaction.id();
                (self.shared.tx, self.shared.hash) = (tx, self.open.hash(tx));
                // A time-out is refused only when an invariant breaks, and the fence records that.
                let _ = self.work(handle, effects, |open, shared, effects| open.timeout(shared, effects));
                if let Some(open) = self.open.at(handle) {
                    self.shared.clock.set(waiter, open.due());
                }
            }
        }
        Ok(())
    }

    /// [`step_into`](Machine::step_into), compiled once for all sinks.
    fn handle(&mut self, input: Input, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        if let Input::Receive { from, message } = &input {
            return self.hear(*from, message, None, effects);
        }
        if let Input::Tick(_) = &input {
            self.pay(effects);
        } else {
            self.begin_step(effects);
        }
        let result = match input {
            Input::Receive { .. } => Err(Refusal::NotForThisRole),
            Input::Begin { participants, meta } => self.begin(participants, &meta, effects),
            Input::BeginAs { transaction, meta } => self.begin_as(transaction, &meta, effects),
            Input::Vote { transaction, vote } => self.hear_vote(transaction, vote, effects),
            Input::Finished(tx) => self.work_on(tx, effects, |open, shared, effects| open.finish(shared, effects)),
            Input::Inquire(tx) => self.work_on(tx, effects, |open, shared, effects| open.inquire(shared, effects)),
            Input::Tick(now) => self.tick(now, effects),
            Input::Met { node, birth, epoch } => self.meet(node, birth, epoch, effects),
            Input::Prepared { transaction, meta } => self.hear_prepared(&transaction, &meta, effects),
            Input::Patience { tx, patience } => {
                self.work_on(tx, effects, |open, shared, effects| open.be_patient(shared, effects, patience))
            }
            Input::Resolve { tx, outcome } => self.resolve(tx, outcome, effects),
            Input::Names { count } => self.give_names(count, effects),
            Input::Change(membership) => self.change(*membership, effects),
        };
        self.give_turns(effects);
        self.end_step(result)
    }
}

impl Machine for Node {
    type Input = Input;
    type Record = Record;
    type Message = Message;
    type Decision = Decision;

    #[inline]
    fn step_into(
        &mut self,
        input: Input,
        effects: &mut impl EffectSink<Record, Message, Decision>,
    ) -> Result<(), Refusal> {
        self.handle(input, effects)
    }
}
