//! An open transaction at a node: the roles that the node plays in it, and their time-outs.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use super::{
    Config, Learning, Meta, Metrics, Record, Sink, Time, Transaction, Vote, Wait, What,
    acceptor::Acceptor,
    block::BlockAllocator,
    clock::{Clock, NEVER},
    context::Context,
    resource_manager::ResourceManager,
    transaction_manager::TransactionManager,
    wait::mix,
};
use crate::{Fence, NodeId, Refusal, Scope, TxId, Urgency};

/// How much the roles of one node may say to each other within a step. The longest exchange has seven turns, of a few
/// messages each: an inquiry, the two phases of a ballot and their answers, the outcome, and that it is carried out.
const LONGEST_EXCHANGE: usize = 64;

/// How many roles that are over are kept for their memory.
const SPARES: usize = 1024;

/// A transaction that is not over, as one node sees it.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) transaction: Transaction,
    /// What effects about this transaction rest on.
    pub(crate) scope: Scope,
    /// When the node first saw it, on its own clock.
    pub(crate) since: Time,
    /// Why the node is silent about it, if it is.
    pub(crate) fence: Option<Fence>,
    pub(crate) acceptor: Option<Playing<Acceptor>>,
    pub(crate) rm: Option<Box<Playing<ResourceManager>>>,
    pub(crate) tm: Option<Box<Playing<TransactionManager>>>,
}

/// A role, and the one time-out that it waits for.
#[derive(Clone, Debug)]
pub(crate) struct Playing<R> {
    pub(crate) role: R,
    wait: Option<Wait>,
    /// On the node's own clock.
    due: Time,
}

/// What the open transactions of a node share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// Durable.
    pub(crate) rounds: BlockAllocator,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    /// What the roles here say to each other. Empty between steps.
    pub(crate) local: VecDeque<What>,
    spare_rms: Vec<Spare<ResourceManager>>,
    spare_tms: Vec<Spare<TransactionManager>>,
}

/// The memory of a role whose transaction is over.
type Spare<R> = Box<Playing<R>>;

/// The roles that a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    Acceptor,
    ResourceManager,
    TransactionManager,
    /// Both learn from it: a transaction manager that is at work overhears what the resource manager of its node learns.
    ResourceAndTransactionManager,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            rounds: BlockAllocator::UNUSED,
            clock: Clock::default(),
            metrics: Metrics::default(),
            local: VecDeque::new(),
            spare_rms: Vec::new(),
            spare_tms: Vec::new(),
        }
    }

    /// Whom `what` is for, or why nobody here takes it, whatever their state. `open` is the transaction, if it is open.
    #[inline]
    pub(crate) fn admit(
        &self,
        open: Option<&Open>,
        transaction: &Transaction,
        from: NodeId,
        what: &What,
    ) -> Result<Audience, Refusal> {
        let (cluster, id) = (&self.config.cluster, self.config.id);
        let has_tm = open.is_some_and(|open| open.tm.is_some());
        match what {
            What::Vote { .. } | What::Phase1a { .. } | What::Phase2a { .. } => {
                if !cluster.acceptors().contains(id) {
                    return Err(Refusal::NotAnAcceptor);
                }
                Acceptor::admit(cluster, transaction, from, what)?;
                Ok(Audience::Acceptor)
            }
            What::Prepare { .. } => self.admit_rm(open, transaction, from, what),
            What::Outcome(_) if !transaction.has(id) => match has_tm {
                true => self.admit_tm(open, transaction, from, what),
                false if cluster.is_manager(id) => Err(Refusal::UnknownTransaction),
                false => Err(Refusal::NotAParticipant),
            },
            What::Phase2b { .. } if !transaction.has(id) || cluster.learning() == Learning::Leader => {
                self.admit_tm(open, transaction, from, what)
            }
            What::Outcome(_) | What::Phase2b { .. } => {
                self.admit_rm(open, transaction, from, what)?;
                Ok(if has_tm { Audience::ResourceAndTransactionManager } else { Audience::ResourceManager })
            }
            What::Begin { .. } | What::Inquire | What::Finished(_) | What::Phase1b { .. } | What::Reject { .. } => {
                self.admit_tm(open, transaction, from, what)
            }
        }
    }

    fn admit_rm(
        &self,
        open: Option<&Open>,
        transaction: &Transaction,
        from: NodeId,
        what: &What,
    ) -> Result<Audience, Refusal> {
        if !transaction.has(self.config.id) {
            return Err(Refusal::NotAParticipant);
        }
        ResourceManager::admit(&self.config.cluster, transaction, from, what)?;
        if open.is_none_or(|open| open.rm.is_none()) {
            ResourceManager::may_start_with(what)?;
        }
        Ok(Audience::ResourceManager)
    }

    fn admit_tm(
        &self,
        open: Option<&Open>,
        transaction: &Transaction,
        from: NodeId,
        what: &What,
    ) -> Result<Audience, Refusal> {
        if !self.config.cluster.is_manager(self.config.id) {
            return Err(Refusal::NotAManager);
        }
        TransactionManager::admit(&self.config.cluster, transaction, from, what)?;
        if open.is_none_or(|open| open.tm.is_none()) {
            TransactionManager::may_start_with(what)?;
        }
        Ok(Audience::TransactionManager)
    }

    fn new_rm(&mut self) -> Box<Playing<ResourceManager>> {
        let fresh = Playing::from(ResourceManager::new(&self.config.cluster));
        match self.spare_rms.pop() {
            Some(mut spare) => {
                *spare = fresh;
                spare
            }
            None => Box::new(fresh),
        }
    }

    fn new_tm(&mut self, transaction: &Transaction) -> Box<Playing<TransactionManager>> {
        match self.spare_tms.pop() {
            Some(mut spare) => {
                (spare.wait, spare.due) = (None, NEVER);
                spare.role.reset(transaction);
                spare
            }
            None => Box::new(TransactionManager::new(transaction).into()),
        }
    }

    /// Keeps the memory of the roles of a transaction that is over.
    pub(crate) fn recycle(&mut self, open: Open) {
        self.spare_rms.extend(open.rm.filter(|_| self.spare_rms.len() < SPARES));
        self.spare_tms.extend(open.tm.filter(|_| self.spare_tms.len() < SPARES));
    }
}

