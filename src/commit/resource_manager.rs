//! The resource manager: speaks for the local resource in one transaction.
//!
//! It asks the resource for its vote, writes the vote, proposes it to the acceptors, and hands the outcome to the
//! resource until it is carried out. It must never vote twice, abort on its own once it is prepared, or forget a
//! transaction that it is prepared in.
//!
//! Invariants:
//! 1. its vote is durable before it is sent, here or elsewhere, and never changes: the initial ballot of its instance only
//!    ever has one value;
//! 2. it commits only if it is prepared;
//! 3. its outcome never changes;
//! 4. that it has finished is durable before it tells anyone.

mod elsewhere;
mod phase;

use alloc::vec::Vec;

use self::phase::{End, Phase};
use super::{
    Acceptance, Cluster, Decision, Learning, Meta, Outcome, Places, Record, ResourceKind, ResourceManagerRecord,
    ResourceManagerState, Targets, Transaction, Vote, Votes, Wait, What, bundle, context::Context,
};
use crate::{Fence, NodeId, Refusal, RestoreError, TxId, Urgency, paxos::Lesson};

/// A resource manager's part in one transaction.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct ResourceManager {
    /// Durable, except as noted at each variant.
    phase: Phase,
    /// What the transaction is about, once this node was told. Durable with the vote.
    meta: Option<Meta>,
    /// Durable: whether an operator has settled the outcome here. Then it tells nobody, and hears nobody.
    resolved: bool,
    /// Volatile: whether the transaction began here, so that the others may not know of it.
    began: bool,
    /// Volatile: the transaction manager to turn to.
    manager: NodeId,
    /// Volatile: the acceptors that it has named for a first vote, if any.
    acceptors: Places,
    /// Volatile: whether it was restored in doubt, and has not asked anybody since.
    is_restored: bool,
    /// Volatile: whether its transaction manager has said that it is at work, and was not asked again since.
    is_assured: bool,
    /// Volatile: how often the present wait has timed out.
    repetitions: u32,
    /// Volatile, and used only in Faster mode: one per participant, in their order.
    lessons: Vec<Lesson<Vote>>,
}

impl ResourceManager {
    /// A resource manager that has never heard of its transaction, and turns to `manager`.
    pub(crate) fn new(manager: NodeId) -> Self {
        Self {
            phase: Phase::Working { asked: false },
            meta: None,
            resolved: false,
            began: false,
            manager,
            acceptors: Places::default(),
            is_restored: false,
            is_assured: false,
            repetitions: 0,
            lessons: Vec::new(),
        }
    }

    /// Starts over for another transaction, in the same memory.
    pub(crate) fn reset(&mut self, manager: NodeId) {
        let mut lessons = core::mem::take(&mut self.lessons);
        lessons.clear();
        *self = Self { lessons, ..Self::new(manager) };
    }

    /// Rebuilds the resource manager of node `id` that wrote `record`. Fails if none can have written it.
    pub(crate) fn restore(cluster: &Cluster, id: NodeId, record: ResourceManagerRecord) -> Result<Self, RestoreError> {
        let ResourceManagerRecord { transaction, meta, vote, finished } = record;
        let tx = transaction.id();
        if !transaction.has(id) {
            return Err(RestoreError::NotAParticipant(tx));
        }
        match &meta {
            Some(meta) if !transaction.is_about(meta) => return Err(RestoreError::OtherContent(tx)),
            // A vote that was forgotten here is known to have been given once the outcome is to commit.
            None if vote.is_some() && finished != Some(Outcome::Committed) => {
                return Err(RestoreError::OtherContent(tx));
            }
            _ => {}
        }
        let phase = match (vote, finished) {
            (Some(Vote::Prepared), None) => Phase::Prepared,
            // Its own vote to abort settles the outcome.
            (Some(Vote::Aborted), None) => Phase::Settled(End::Aborted { vote }),
            (Some(Vote::Prepared), Some(Outcome::Committed)) => Phase::Finished(End::Committed),
            (vote, Some(Outcome::Aborted)) => Phase::Finished(End::Aborted { vote }),
            (None | Some(Vote::Aborted), Some(Outcome::Committed)) | (None, None) => {
                return Err(RestoreError::ContradictoryOutcome(tx));
            }
        };
        Ok(Self { phase, meta, is_restored: true, ..Self::new(cluster.manager_of(tx)) })
    }

