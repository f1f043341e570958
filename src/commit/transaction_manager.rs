//! The transaction manager: learns the outcome of one transaction, and sees it through.
//!
//! It asks for votes, learns what the instances chose, tells the resource managers, and waits until all of them have
//! finished. When it has waited too long, it becomes the proposer of a higher ballot: it proposes what was accepted, or
//! abort where nothing was. Any transaction manager may do so at any time. It must never decide what the acceptors have
//! not chosen, nor call a transaction completed before every resource manager has finished it.
//!
//! Invariants:
//! 1. its outcome is what the instances chose, what another transaction manager reports, or what all resource managers
//!    have finished: one of them alone proves nothing about the others;
//! 2. its outcome never changes;
//! 3. it uses a round once: its node reserves each round durably before a message shows it.
//!
//! It writes nothing: after a crash, a transaction manager learns the outcome again.

mod instance;

use alloc::{boxed::Box, vec::Vec};

use self::instance::{Finish, Instance};
use super::{
    Acceptance, Decision, Learning, Meta, Obstacle, Outcome, Places, Promises, Time, Transaction, Vote, Votes, Wait,
    What,
    bundle::{self, AnyOf},
    context::Context,
    peers::Peers,
    turns::Claim,
};
use crate::{Ballot, NodeId, Refusal, paxos::Attempt};

/// A transaction manager's part in one transaction. All of its state is volatile.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct TransactionManager {
    phase: Phase,
    /// One per participant, in their order.
    instances: Vec<Instance>,
    /// What the transaction is about, if a client or a resource manager began it here.
    meta: Option<Meta>,
    /// Whether it has taken any input.
    heard: bool,
    /// Whether it needs a round, to try a ballot of its own.
    wants_round: bool,
    /// Whether it ever tried one.
    recovered: bool,
    /// The highest round that it used, or that a rejection named.
    highest_round: u64,
    /// How often the present wait has timed out.
    repetitions: u32,
    /// Its node's: the place that it has, or waits for, to recover.
    pub(crate) claim: Claim,
    /// How often it has tried a ballot of its own.
    attempts: u32,
    /// Until when it waits for votes, if a client has said so.
    patience: Time,
}

/// The progress of a transaction manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
enum Phase {
    /// It does not know the outcome.
    Learning,
    /// It knows the outcome, and waits for all resource managers to carry it out.
    Decided(Outcome),
    /// All resource managers have carried out the outcome.
    Completed(Outcome),
}

/// What the resource managers' own words say of the outcome together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agreed {
    /// Some have not finished.
    NotYet,
    /// All have carried out this outcome.
    Yes(Outcome),
    /// Two contradict each other, or one does not say which outcome it was.
    Never,
}

impl TransactionManager {
    /// A transaction manager that has never heard of `transaction`.
    pub(crate) fn new(transaction: &Transaction) -> Self {
        Self::in_memory(Vec::new(), transaction)
    }

    /// Starts over for `transaction`, in the same memory.
    pub(crate) fn reset(&mut self, transaction: &Transaction) {
        let mut instances = core::mem::take(&mut self.instances);
        instances.clear();
        *self = Self::in_memory(instances, transaction);
    }

    fn in_memory(mut instances: Vec<Instance>, transaction: &Transaction) -> Self {
        instances.extend(transaction.participants().iter().map(|_| Instance::default()));
        Self {
            phase: Phase::Learning,
            instances,
            meta: None,
            heard: false,
            wants_round: false,
            recovered: false,
            highest_round: 0,
            repetitions: 0,
            claim: Claim::None,
            attempts: 0,
            patience: Time(0),
        }
    }