impl Open {
    /// A transaction that the node sees for the first time; it rests on what `scope` says.
    pub(crate) fn new(transaction: Transaction, scope: Scope, since: Time) -> Self {
        Self { transaction, scope, since, fence: None, acceptor: None, rm: None, tm: None }
    }

    /// Whether all resource managers have finished it, as the transaction manager here knows.
    #[inline]
    pub(crate) fn is_completed(&self) -> bool {
        self.tm.as_ref().is_some_and(|tm| tm.role.is_completed())
    }

    /// Gives a message that was admitted to the roles that it is for. It is refused if all of them refuse it.
    #[inline]
    pub(crate) fn receive<S: Sink>(
        &mut self,
        shared: &mut Shared,
        effects: &mut S,
        audience: Audience,
        from: NodeId,
        what: &What,
    ) -> Result<(), Refusal> {
        match audience {
            Audience::Acceptor => {
                self.acceptor.get_or_insert_with(|| Acceptor::new(&shared.config.cluster).into());
                self.as_acceptor(shared, effects, |acceptor, cx| acceptor.receive(cx, from, what))
            }
            Audience::ResourceManager => {
                self.rm.get_or_insert_with(|| shared.new_rm());
                self.as_rm(shared, effects, |rm, cx| rm.receive(cx, from, what))
            }
            Audience::TransactionManager => {
                self.tm.get_or_insert_with(|| shared.new_tm(&self.transaction));
                self.as_tm(shared, effects, |tm, cx| tm.receive(cx, from, what))
            }
            Audience::ResourceAndTransactionManager => {
                let rm = self.receive(shared, effects, Audience::ResourceManager, from, what);
                self.receive(shared, effects, Audience::TransactionManager, from, what).or(rm)
            }
        }
    }

    /// The transaction begins here. A node that is both starts as the transaction manager, and asks itself for its vote.
    pub(crate) fn begin<S: Sink>(&mut self, shared: &mut Shared, effects: &mut S, meta: &Meta) -> Result<(), Refusal> {
        if shared.config.cluster.is_manager(shared.config.id) {
            self.tm.get_or_insert_with(|| shared.new_tm(&self.transaction));
            self.as_tm(shared, effects, |tm, cx| {
                tm.begin(cx, meta);
                Ok(())
            })
        } else {
            self.rm.get_or_insert_with(|| shared.new_rm());
            self.as_rm(shared, effects, |rm, cx| {
                rm.begin(cx, meta);
                Ok(())
            })
        }
    }

    /// The local resource votes.
    #[inline]
    pub(crate) fn hear_vote<S: Sink>(&mut self, shared: &mut Shared, effects: &mut S, vote: Vote) -> Result<(), Refusal> {
        self.as_rm(shared, effects, |rm, cx| rm.hear_vote(cx, vote))
    }