    /// Rebuilds the resource manager that an operator resolved, or that its node's own history resolves: it is to carry
    /// out `outcome`, unless it has. Fails if it cannot have been prepared, or has done otherwise.
    pub(crate) fn settled(mut self, tx: TxId, outcome: Outcome) -> Result<Self, RestoreError> {
        let end = End::of_prepared(outcome);
        match self.phase {
            Phase::Prepared => self.phase = Phase::Settled(end),
            Phase::Finished(done) if done == end => {}
            _ => return Err(RestoreError::ContradictoryOutcome(tx)),
        }
        Ok(self)
    }

    /// What an operator has resolved, as it was recorded.
    pub(crate) fn resolved(self, tx: TxId, outcome: Outcome) -> Result<Self, RestoreError> {
        Ok(Self { resolved: true, ..self.settled(tx, outcome)? })
    }

    /// Everything that must survive a crash.
    pub(crate) fn record(&self, transaction: &Transaction) -> ResourceManagerRecord {
        let finished = self.outcome().filter(|_| self.is_finished());
        ResourceManagerRecord { transaction: transaction.clone(), meta: self.meta.clone(), vote: self.vote(), finished }
    }

    /// The same as a node's record.
    pub(crate) fn node_record(&self, transaction: &Transaction) -> Record {
        let record = self.record(transaction);
        match self.outcome().filter(|_| self.resolved) {
            Some(outcome) => Record::Resolved { record, outcome },
            None => Record::ResourceManager(record),
        }
    }

    /// Whether there is anything that must survive a crash. A vote without content is durable elsewhere and forgotten here.
    pub(crate) fn has_record(&self) -> bool {
        self.is_finished() || self.vote().is_some() && self.meta.is_some()
    }

    /// What the transaction is about, once this node was told.
    pub(crate) fn meta(&self) -> Option<&Meta> {
        self.meta.as_ref()
    }

    /// Its state, in the specification's terms.
    pub(crate) fn state(&self) -> ResourceManagerState {
        match self.phase {
            Phase::Working { .. } | Phase::Declined => ResourceManagerState::Working,
            Phase::Prepared => ResourceManagerState::Prepared,
            Phase::Settled(End::Committed) | Phase::Finished(End::Committed) => ResourceManagerState::Committed,
            Phase::Settled(_) | Phase::Finished(_) => ResourceManagerState::Aborted,
        }
    }