    /// The outcome, once it is known here.
    #[inline]
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self.phase {
            Phase::Learning => None,
            Phase::Decided(outcome) | Phase::Completed(outcome) => Some(outcome),
        }
    }

    /// Whether all resource managers have carried out the outcome.
    #[inline]
    pub(crate) fn is_completed(&self) -> bool {
        matches!(self.phase, Phase::Completed(_))
    }

    /// If it needs a round, to try a ballot of its own: the number that the round must be above.
    #[inline]
    pub(crate) fn wants_round(&self) -> Option<u64> {
        self.wants_round.then_some(self.highest_round)
    }

    /// The same, unless there is nothing left that a ballot could find out.
    pub(crate) fn needs_round(&mut self, cx: &Context<'_>) -> Option<u64> {
        if self.outcome().is_some() && !self.has_ghosts(cx) {
            self.wants_round = false;
        }
        self.wants_round()
    }

    /// How often it has tried a ballot of its own.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// What it waits for.
    #[inline]
    pub(crate) fn wait(&self) -> Option<Wait> {
        match self.phase {
            Phase::Learning => Some(Wait::Recover(self.repetitions)),
            Phase::Decided(_) => Some(Wait::Repeat(self.repetitions)),
            Phase::Completed(_) => None,
        }
    }

    /// A client begins the transaction here, or repeats that.
    pub(crate) fn begin(&mut self, cx: &mut Context<'_>, meta: &Meta) {
        self.heard = true;
        self.meta.get_or_insert_with(|| meta.clone());
        match self.outcome() {
            None => self.ask(cx, None, meta),
            Some(outcome) => cx.decide(Decision::Decided { tx: cx.transaction.id(), outcome }),
        }
    }

    /// It is to wait for votes until `until`, on the node's own clock.
    pub(crate) fn be_patient(&mut self, cx: &mut Context<'_>, until: Time) -> Result<(), Refusal> {
        if self.outcome().is_some() {
            return Err(Refusal::AlreadyDecided);
        }
        self.patience = until;
        // Others inquire only after the usual time.
        if until.0 > cx.now.0.saturating_add(cx.cluster.timeouts().recover) {
            for rm in cx.transaction.participants() {
                cx.send(*rm, What::Wait);
            }
        }
        Ok(())
    }

    /// A resource manager has voted, and wants the others to be asked.
    #[inline]
    pub(crate) fn hear_begin(&mut self, cx: &mut Context<'_>, from: NodeId, meta: &Meta) -> Result<(), Refusal> {
        if !cx.transaction.has(from) {
            return Err(Refusal::NotAParticipant);
        }
        cx.check_meta(meta)?;
        self.heard = true;
        self.meta.get_or_insert_with(|| meta.clone());
        if self.outcome().is_some() {
            self.tell(cx, from);
        } else if cx.check_participants().is_ok() {
            self.ask(cx, Some(from), meta);
        } else {
            // It would only wait for a vote that does not come.
            self.wants_round = true;
        }
        Ok(())
    }

    /// A resource manager or an acceptor asks for the outcome.
    pub(crate) fn hear_inquiry(&mut self, cx: &mut Context<'_>, from: NodeId) -> Result<(), Refusal> {
        let takes_part = cx.transaction.has(from);
        if !takes_part && !cx.cluster.acceptors().contains(from) {
            return Err(Refusal::NotAParticipant);
        }
        let heard = core::mem::replace(&mut self.heard, true);
        if self.outcome().is_none() && cx.now < self.patience {
            cx.send(from, What::Wait);
        } else if self.outcome().is_none() {
            // Without any news there is nothing to wait for: recover at once.
            self.wants_round |= !heard;
        } else if takes_part {
            // An acceptor has no use for the outcome: it waits for the retirement.
            self.tell(cx, from);
        }
        Ok(())
    }

    /// The resource of a resource manager cannot prepare, and must not vote to abort: recover, and abort unless an earlier
    /// vote to commit turns up. It says so until it hears the outcome, so a recovery that is under way goes on undisturbed.
    pub(crate) fn hear_decline(&mut self, cx: &mut Context<'_>, from: NodeId) -> Result<(), Refusal> {
        if !cx.transaction.has(from) {
            return Err(Refusal::NotAParticipant);
        }
        self.heard = true;
        if self.outcome().is_none() {
            self.wants_round |= !self.recovered;
        } else {
            self.tell(cx, from);
        }
        Ok(())
    }

    /// Another transaction manager reports the outcome.
    pub(crate) fn hear_outcome(&mut self, cx: &mut Context<'_>, from: NodeId, outcome: Outcome) -> Result<(), Refusal> {
        if !cx.may_tell(from) {
            return Err(Refusal::NotAManager);
        }
        self.settle(cx, outcome)?;
        self.heard = true;
        Ok(())
    }

    /// The handover of the transaction's epoch has ended it.
    pub(crate) fn hear_ending(&mut self, cx: &mut Context<'_>, outcome: Outcome) -> Result<(), Refusal> {
        self.settle(cx, outcome)
    }

    /// A new epoch has begun: participants may have been written off.
    pub(crate) fn look_again(&mut self, cx: &mut Context<'_>) {
        self.complete(cx);
    }

    /// Asks a participant again that may have refused to hear.
    pub(crate) fn ask_again(&mut self, cx: &mut Context<'_>, to: NodeId) {
        match (self.outcome(), &self.meta) {
            (Some(_), _) => self.tell(cx, to),
            (None, Some(meta)) => {
                let acceptors = cx.peers.detour(cx.cluster, cx.id, cx.now);
                cx.send(to, What::Prepare { meta: meta.clone(), acceptors });
            }
            (None, None) => {}
        }
    }

    /// Asks for the votes that are not known yet, except that of the participant that began: it has voted. But if some
    /// acceptor does not seem to answer, it must vote again: at the same acceptors as the others.
    #[inline]
    fn ask(&self, cx: &mut Context<'_>, began: Option<NodeId>, meta: &Meta) {
        let acceptors = cx.peers.detour(cx.cluster, cx.id, cx.now);
        for (rm, instance) in cx.transaction.participants().iter().zip(&self.instances) {
            if instance.lesson.chosen().is_none() && (Some(*rm) != began || !acceptors.is_empty()) {
                cx.send(*rm, What::Prepare { meta: meta.clone(), acceptors: acceptors.clone() });
            }
        }
    }

    /// Tries a ballot of its own in every undecided instance. *TLA+*: `Phase1a`, once per instance.
    pub(crate) fn recover(&mut self, cx: &mut Context<'_>, round: u64) -> Result<(), Refusal> {
        if self.outcome().is_some() && !self.has_ghosts(cx) {
            return Err(Refusal::AlreadyDecided);
        }
        if round <= self.highest_round {
            return Err(Refusal::StaleBallot);
        }
        let ballot = Ballot::new(round, cx.id);
        (self.wants_round, self.recovered, self.highest_round) = (false, true, round);
        self.attempts = self.attempts.saturating_add(1);
        let mut instances = Places::default();
        let is_decided = self.outcome().is_some();
        for ((place, instance), rm) in self.instances.iter_mut().enumerate().zip(cx.transaction.participants()) {
            if if is_decided { instance.may_be_ghost(cx, *rm) } else { instance.lesson.chosen().is_none() } {
                instance.attempt = Some(Box::new(Attempt::prepare(ballot)));
                instances.insert(place);
            }
        }
        for to in cx.cluster.acceptors().nodes() {
            cx.send_ballot(to, What::Phase1a { ballot, instances: instances.clone() });
        }
        Ok(())
    }

    /// Phase 2b. *TLA+*: `Decide`.
    #[inline]
    pub(crate) fn phase2b(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        votes: &Votes,
        higher: &[Acceptance],
    ) -> Result<(), Refusal> {
        let acceptor = bundle::check(cx, from, votes.cast(), higher.iter().map(|accepted| accepted.rm))?;
        bundle::learn(cx, &mut self.instances, |instance| &mut instance.lesson, acceptor, votes, higher)?;
        self.heard = true;
        if self.outcome().is_none()
            && let Some(outcome) = Outcome::of(self.instances.iter().map(|instance| instance.lesson.chosen().copied()))
        {
            self.settle(cx, outcome)?;
        }
        Ok(())
    }

    /// Phase 1b. Each instance where it completes a quorum goes on to phase 2a. *TLA+*: `Phase2a`, once per instance.
    pub(crate) fn phase1b(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        ballot: Ballot,
        promises: &Promises,
    ) -> Result<(), Refusal> {
        let Promises { instances, votes, higher } = promises;
        let acceptor = bundle::check(cx, from, instances, higher.iter().map(|accepted| accepted.rm))?;
        let mut told = higher.iter().filter_map(|accepted| cx.transaction.place(accepted.rm));
        if !votes.cast().is_subset(instances) || !told.all(|place| instances.has(place)) {
            return Err(Refusal::MalformedBundle);
        }
        let acceptors = cx.cluster.acceptors();
        let (mut all, mut proposals) = (AnyOf::default(), Votes::default());
        for place in promises.instances.iter() {
            let (Some(rm), Some(instance)) = (cx.transaction.participants().get(place), self.instances.get_mut(place))
            else {
                continue;
            };
            let initial = promises.votes.get(place).map(|vote| (Ballot::initial(*rm), vote));
            let higher = promises.higher.iter().find(|accepted| accepted.rm == *rm);
            let accepted = higher.map(|accepted| (accepted.ballot, accepted.vote)).or(initial);
            let Some(attempt) = &mut instance.attempt else {
                all.add(Err(Refusal::OtherBallot));
                continue;
            };
            // If no acceptor of a quorum has accepted a vote, no lower ballot can have chosen one: aborting is safe.
            let promised = attempt.promise(acceptors, acceptor, ballot, accepted, Some(&Vote::Aborted));
            all.add(promised.map(|value| {
                // An abort above the initial ballot may be any transaction manager's.
                instance.voted |= accepted.is_some_and(|(at, vote)| at.is_initial() || vote == Vote::Prepared);
                if let Some(vote) = value {
                    instance.probed = true;
                    proposals.insert(place, vote);
                }
            }));
        }
        all.result()?;
        self.heard = true;
        if !proposals.is_empty() {
            for to in acceptors.nodes() {
                cx.send_ballot(to, What::Phase2a { ballot, votes: proposals.clone() });
            }
        }
        self.complete(cx);
        Ok(())
    }

    /// Acceptors rejected our ballot in some instances: remember the higher round.
    pub(crate) fn reject(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        ballot: Ballot,
        promised: &[Obstacle],
    ) -> Result<(), Refusal> {
        bundle::check(cx, from, &Places::default(), promised.iter().map(|obstacle| obstacle.rm))?;
        let mut all = AnyOf::default();
        for obstacle in promised {
            all.add(self.obstacle(cx, ballot, obstacle));
        }
        all.result()?;
        self.heard = true;
        Ok(())
    }

    fn obstacle(
        &mut self,
        cx: &Context<'_>,
        ballot: Ballot,
        &Obstacle { rm, promised }: &Obstacle,
    ) -> Result<(), Refusal> {
        let instance = cx.transaction.place(rm).and_then(|place| self.instances.get(place));
        let attempt = instance.and_then(|instance| instance.attempt.as_ref()).ok_or(Refusal::OtherBallot)?;
        if !cx.cluster.is_manager(promised.node) {
            return Err(Refusal::NotAProposer);
        }
        attempt.check_rejection(ballot, promised)?;
        self.highest_round = self.highest_round.max(promised.round);
        Ok(())
    }

    /// A resource manager has carried out an outcome. That proves nothing about the others: a commit or an abort that
    /// only it has seen may be a lie, or a fault.
    pub(crate) fn finished(&mut self, cx: &mut Context<'_>, from: NodeId, outcome: Outcome) -> Result<(), Refusal> {
        self.note_finish(cx, from, Finish::CarriedOut(outcome))
    }

    /// To a resource manager, the transaction is retired.
    pub(crate) fn hear_retired_by(&mut self, cx: &mut Context<'_>, from: NodeId) -> Result<(), Refusal> {
        self.note_finish(cx, from, Finish::Retired)
    }

    fn note_finish(&mut self, cx: &mut Context<'_>, from: NodeId, finish: Finish) -> Result<(), Refusal> {
        let place = cx.transaction.place(from).ok_or(Refusal::NotAParticipant)?;
        let Some(instance) = self.instances.get_mut(place) else { return Err(Refusal::NotAParticipant) };
        let is_first = instance.finished.is_none();
        let first = *instance.finished.get_or_insert(finish);
        instance.settle(cx.peers, from);
        let heard = core::mem::replace(&mut self.heard, true);
        if is_first && self.outcome().is_none() {
            match self.agreed() {
                Agreed::Yes(outcome) => self.settle(cx, outcome)?,
                // The acceptors know.
                Agreed::Never => self.wants_round = true,
                // Who has not heard of the transaction before has nothing else to wait for.
                Agreed::NotYet => self.wants_round |= !heard,
            }
        }
        if first.contradicts(finish)
            || self.outcome().is_some_and(|known| finish.contradicts(Finish::CarriedOut(known)))
        {
            // It is done all the same, and none of the others is to wait for it.
            cx.metrics.refuse(Refusal::ContradictoryOutcome);
        }
        self.complete(cx);
        Ok(())
    }

    /// What the resource managers' own words say together.
    fn agreed(&self) -> Agreed {
        let mut agreed = None;
        let mut is_open = false;
        for instance in &self.instances {
            match instance.finished {
                None => is_open = true,
                Some(Finish::CarriedOut(outcome)) if agreed.is_none_or(|before| before == outcome) => {
                    agreed = Some(outcome);
                }
                Some(Finish::CarriedOut(_) | Finish::Retired) => return Agreed::Never,
            }
        }
        agreed.filter(|_| !is_open).map_or(Agreed::NotYet, Agreed::Yes)
    }

    /// The resource managers and their instances.
    fn each<'t>(&'t self, transaction: &'t Transaction) -> impl Iterator<Item = (NodeId, &'t Instance)> {
        transaction.participants().iter().copied().zip(&self.instances)
    }

    /// The participants whose votes are not known to be chosen; once the outcome is known, those that have not finished.
    pub(crate) fn waits_for<'t>(&'t self, transaction: &'t Transaction) -> impl Iterator<Item = NodeId> {
        let is_open = move |instance: &Instance| match self.phase {
            Phase::Learning => instance.lesson.chosen().is_none(),
            Phase::Decided(_) | Phase::Completed(_) => instance.finished.is_none(),
        };
        self.each(transaction).filter(move |(_, instance)| is_open(instance)).map(|(rm, _)| rm)
    }

    /// Whether the transaction aborted, and phase 1 could tell that a participant which was never met has not voted.
    fn has_ghosts(&self, cx: &Context<'_>) -> bool {
        self.outcome() == Some(Outcome::Aborted)
            && self.each(cx.transaction).any(|(rm, instance)| instance.may_be_ghost(cx, rm))
    }

    /// The transaction is dropped: nobody owes it anything any more.
    pub(crate) fn let_go(&mut self, transaction: &Transaction, peers: &mut Peers) {
        for (rm, instance) in transaction.participants().iter().zip(&mut self.instances) {
            instance.settle(peers, *rm);
        }
    }

    /// Ends the transaction once its outcome is known, and every resource manager is done.
    fn complete(&mut self, cx: &mut Context<'_>) {
        let Phase::Decided(outcome) = self.phase else { return };
        let is_done = |(rm, instance): (NodeId, &Instance)| {
            instance.finished.is_some()
                || cx.cluster.is_departed(rm)
                || outcome == Outcome::Aborted && instance.is_ghost(cx, rm)
        };
        if self.each(cx.transaction).all(is_done) {
            self.phase = Phase::Completed(outcome);
            // Last chance to tell the other managers: after retirement nobody remembers the outcome.
            self.tell_managers(cx);
            cx.decide(Decision::Completed { tx: cx.transaction.id(), outcome });
        }
    }

    /// Refuses an outcome that contradicts the known one.
    fn check_outcome(&self, outcome: Outcome) -> Result<(), Refusal> {
        match self.outcome() {
            Some(known) if known != outcome => Err(Refusal::ContradictoryOutcome),
            _ => Ok(()),
        }
    }

    /// Records the outcome and spreads it. In Faster mode the resource managers learn it by themselves, unless this
    /// transaction manager tried a ballot: it alone hears the acceptors' answers to that.
    fn settle(&mut self, cx: &mut Context<'_>, outcome: Outcome) -> Result<(), Refusal> {
        self.check_outcome(outcome)?;
        if self.outcome().is_some() {
            return Ok(());
        }
        self.phase = Phase::Decided(outcome);
        self.wants_round = false;
        self.repetitions = 0;
        for (rm, instance) in cx.transaction.participants().iter().zip(&mut self.instances) {
            instance.owes = instance.finished.is_none() && cx.peers.contacts.owe(*rm);
        }
        cx.decide(Decision::Decided { tx: cx.transaction.id(), outcome });
        if self.recovered || cx.cluster.learning() == Learning::Leader {
            self.tell_unfinished(cx);
        }
        self.tell_managers(cx);
        self.complete(cx);
        Ok(())
    }

    /// Tells the other transaction managers, if this one may have taken over from one of them: a client may be waiting
    /// there.
    fn tell_managers(&self, cx: &mut Context<'_>) {
        if self.recovered || self.meta.is_none() {
            for manager in cx.cluster.managers() {
                if *manager != cx.id {
                    self.tell(cx, *manager);
                }
            }
        }
    }

    pub(crate) fn timeout(&mut self, cx: &mut Context<'_>) {
        self.inquire(cx);
        self.repetitions = self.repetitions.saturating_add(1);
    }

    /// Asks for a round if the outcome is unknown; otherwise repeats it to the resource managers that have not
    /// finished.
    pub(crate) fn inquire(&mut self, cx: &mut Context<'_>) {
        self.heard = true;
        match self.outcome() {
            None => self.wants_round = true,
            Some(_) => {
                self.tell_unfinished(cx);
                self.wants_round = self.has_ghosts(cx);
            }
        }
    }

    #[inline]
    fn tell_unfinished(&self, cx: &mut Context<'_>) {
        for (rm, instance) in cx.transaction.participants().iter().zip(&self.instances) {
            if instance.finished.is_none() {
                self.tell(cx, *rm);
            }
        }
    }

    #[inline]
    fn tell(&self, cx: &mut Context<'_>, to: NodeId) {
        if let Some(outcome) = self.outcome() {
            cx.send(to, What::Outcome(outcome));
        }
    }
}
