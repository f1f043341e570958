//! An open transaction at a node: the roles that the node plays in it, and their time-outs.

mod endings;
mod recovery;
mod violations;

use alloc::boxed::Box;

use super::{
    EpochMessage, Learning, Meta, Outcome, Record, Sink, Time, Transaction, ViolationReason, Vote, What,
    acceptor::Acceptor,
    clock::NEVER,
    contacts::ContactId,
    context::Context,
    resource_manager::ResourceManager,
    shared::{Playing, Shared, keep},
    transaction_manager::TransactionManager,
    turns::Claim,
};
use crate::{Fence, NodeId, Refusal, Scope};

/// How many messages the roles of one node may exchange within a step. The longest exchange has seven turns, of a few
/// messages each: an inquiry, the two phases of a ballot and their answers, the outcome, and the report that it is
/// carried out.
const LONGEST_EXCHANGE: usize = 64;

/// A transaction that is not over, as one node sees it.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Open {
    pub(crate) transaction: Transaction,
    /// What effects about this transaction rest on.
    pub(crate) scope: Scope,
    /// When the node first saw it, on its own clock.
    pub(crate) since: Time,
    /// The participant that was the first to speak of it here, if any.
    pub(crate) opener: Option<ContactId>,
    /// The broken invariant that makes the node silent about it, if any.
    pub(crate) fence: Option<Fence>,
    /// How it shows that an assumption of the protocol was broken, if it does.
    pub(crate) violation: Option<ViolationReason>,
    /// Whether this node has retired it, before it was restored. Then only the resource manager acts.
    pub(crate) is_retired: bool,
    pub(crate) acceptor: Option<Playing<Acceptor>>,
    pub(crate) rm: Option<Box<Playing<ResourceManager>>>,
    pub(crate) tm: Option<Box<Playing<TransactionManager>>>,
}

impl Open {
    /// A transaction that the node sees for the first time. Its effects rest on `scope`.
    pub(crate) fn new(transaction: Transaction, scope: Scope, since: Time) -> Self {
        Self {
            transaction,
            scope,
            since,
            opener: None,
            fence: None,
            violation: None,
            is_retired: false,
            acceptor: None,
            rm: None,
            tm: None,
        }
    }

    /// Whether the transaction manager here knows that all resource managers have finished.
    #[inline]
    pub(crate) fn is_completed(&self) -> bool {
        self.tm.as_ref().is_some_and(|tm| tm.role.is_completed())
    }