    /// The outcome, once it is known here.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self.phase {
            Phase::Working { .. } | Phase::Declined | Phase::Prepared => None,
            Phase::Settled(end) | Phase::Finished(end) => Some(end.outcome()),
        }
    }

    /// Whether it may be asked for its vote.
    pub(crate) fn awaits_vote(&self) -> bool {
        matches!(self.phase, Phase::Working { .. })
    }

    /// The outcome, unless an operator settled it: that is no proof of how the transaction ended.
    pub(crate) fn learned(&self) -> Option<Outcome> {
        self.outcome().filter(|_| !self.resolved)
    }

    /// Whether the outcome is carried out.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished(_))
    }

    /// Whether it is prepared and knows no outcome.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.phase == Phase::Prepared
    }

    /// What it waits for. Before the resource is asked, the wait is that of a prepared resource manager: the node that
    /// should ask for the vote may be dead, and no other may know of the transaction. A resource that was asked is asked
    /// again: it may have crashed, and hold what nobody else knows of.
    #[inline]
    pub(crate) fn wait(&self) -> Wait {
        match self.phase {
            Phase::Working { asked: false } | Phase::Prepared => Wait::Inquire(self.repetitions),
            Phase::Working { asked: true } | Phase::Declined | Phase::Settled(_) | Phase::Finished(_) => {
                Wait::Repeat(self.repetitions)
            }
        }
    }

    /// The transaction manager that should have brought news by now, if this one waits for any: one that is at work on a
    /// transaction tells the outcome sooner than a prepared resource manager asks.
    pub(crate) fn expects(&self) -> Option<NodeId> {
        match self.phase {
            Phase::Working { asked: false } | Phase::Prepared => (!self.is_assured).then_some(self.manager),
            Phase::Working { asked: true } | Phase::Declined | Phase::Settled(_) | Phase::Finished(_) => None,
        }
    }

    /// A transaction manager is at work, and waits for votes longer than usual.
    pub(crate) fn hear_wait(&mut self, from: NodeId) {
        (self.manager, self.is_assured) = (from, true);
        if self.is_in_doubt() {
            self.repetitions = 0;
        }
    }

    fn vote(&self) -> Option<Vote> {
        match self.phase {
            Phase::Working { .. } | Phase::Declined => None,
            Phase::Prepared | Phase::Settled(End::Committed) | Phase::Finished(End::Committed) => Some(Vote::Prepared),
            Phase::Settled(End::Aborted { vote }) | Phase::Finished(End::Aborted { vote }) => vote,
        }
    }

    /// A transaction manager asks for the vote. A vote already given is repeated, and names this manager.
    #[inline]
    pub(crate) fn prepare(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        meta: &Meta,
        acceptors: &Places,
    ) -> Result<(), Refusal> {
        if !cx.cluster.is_manager(from) {
            return Err(Refusal::NotAManager);
        }
        cx.check_meta(meta)?;
        if !acceptors.is_within(cx.cluster.acceptors().len()) {
            return Err(Refusal::MalformedBundle);
        }
        self.manager = from;
        self.acceptors = acceptors.clone();
        match self.vote() {
            _ if self.resolved => {}
            _ if self.is_finished() => self.send_finished(cx),
            Some(vote) => self.send_vote(cx, vote, Targets::All),
            None => self.ask(cx, meta),
        }
        Ok(())
    }

    /// Phase 2b, in Faster mode. *TLA+*: `Decide`, by the resource manager itself.
    pub(crate) fn phase2b(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        votes: &Votes,
        higher: &[Acceptance],
    ) -> Result<(), Refusal> {
        let voice = bundle::check(cx, from, votes.cast(), higher.iter().map(|accepted| accepted.rm))?;
        if self.outcome().is_some() {
            return Ok(());
        }
        self.lessons.resize(cx.transaction.participants().len(), Lesson::default());
        bundle::learn(cx, &mut self.lessons, |lesson| lesson, voice, votes, higher)?;
        let chosen = Outcome::of(self.lessons.iter().map(|lesson| lesson.chosen().copied()));
        if let Some(Err(refusal)) = chosen.map(|outcome| self.settle(cx, outcome)) {
            // The message is valid, so this is only counted: it proves that some node lost its storage.
            cx.metrics.refuse(refusal);
        }
        Ok(())
    }

    /// A transaction manager reports the outcome.
    #[inline]
    pub(crate) fn hear_outcome(&mut self, cx: &mut Context<'_>, from: NodeId, outcome: Outcome) -> Result<(), Refusal> {
        if !cx.may_tell(from) {
            return Err(Refusal::NotAManager);
        }
        if self.resolved {
            return Ok(());
        }
        self.check_outcome(cx, outcome)?;
        if cx.cluster.is_manager(from) {
            self.manager = from;
        }
        if self.is_finished() {
            self.send_finished(cx);
            return Ok(());
        }
        self.settle(cx, outcome)
    }

    /// The handover of the transaction's epoch has ended it.
    pub(crate) fn hear_ending(&mut self, cx: &mut Context<'_>, outcome: Outcome) -> Result<(), Refusal> {
        if self.outcome().is_some() { Ok(()) } else { self.settle(cx, outcome) }
    }

    /// A new epoch has begun: turns to a transaction manager of that one, unless it has turned to one already.
    pub(crate) fn turn_to_epoch(&mut self, cx: &mut Context<'_>, manager: NodeId) {
        if !cx.cluster.is_manager(self.manager) {
            (self.manager, self.repetitions) = (manager, 0);
        }
        if self.is_finished() {
            self.send_finished(cx);
        }
    }

    /// Repeats its vote to an acceptor that may have refused it.
    pub(crate) fn vote_again(&mut self, cx: &mut Context<'_>, to: NodeId) {
        if self.is_in_doubt() {
            cx.send(to, What::Vote { vote: Vote::Prepared, manager: self.manager });
        }
    }

    /// Begins the transaction here: the resource votes first, then the transaction manager hears of the transaction.
    pub(crate) fn begin(&mut self, cx: &mut Context<'_>, meta: &Meta) {
        self.began = true;
        self.ask(cx, meta);
        if self.phase == Phase::Prepared {
            self.bring_on(cx);
        }
    }

    /// Asks the resource to vote, unless that was done or no longer matters.
    #[inline]
    fn ask(&mut self, cx: &mut Context<'_>, meta: &Meta) {
        match self.phase {
            Phase::Working { asked: false } => {
                self.phase = Phase::Working { asked: true };
                self.repetitions = 0;
                self.meta = Some(meta.clone());
                self.ask_again(cx);
            }
            Phase::Declined => self.send_decline(cx),
            _ => {}
        }
    }

    fn ask_again(&self, cx: &mut Context<'_>) {
        let Some(meta) = self.meta.clone() else {
            // Who asks says what about.
            cx.fence(Fence::MetaLost);
            return;
        };
        cx.decide(Decision::Vote { transaction: cx.transaction.clone(), meta });
    }

    /// The resource votes. *TLA+*: `RMPrepare`, `RMChooseToAbort`.
    #[inline]
    pub(crate) fn hear_vote(&mut self, cx: &mut Context<'_>, vote: Vote) -> Result<(), Refusal> {
        match self.phase {
            Phase::Working { asked: true } => {}
            Phase::Working { asked: false } => return Err(Refusal::NotAsked),
            // It did prepare after all.
            Phase::Declined if vote == Vote::Prepared => {}
            // What is held for a vote that comes too late, or twice, must be let go.
            Phase::Settled(end) | Phase::Finished(end)
                if vote == Vote::Prepared && end.outcome() == Outcome::Aborted =>
            {
                self.hand_over(cx, Outcome::Aborted);
                return Ok(());
            }
            Phase::Settled(End::Aborted { vote: None }) | Phase::Finished(End::Aborted { vote: None }) => {
                return Err(Refusal::AlreadyAborted);
            }
            Phase::Declined | Phase::Prepared | Phase::Settled(_) | Phase::Finished(_) => {
                return Err(Refusal::AlreadyVoted);
            }
        }
        if cx.votes_elsewhere() {
            return self.hear_vote_elsewhere(cx, vote);
        }
        let next = match vote {
            Vote::Prepared => Phase::Prepared,
            // Its instance can choose nothing else now.
            Vote::Aborted => Phase::Settled(End::Aborted { vote: Some(vote) }),
        };
        self.go_on(cx, next)?;
        cx.persist(self.node_record(cx.transaction), Urgency::Urgent);
        self.send_vote(cx, vote, cx.cluster.targets());
        match vote {
            Vote::Prepared if self.began => self.send_begin(cx),
            Vote::Prepared => {}
            Vote::Aborted => self.hand_over(cx, Outcome::Aborted),
        }
        Ok(())
    }

    /// Moves to the next phase. A transition that no resource manager may make breaks an invariant.
    #[inline]
    fn go_on(&mut self, cx: &mut Context<'_>, next: Phase) -> Result<(), Refusal> {
        if !self.phase.may_become(next, cx.resource) {
            return Err(cx.fence(Fence::ResourceManagerWentBack));
        }
        self.phase = next;
        Ok(())
    }

    /// Refuses an outcome that this resource manager rules out.
    fn check_outcome(&self, cx: &Context<'_>, outcome: Outcome) -> Result<(), Refusal> {
        let possible = match self.phase {
            // An instance that never had a vote to commit cannot have chosen one. What is durable elsewhere may be
            // forgotten here.
            Phase::Working { .. } | Phase::Declined => outcome == Outcome::Aborted || cx.votes_elsewhere(),
            Phase::Prepared => true,
            Phase::Settled(end) | Phase::Finished(end) => outcome == end.outcome(),
        };
        if possible { Ok(()) } else { Err(Refusal::ContradictoryOutcome) }
    }

    /// Hands the outcome over, the first time that it is known. *TLA+*: `RMRcvCommitMsg`, `RMRcvAbortMsg`.
    fn settle(&mut self, cx: &mut Context<'_>, outcome: Outcome) -> Result<(), Refusal> {
        self.check_outcome(cx, outcome)?;
        if self.outcome().is_none() {
            let end = match outcome {
                Outcome::Committed => End::Committed,
                Outcome::Aborted => End::Aborted { vote: self.vote() },
            };
            self.go_on(cx, Phase::Settled(end))?;
            self.repetitions = 0;
            self.lessons.clear();
            self.hand_over(cx, outcome);
        }
        Ok(())
    }

    fn hand_over(&self, cx: &mut Context<'_>, outcome: Outcome) {
        let (transaction, meta) = (cx.transaction.clone(), self.meta.clone());
        cx.decide(match (outcome, meta) {
            (Outcome::Committed, Some(meta)) => Decision::Commit { transaction, meta },
            (Outcome::Committed, None) if cx.votes_elsewhere() => {
                Decision::Commit { transaction, meta: Meta::default() }
            }
            // A vote to commit has its meta, so this breaks an invariant.
            (Outcome::Committed, None) => {
                cx.fence(Fence::MetaLost);
                return;
            }
            (Outcome::Aborted, meta) => Decision::Abort { transaction, meta },
        });
    }

    /// The resource has carried out the outcome.
    pub(crate) fn finish(&mut self, cx: &mut Context<'_>) -> Result<(), Refusal> {
        match self.phase {
            Phase::Working { .. } | Phase::Declined | Phase::Prepared => return Err(Refusal::NoOutcome),
            Phase::Finished(_) => {}
            Phase::Settled(end) => {
                self.go_on(cx, Phase::Finished(end))?;
                self.repetitions = 0;
                let urgency = match cx.cluster.learning() {
                    Learning::Leader => Urgency::RidesAlong,
                    // The transaction manager learns the outcome from this.
                    Learning::Everyone => Urgency::Urgent,
                };
                cx.persist(self.node_record(cx.transaction), urgency);
                self.send_finished(cx);
            }
        }
        Ok(())
    }

    /// An operator settles the outcome, here and nowhere else.
    pub(crate) fn resolve(&mut self, cx: &mut Context<'_>, outcome: Outcome) -> Result<(), Refusal> {
        if !self.is_in_doubt() {
            return Err(Refusal::NotInDoubt);
        }
        self.go_on(cx, Phase::Settled(End::of_prepared(outcome)))?;
        (self.resolved, self.repetitions) = (true, 0);
        cx.persist(self.node_record(cx.transaction), Urgency::Urgent);
        self.hand_over(cx, outcome);
        Ok(())
    }

    /// Whether it is prepared but not finished: then the transaction cannot be over, whatever other nodes say.
    pub(crate) fn owes(&self) -> bool {
        match self.phase {
            Phase::Prepared => true,
            Phase::Settled(end) => end.is_of_prepared(),
            Phase::Working { .. } | Phase::Declined | Phase::Finished(_) => false,
        }
    }

    /// The transaction is retired. A resource manager that never voted treats it as aborted.
    pub(crate) fn retire(&mut self, cx: &mut Context<'_>) {
        if let Phase::Working { .. } | Phase::Declined = self.phase {
            // This is never refused: without a vote, it may abort.
            let _ = self.settle(cx, Outcome::Aborted);
        }
    }

    pub(crate) fn timeout(&mut self, cx: &mut Context<'_>) {
        match self.phase {
            Phase::Working { asked: false } | Phase::Declined => self.inquire(cx),
            Phase::Working { asked: true } => self.ask_again(cx),
            Phase::Prepared => self.bring_on(cx),
            Phase::Settled(end) => self.hand_over(cx, end.outcome()),
            Phase::Finished(_) => {
                // The same transaction manager gets a second chance before the next one.
                if self.repetitions > 0 {
                    self.manager = cx.manager_after(self.manager);
                }
                self.send_finished(cx);
            }
        }
        self.repetitions = self.repetitions.saturating_add(1);
    }

    /// Prepared: repeats the begin where the transaction began, and otherwise asks for the outcome.
    fn bring_on(&mut self, cx: &mut Context<'_>) {
        if core::mem::take(&mut self.is_restored) {
            // The others may be about to vote. This asks for the outcome, too, and does not abort what they vote on.
            self.send_vote(cx, Vote::Prepared, Targets::All);
            self.send_begin(cx);
            return;
        }
        if core::mem::take(&mut self.is_assured) {
            cx.send(self.manager, What::Inquire);
            return;
        }
        // The others may not have been asked to vote yet, and then an inquiry would abort the transaction. After two
        // begins to every transaction manager, inquire all the same: if all are full, they refuse new transactions, but
        // not an inquiry.
        let patience = cx.cluster.managers().len().saturating_mul(2);
        if self.began && (self.repetitions as usize) < patience {
            self.turn_to_next(cx);
            self.send_begin(cx);
        } else {
            self.inquire(cx);
        }
    }

    /// Has a transaction manager find the outcome, even if the others were never asked to vote.
    pub(crate) fn inquire(&mut self, cx: &mut Context<'_>) {
        match self.phase {
            Phase::Settled(_) | Phase::Finished(_) => {}
            Phase::Working { .. } => {
                cx.send(self.manager, What::Inquire);
                self.manager = cx.manager_after(self.manager);
            }
            Phase::Declined => {
                self.manager = cx.manager_after(self.manager);
                self.send_decline(cx);
            }
            Phase::Prepared => {
                self.turn_to_next(cx);
                cx.send(self.manager, What::Inquire);
            }
        }
    }

    /// Prepared: turns to the next transaction manager, and repeats the vote, which names it, to all acceptors.
    fn turn_to_next(&mut self, cx: &mut Context<'_>) {
        self.manager = cx.manager_after(self.manager);
        self.send_vote(cx, Vote::Prepared, Targets::All);
    }

    fn send_begin(&self, cx: &mut Context<'_>) {
        let Some(meta) = self.meta.clone() else {
            // The node where a transaction begins knows what it is about.
            cx.fence(Fence::MetaLost);
            return;
        };
        cx.send(self.manager, What::Begin { meta });
    }

    #[inline]
    fn send_vote(&self, cx: &mut Context<'_>, vote: Vote, targets: Targets) {
        let (acceptors, manager) = (cx.cluster.acceptors(), self.manager);
        match targets {
            Targets::All => acceptors.nodes().for_each(|to| cx.send(to, What::Vote { vote, manager })),
            Targets::Quorum if !self.acceptors.is_empty() => {
                let named = acceptors.nodes().enumerate().filter(|(place, _)| self.acceptors.has(*place));
                named.for_each(|(_, to)| cx.send(to, What::Vote { vote, manager }));
            }
            Targets::Quorum => {
                let quorum = acceptors.first_accept_quorum(Some(manager));
                acceptors.nodes_of(quorum).for_each(|to| cx.send(to, What::Vote { vote, manager }));
            }
        }
    }

    /// Says that it has carried out the outcome, unless an operator settled that.
    fn send_finished(&self, cx: &mut Context<'_>) {
        if let Some(outcome) = self.learned() {
            cx.send(self.manager, What::Finished(outcome));
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests;