    /// The local resource has carried the outcome out.
    pub(crate) fn finish<S: Sink>(&mut self, shared: &mut Shared, effects: &mut S) -> Result<(), Refusal> {
        self.as_rm(shared, effects, |rm, cx| rm.finish(cx))
    }

    /// Drives the transaction to its outcome, by every role that is played here.
    pub(crate) fn inquire<S: Sink>(&mut self, shared: &mut Shared, effects: &mut S) -> Result<(), Refusal> {
        if self.rm.is_some() {
            self.as_rm(shared, effects, |rm, cx| Ok(rm.inquire(cx)))?;
        }
        if self.acceptor.is_some() {
            self.as_acceptor(shared, effects, |acceptor, cx| Ok(acceptor.inquire(cx)))?;
        }
        if self.tm.is_some() {
            self.as_tm(shared, effects, |tm, cx| Ok(tm.inquire(cx)))?;
        }
        Ok(())
    }

    /// Lets every role go on whose time-out has ended.
    pub(crate) fn timeout<S: Sink>(&mut self, shared: &mut Shared, effects: &mut S) -> Result<(), Refusal> {
        let now = shared.clock.now();
        if self.acceptor.as_mut().is_some_and(|acceptor| acceptor.ends(now)) {
            self.as_acceptor(shared, effects, |acceptor, cx| Ok(acceptor.timeout(cx)))?;
        }
        if self.rm.as_mut().is_some_and(|rm| rm.ends(now)) {
            self.as_rm(shared, effects, |rm, cx| Ok(rm.timeout(cx)))?;
        }
        if self.tm.as_mut().is_some_and(|tm| tm.ends(now)) {
            self.as_tm(shared, effects, |tm, cx| Ok(tm.timeout(cx)))?;
        }
        Ok(())
    }

    /// The transaction is over: lets the resource manager here have that as news.
    pub(crate) fn retire<S: Sink>(&mut self, shared: &mut Shared, effects: &mut S) {
        if self.rm.is_some() {
            // One that would refuse is asked before.
            let _ = self.as_rm(shared, effects, |rm, cx| Ok(rm.retire(cx)));
        }
    }

    /// Whether the transaction cannot be over, whatever anyone says.
    pub(crate) fn stays(&self) -> bool {
        self.fence.is_some() || self.rm.as_ref().is_some_and(|rm| rm.role.owes())
    }

    /// Lets the roles here have what they said to each other, until they have nothing more to say.
    pub(crate) fn exchange<S: Sink>(&mut self, shared: &mut Shared, effects: &mut S) {
        let mut left = LONGEST_EXCHANGE;
        while let Some(what) = shared.local.pop_front() {
            let Some(fewer) = left.checked_sub(1) else {
                self.fence.get_or_insert(Fence::EndlessExchange);
                shared.local.clear();
                return;
            };
            left = fewer;
            let id = shared.config.id;
            let audience = shared.admit(Some(self), &self.transaction, id, &what);
            let result = audience.and_then(|audience| self.receive(shared, effects, audience, id, &what));
            if let Err(refusal) = result {
                shared.metrics.refuse(refusal);
            }
        }
    }

    /// Brings the time-outs in line with what the roles wait for now. Returns when the first of them ends, if any has
    /// changed.
    #[inline]
    pub(crate) fn keep_time(&mut self, shared: &Shared) -> Option<Time> {
        let keep = Timekeeper { shared, tx: self.transaction.id() };
        let mut changed = false;
        if let Some(acceptor) = &mut self.acceptor {
            let wait = Some(acceptor.role.wait());
            changed |= acceptor.keep(wait, Role::Acceptor, &keep);
        }
        if let Some(rm) = &mut self.rm {
            let wait = rm.role.wait();
            changed |= rm.keep(wait, Role::ResourceManager, &keep);
        }
        if let Some(tm) = &mut self.tm {
            let wait = tm.role.wait();
            changed |= tm.keep(wait, Role::TransactionManager, &keep);
        }
        changed.then(|| self.due())
    }

    /// When the first time-out ends.
    pub(crate) fn due(&self) -> Time {
        if self.fence.is_some() {
            return NEVER;
        }
        let acceptor = self.acceptor.as_ref().map_or(NEVER, |acceptor| acceptor.due);
        let rm = self.rm.as_ref().map_or(NEVER, |rm| rm.due);
        let tm = self.tm.as_ref().map_or(NEVER, |tm| tm.due);
        acceptor.min(rm).min(tm)
    }