    /// The outcome, if a role here knows it.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        let at_tm = self.tm.as_ref().and_then(|tm| tm.role.outcome());
        at_tm.or(self.rm.as_ref().and_then(|rm| rm.role.learned()))
    }

    /// Gives a message to the role that it is for, which is created if need be.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        shared: &mut Shared,
        effects: &mut Sink<'_>,
        from: NodeId,
        what: &What,
    ) -> Result<(), Refusal> {
        if self.is_closed_to(what) {
            return Err(Refusal::Retired);
        }
        match what {
            What::Vote { .. } | What::Phase1a { .. } | What::Phase2a { .. }
                if shared.frozen.is_some() && !self.repeats_vote(from, what) =>
            {
                // A handover is under way: to go on with this transaction is up to that.
                if let Some(promised) = shared.frozen.filter(|_| from != shared.config.id) {
                    shared.say(effects, from, EpochMessage::Frozen { promised });
                }
                Err(Refusal::Changing)
            }
            What::Vote { vote, manager } => {
                self.give_acceptor(shared, effects, |acceptor, cx| acceptor.vote(cx, from, *vote, *manager))
            }
            What::Prepare { meta, acceptors } => {
                self.give_rm(shared, effects, |rm, cx| rm.prepare(cx, from, meta, acceptors))
            }
            What::Begin { meta } => self.give_tm(shared, effects, |tm, cx| tm.hear_begin(cx, from, meta)),
            What::Finished(outcome) => self.give_tm(shared, effects, |tm, cx| tm.finished(cx, from, *outcome)),
            What::Inquire => self.give_tm(shared, effects, |tm, cx| tm.hear_inquiry(cx, from)),
            What::Decline => self.give_tm(shared, effects, |tm, cx| tm.hear_decline(cx, from)),
            What::Phase1a { ballot, instances } => {
                self.give_acceptor(shared, effects, |acceptor, cx| acceptor.phase1a(cx, from, *ballot, instances))
            }
            What::Phase2a { ballot, votes } => {
                self.give_acceptor(shared, effects, |acceptor, cx| acceptor.phase2a(cx, from, *ballot, votes))
            }
            What::Phase1b { ballot, promises } => {
                self.give_tm(shared, effects, |tm, cx| tm.phase1b(cx, from, *ballot, promises))
            }
            What::Reject { ballot, promised } => {
                self.give_tm(shared, effects, |tm, cx| tm.reject(cx, from, *ballot, promised))
            }
            What::Wait => self.hear_wait(shared, from),
            What::OtherTransaction => self.hear_other(shared, effects, from),
            // A transaction manager that is at work also hears what is sent to the resource manager of its node.
            What::Outcome(outcome) => {
                if !self.transaction.has(shared.config.id) {
                    return match self.tm.is_some() {
                        true => self.give_tm(shared, effects, |tm, cx| tm.hear_outcome(cx, from, *outcome)),
                        false if shared.is_manager => Err(Refusal::UnknownTransaction),
                        false => Err(Refusal::NotAParticipant),
                    };
                }
                let rm = self.give_rm(shared, effects, |rm, cx| rm.hear_outcome(cx, from, *outcome));
                if self.tm.is_none() {
                    return rm;
                }
                self.give_tm(shared, effects, |tm, cx| tm.hear_outcome(cx, from, *outcome)).or(rm)
            }
            What::Phase2b { votes, higher } => {
                let learns = shared.config.cluster.learning() == Learning::Everyone;
                if !learns || !self.transaction.has(shared.config.id) {
                    return self.give_tm(shared, effects, |tm, cx| tm.phase2b(cx, from, votes, higher));
                }
                let rm = self.give_rm(shared, effects, |rm, cx| rm.phase2b(cx, from, votes, higher));
                if self.tm.is_none() {
                    return rm;
                }
                self.give_tm(shared, effects, |tm, cx| tm.phase2b(cx, from, votes, higher)).or(rm)
            }
        }
    }

    /// Whether `what` is a vote that the acceptor here has accepted: then it only answers again.
    fn repeats_vote(&self, from: NodeId, what: &What) -> bool {
        let place = self.transaction.place(from);
        let accepted = self.acceptor.as_ref().zip(place).and_then(|(acceptor, place)| acceptor.role.accepted_at(place));
        matches!(what, What::Vote { vote, .. } if accepted == Some(*vote))
    }

    /// Whether nothing here hears `what` any more: the transaction is retired, and only its outcome matters.
    #[inline]
    pub(crate) fn is_closed_to(&self, what: &What) -> bool {
        self.is_retired && !matches!(what, What::Outcome(_))
    }

    /// Lets the acceptor act, and creates it if need be. A new one that refuses its first input is dropped again.
    #[inline]
    fn give_acceptor(
        &mut self,
        shared: &mut Shared,
        effects: &mut Sink<'_>,
        act: impl FnOnce(&mut Acceptor, &mut Context<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        if !shared.is_acceptor {
            return Err(Refusal::NotAnAcceptor);
        }
        if !self.is_of_epoch(shared) {
            return Err(Refusal::OldEpoch);
        }
        let is_new = self.acceptor.is_none();
        if is_new {
            let manager = shared.config.cluster.manager_of(self.transaction.id());
            self.acceptor = Some(Acceptor::new(manager).into());
        }
        let result = self.as_acceptor(shared, effects, act);
        if is_new && result.is_err() {
            self.acceptor = None;
        }
        result
    }

    /// Lets the resource manager act, as [`give_acceptor`](Self::give_acceptor) does.
    #[inline]
    fn give_rm(
        &mut self,
        shared: &mut Shared,
        effects: &mut Sink<'_>,
        act: impl FnOnce(&mut ResourceManager, &mut Context<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let is_new = self.rm.is_none();
        if is_new {
            if !self.transaction.has(shared.config.id) {
                return Err(Refusal::NotAParticipant);
            }
            self.rm = Some(shared.new_rm());
        }
        let result = self.as_rm(shared, effects, act);
        if is_new && result.is_err() {
            keep(&mut shared.spare_rms, self.rm.take());
        }
        result
    }

    /// Lets the transaction manager act, as [`give_acceptor`](Self::give_acceptor) does.
    #[inline]
    fn give_tm(
        &mut self,
        shared: &mut Shared,
        effects: &mut Sink<'_>,
        act: impl FnOnce(&mut TransactionManager, &mut Context<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let is_new = self.tm.is_none();
        if is_new {
            if !shared.is_manager {
                return Err(Refusal::NotAManager);
            }
            self.tm = Some(shared.new_tm(&self.transaction));
        }
        let result = self.as_tm(shared, effects, act);
        if is_new && result.is_err() {
            keep(&mut shared.spare_tms, self.tm.take());
        }
        result
    }

    /// Begins the transaction here. A transaction manager that is also a participant starts as the manager, and asks
    /// itself to vote.
    pub(crate) fn begin(&mut self, shared: &mut Shared, effects: &mut Sink<'_>, meta: &Meta) -> Result<(), Refusal> {
        if shared.is_manager {
            self.give_tm(shared, effects, |tm, cx| {
                tm.begin(cx, meta);
                Ok(())
            })
        } else {
            self.give_rm(shared, effects, |rm, cx| {
                rm.begin(cx, meta);
                Ok(())
            })
        }
    }

    /// The local resource votes.
    #[inline]
    pub(crate) fn hear_vote(&mut self, shared: &mut Shared, effects: &mut Sink<'_>, vote: Vote) -> Result<(), Refusal> {
        self.as_rm(shared, effects, |rm, cx| rm.hear_vote(cx, vote))
    }

    /// The local resource finds the transaction prepared in itself.
    pub(crate) fn found(&mut self, shared: &mut Shared, effects: &mut Sink<'_>, meta: &Meta) -> Result<(), Refusal> {
        self.give_rm(shared, effects, |rm, cx| rm.found(cx, meta))
    }

    /// The local resource has carried out the outcome.
    pub(crate) fn finish(&mut self, shared: &mut Shared, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        self.as_rm(shared, effects, |rm, cx| rm.finish(cx))
    }

    /// Drives the transaction to its outcome, through every role that is played here.
    pub(crate) fn inquire(&mut self, shared: &mut Shared, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        if self.rm.is_some() {
            self.as_rm(shared, effects, |rm, cx| {
                rm.inquire(cx);
                Ok(())
            })?;
        }
        if self.acceptor.is_some() && self.is_of_epoch(shared) {
            self.as_acceptor(shared, effects, |acceptor, cx| {
                acceptor.inquire(cx);
                Ok(())
            })?;
        }
        if self.tm.is_some() {
            self.as_tm(shared, effects, |tm, cx| {
                tm.inquire(cx);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The transaction manager here is to wait for votes until `patience` after the beginning.
    pub(crate) fn be_patient(
        &mut self,
        shared: &mut Shared,
        effects: &mut Sink<'_>,
        patience: u64,
    ) -> Result<(), Refusal> {
        let until = Time(self.since.0.saturating_add(patience));
        if self.tm.is_none() {
            return Err(Refusal::NotAManager);
        }
        self.as_tm(shared, effects, |tm, cx| tm.be_patient(cx, until))?;
        if let Some(tm) = &mut self.tm {
            tm.due = until;
            shared.moved = true;
        }
        Ok(())
    }

    /// A transaction manager is at work on it: the roles here ask it before they turn to another one.
    fn hear_wait(&mut self, shared: &mut Shared, from: NodeId) -> Result<(), Refusal> {
        if !shared.config.cluster.is_manager(from) {
            return Err(Refusal::NotAManager);
        }
        if self.rm.is_none() && self.acceptor.is_none() {
            return Err(Refusal::UnknownTransaction);
        }
        if let Some(rm) = &mut self.rm {
            rm.role.hear_wait(from);
            rm.keep(Some(rm.role.wait()), shared);
        }
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.role.hear_wait(from);
            acceptor.keep(Some(acceptor.role.wait()), shared);
        }
        Ok(())
    }

    /// Lets every role act whose time-out has ended.
    pub(crate) fn timeout(&mut self, shared: &mut Shared, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        let now = shared.clock.now();
        // Once it is frozen, the end of the epoch is the next that it hears; after that it is only there to be erased.
        let is_at_work = shared.frozen.is_none() && self.is_of_epoch(shared);
        if self.acceptor.as_mut().is_some_and(|acceptor| acceptor.ends(now)) && is_at_work {
            self.as_acceptor(shared, effects, |acceptor, cx| {
                acceptor.timeout(cx);
                Ok(())
            })?;
        }
        if let Some(rm) = self.rm.as_ref().filter(|rm| rm.due <= now)
            && let (Some(manager), Some(wait)) = (rm.role.expects(), rm.wait)
        {
            shared.miss(manager, wait, rm.due);
        }
        if self.rm.as_mut().is_some_and(|rm| rm.ends(now)) {
            self.as_rm(shared, effects, |rm, cx| {
                rm.timeout(cx);
                Ok(())
            })?;
        }
        if let Some(tm) = self.tm.as_ref().filter(|tm| tm.due <= now)
            && let (None, Some(wait)) = (tm.role.outcome(), tm.wait)
        {
            shared.miss_acceptors(wait, tm.due);
        }
        if let Some(tm) = &mut self.tm
            && tm.ends(now)
        {
            // An attempt's time is over. Who still waits for a turn goes on waiting.
            if tm.role.claim == Claim::Holds {
                shared.turns.give_up(&mut tm.role.claim);
            }
            self.as_tm(shared, effects, |tm, cx| {
                tm.timeout(cx);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Whether it runs among the acceptors of this node's epoch.
    #[inline]
    pub(crate) fn is_of_epoch(&self, shared: &Shared) -> bool {
        Some(self.transaction.epoch()) == shared.epoch
    }

    /// Delivers messages between the roles here until none is left.
    pub(crate) fn exchange(&mut self, shared: &mut Shared, effects: &mut Sink<'_>) {
        let mut left = LONGEST_EXCHANGE;
        while let Some(what) = shared.local.pop_front() {
            let Some(fewer) = left.checked_sub(1) else {
                self.fence.get_or_insert(Fence::EndlessExchange);
                shared.local.clear();
                return;
            };
            left = fewer;
            if self.fence.is_some() {
                shared.local.clear();
                return;
            }
            let id = shared.config.id;
            if let Err(refusal) = self.receive(shared, effects, id, &what) {
                shared.metrics.refuse(refusal);
            }
        }
    }

    /// Starts the time-outs of restored roles.
    pub(crate) fn start_waiting(&mut self, shared: &mut Shared) {
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.keep(Some(acceptor.role.wait()), shared);
        }
        if let Some(rm) = &mut self.rm {
            rm.keep(Some(rm.role.wait()), shared);
            if rm.role.is_in_doubt() {
                // It may have waited long enough before the restart.
                rm.due = shared.clock.now();
            }
        }
    }

    /// When the earliest time-out ends.
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
    fn as_acceptor(
        &mut self,
        shared: &mut Shared,
        effects: &mut Sink<'_>,
        act: impl FnOnce(&mut Acceptor, &mut Context<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let (roles, mut cx) = self.split(shared, effects);
        let Some(acceptor) = roles.acceptor else { return Err(Refusal::UnknownTransaction) };
        act(&mut acceptor.role, &mut cx)?;
        acceptor.keep(Some(acceptor.role.wait()), shared);
        Ok(())
    }

    #[inline]
    fn as_rm(
        &mut self,
        shared: &mut Shared,
        effects: &mut Sink<'_>,
        act: impl FnOnce(&mut ResourceManager, &mut Context<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut ended = self.ended_by_handover(shared);
        if self.violation == Some(ViolationReason::OtherTransaction) && !self.is_of_epoch(shared) && !self.is_in_doubt()
        {
            ended = ended.or(Some(Outcome::Aborted));
        }
        let (roles, mut cx) = self.split(shared, effects);
        let Some(rm) = roles.rm else { return Err(Refusal::UnknownTransaction) };
        if let Some(outcome) = ended {
            rm.role.hear_ending(&mut cx, outcome)?;
        }
        act(&mut rm.role, &mut cx)?;
        rm.keep(Some(rm.role.wait()), shared);
        Ok(())
    }

    /// Lets the transaction manager act, and starts a recovery if it then asks for a round.
    #[inline]
    fn as_tm(
        &mut self,
        shared: &mut Shared,
        effects: &mut Sink<'_>,
        act: impl FnOnce(&mut TransactionManager, &mut Context<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        // What is over elsewhere is not recovered: acceptors only say so, and others wait for the place.
        let ended = self.ended_by_handover(shared);
        // Nor is what a handover has ended: the acceptors of its epoch are done.
        let may_recover = self.violation != Some(ViolationReason::OverElsewhere) && self.is_of_epoch(shared);
        let (roles, mut cx) = self.split(shared, effects);
        let Some(tm) = roles.tm else { return Err(Refusal::UnknownTransaction) };
        let was_known = tm.role.outcome().is_some();
        if let Some(outcome) = ended {
            tm.role.hear_ending(&mut cx, outcome)?;
        }
        act(&mut tm.role, &mut cx)?;
        tm.keep(tm.role.wait(), shared);
        if !was_known && tm.role.outcome().is_some() {
            shared.turns.give_up(&mut tm.role.claim);
            shared.count_decided();
        }
        if may_recover && tm.role.wants_round().is_some() { self.claim_turn(shared, effects) } else { Ok(()) }
    }

    /// The roles, and the context that they work in.
    #[inline]
    fn split<'r: 'c, 'c>(&'r mut self, shared: &'c mut Shared, effects: &'c mut Sink<'_>) -> (Roles<'r>, Context<'c>) {
        let Self { transaction, scope, fence, acceptor, rm, tm, .. } = self;
        let cx = Context {
            cluster: &shared.config.cluster,
            former: &shared.former,
            id: shared.config.id,
            resource: shared.config.resource,
            transaction,
            scope,
            rounds: shared.rounds.scope,
            fence,
            local: Some(&mut shared.local),
            peers: &mut shared.peers,
            now: shared.clock.now(),
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