    #[inline]
    fn as_acceptor<S: Sink>(
        &mut self,
        shared: &mut Shared,
        effects: &mut S,
        act: impl FnOnce(&mut Acceptor, &mut Context<'_, S>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let (roles, mut cx) = self.split(shared, effects);
        act(&mut roles.acceptor.as_mut().ok_or(Refusal::UnknownTransaction)?.role, &mut cx)
    }

    #[inline]
    fn as_rm<S: Sink>(
        &mut self,
        shared: &mut Shared,
        effects: &mut S,
        act: impl FnOnce(&mut ResourceManager, &mut Context<'_, S>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let (roles, mut cx) = self.split(shared, effects);
        act(&mut roles.rm.as_mut().ok_or(Refusal::UnknownTransaction)?.role, &mut cx)
    }

    /// Lets the transaction manager act, and gives it the round that it may ask for then.
    #[inline]
    fn as_tm<S: Sink>(
        &mut self,
        shared: &mut Shared,
        effects: &mut S,
        act: impl FnOnce(&mut TransactionManager, &mut Context<'_, S>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let (roles, mut cx) = self.split(shared, effects);
        let tm = &mut roles.tm.as_mut().ok_or(Refusal::UnknownTransaction)?.role;
        act(tm, &mut cx)?;
        match tm.wants_round() {
            None => Ok(()),
            Some(above) => self.recover(shared, effects, above),
        }
    }

    /// Gives the transaction manager a round above `above`. That the round is reserved is written first.
    #[cold]
    fn recover<S: Sink>(&mut self, shared: &mut Shared, effects: &mut S, above: u64) -> Result<(), Refusal> {
        let metrics = &mut shared.metrics;
        let round = shared.rounds.take(above.saturating_add(1), |reserved| {
            metrics.count_write();
            effects.persist(Record::Rounds { reserved }, Urgency::Urgent)
        });
        let Some(round) = round else {
            // It goes on waiting: a ballot of another manager may still succeed.
            shared.metrics.refuse(Refusal::RoundsUsedUp);
            return Ok(());
        };
        shared.metrics.count_recovery();
        let (roles, mut cx) = self.split(shared, effects);
        roles.tm.as_mut().map_or(Ok(()), |tm| tm.role.recover(&mut cx, round))
    }

    /// The roles, and what they work with.
    #[inline]
    fn split<'a, S>(&'a mut self, shared: &'a mut Shared, effects: &'a mut S) -> (Roles<'a>, Context<'a, S>) {
        let Self { transaction, scope, fence, acceptor, rm, tm, .. } = self;
        let cx = Context {
            cluster: &shared.config.cluster,
            id: shared.config.id,
            transaction,
            scope,
            rounds: shared.rounds.scope,
            fence,
            local: Some(&mut shared.local),
            metrics: &mut shared.metrics,
            effects,
        };
        (Roles { acceptor, rm, tm }, cx)
    }
}

struct Roles<'a> {
    acceptor: &'a mut Option<Playing<Acceptor>>,
    rm: &'a mut Option<Box<Playing<ResourceManager>>>,
    tm: &'a mut Option<Box<Playing<TransactionManager>>>,
}

/// What a time-out is made of.
struct Timekeeper<'a> {
    shared: &'a Shared,
    tx: TxId,
}

/// Whose time-out it is.
#[derive(Clone, Copy)]
enum Role {
    Acceptor,
    ResourceManager,
    TransactionManager,
}

impl Timekeeper<'_> {
    /// How much a wait is drawn out: it looks random, and is the same whenever and wherever it is asked for.
    fn jitter(&self, role: Role, wait: Wait) -> u64 {
        let words = [self.tx.origin.0, self.tx.seq, u64::from(wait.repetition()), role as u64];
        words.into_iter().fold(self.shared.config.seed, |state, word| mix(state ^ word))
    }
}

impl<R> Playing<R> {
    /// Starts the time-out over, if the role waits for something else now. Returns whether it does.
    #[inline]
    fn keep(&mut self, wait: Option<Wait>, role: Role, keep: &Timekeeper<'_>) -> bool {
        if wait == self.wait {
            return false;
        }
        self.wait = wait;
        self.due = wait.map_or(NEVER, |wait| {
            let duration = wait.duration(&keep.shared.config.cluster.timeouts(), keep.jitter(role, wait));
            Time(keep.shared.clock.now().0.saturating_add(duration))
        });
        true
    }

    /// Whether the time-out ends by `now`. Then it is over: what the role waits for after this, it waits for anew.
    fn ends(&mut self, now: Time) -> bool {
        let ends = self.due <= now;
        if ends {
            (self.wait, self.due) = (None, NEVER);
        }
        ends
    }
}

impl<R> From<R> for Playing<R> {
    fn from(role: R) -> Self {
        Self { role, wait: None, due: NEVER }
    }
}
