//! The acceptor of a transaction: one [`paxos::Acceptor`] per participant, under one record.
//!
//! It gathers ballot-0 votes and accepts them together, with one write and one bundled answer. Above round 0 it behaves
//! as a plain acceptor, for several instances per message. It must take a ballot-0 vote only from the resource manager
//! that cast it, and must answer only once its record is durable.
//!
//! Invariants, besides those of [`paxos::Acceptor`]:
//! 1. a gathered vote is not accepted yet: a crash may lose it, and no other node has been told of it;
//! 2. votes are gathered only in instances that are still at their initial ballot.

use alloc::{boxed::Box, vec::Vec};

use super::{
    Acceptance, AcceptorRecord, Cluster, HigherInstance, Learning, Obstacle, Places, Promises, Record, Transaction,
    Vote, Votes, Wait, What, context::Context,
};
use crate::{Ballot, Fence, NodeId, Refusal, RestoreError, Urgency, paxos};

/// An acceptor's part in one transaction.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Acceptor {
    /// Durable: the votes accepted at initial ballots.
    accepted: Places,
    /// Volatile: the votes at initial ballots that are not accepted yet.
    gathered: Places,
    /// The members of either set that voted to commit.
    prepared: Places,
    /// Durable: the instances that have promised a higher ballot, in order of resource managers. They are in none of
    /// the sets above.
    #[allow(clippy::box_collection, reason = "hardly any acceptor has one, and each open transaction has room for it")]
    higher: Option<Box<Vec<HigherInstance>>>,
    /// Volatile: the transaction manager to turn to. The latest vote named it; each inquiry moves on to the next.
    manager: NodeId,
    /// Volatile: how many inquiries were sent.
    inquiries: u32,
}

impl Acceptor {
    /// An acceptor that has never heard of its transaction, and turns to `manager`.
    pub(crate) fn new(manager: NodeId) -> Self {
        Self {
            accepted: Places::default(),
            gathered: Places::default(),
            prepared: Places::default(),
            higher: None,
            manager,
            inquiries: 0,
        }
    }

    /// Rebuilds the acceptor that wrote `record`. Fails if no acceptor can have written it.
    pub(crate) fn restore(cluster: &Cluster, record: &AcceptorRecord) -> Result<Self, RestoreError> {
        let AcceptorRecord { transaction, votes, higher } = record;
        let (tx, participants) = (transaction.id(), transaction.participants());
        let mut left = participants.iter();
        if !votes.cast().is_within(participants.len())
            || !higher.iter().all(|instance| left.any(|rm| *rm == instance.rm))
        {
            return Err(RestoreError::WrongInstances(tx));
        }
        for HigherInstance { rm, state } in higher {
            let promised = state.promised.ok_or(RestoreError::WrongInstances(tx))?;
            if promised.is_initial() || transaction.place(*rm).is_some_and(|place| votes.cast().has(place)) {
                return Err(RestoreError::WrongInstances(tx));
            }
            for ballot in [Some(promised), state.accepted.map(|(ballot, _)| ballot)].into_iter().flatten() {
                if ballot.is_initial() && ballot.node != *rm {
                    return Err(RestoreError::NotTheOwner);
                }
                if !ballot.is_initial() && !cluster.is_manager(ballot.node) {
                    return Err(RestoreError::NotAProposer(tx));
                }
            }
            paxos::Acceptor::restore(*state)?;
        }
        let higher = (!higher.is_empty()).then(|| Box::new(higher.to_vec()));
        let (accepted, prepared) = (votes.cast().clone(), votes.prepared().clone());
        Ok(Self { accepted, prepared, higher, ..Self::new(cluster.manager_of(tx)) })
    }

    /// Everything that must survive a crash.
    pub(crate) fn record(&self, transaction: &Transaction) -> AcceptorRecord {
        let higher = self.higher.as_deref().map_or_else(Box::default, |higher| higher.as_slice().into());
        AcceptorRecord { transaction: transaction.clone(), votes: self.votes(), higher }
    }

    /// Whether there is anything that must survive a crash.
    pub(crate) fn has_record(&self) -> bool {
        !self.accepted.is_empty() || self.higher.is_some()
    }

    /// What the acceptor waits for.
    #[inline]
    pub(crate) fn wait(&self) -> Wait {
        if self.gathered.is_empty() { Wait::Inquire(self.inquiries) } else { Wait::Flush }
    }

    /// Phase 2a of an initial ballot. *TLA+*: `Phase2b`, once the bundle is written.
    #[inline]
    pub(crate) fn vote(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        vote: Vote,
        manager: NodeId,
    ) -> Result<(), Refusal> {
        let place = cx.transaction.place(from).ok_or(Refusal::NotAParticipant)?;
        if !cx.cluster.is_manager(manager) {
            return Err(Refusal::NotAManager);
        }
        let is_accepted = self.accepted.has(place);
        if is_accepted || self.gathered.has(place) {
            if self.prepared.has(place) != (vote == Vote::Prepared) {
                return Err(Refusal::SecondValue);
            }
        } else if self.higher.is_some() && self.at(cx.transaction, place).is_some() {
            return Err(Refusal::StaleBallot);
        } else {
            self.gathered.insert(place);
            if vote == Vote::Prepared {
                self.prepared.insert(place);
            }
        }
        self.manager = manager;
        if is_accepted {
            // The vote is a repeat: the sender, or its transaction manager, may have missed the answer.
            match cx.cluster.learning() {
                Learning::Leader => self.send_bundle(cx, manager),
                Learning::Everyone => self.send_bundle(cx, from),
            }
        } else if vote == Vote::Aborted || self.has_all_votes(cx.transaction) {
            self.flush(cx);
        }
        Ok(())
    }

    /// Phase 1a of a ballot above the initial ones.
    pub(crate) fn phase1a(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        ballot: Ballot,
        instances: &Places,
    ) -> Result<(), Refusal> {
        self.requests(cx, from, ballot, instances, |_| paxos::Message::Prepare { ballot })
    }

    /// Phase 2a of a ballot above the initial ones.
    pub(crate) fn phase2a(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        ballot: Ballot,
        votes: &Votes,
    ) -> Result<(), Refusal> {
        let vote = |place| if votes.prepared().has(place) { Vote::Prepared } else { Vote::Aborted };
        self.requests(cx, from, ballot, votes.cast(), |place| paxos::Message::Accept { ballot, value: vote(place) })
    }

    /// Phases 1a and 2a of higher ballots, in several instances. *TLA+*: `Phase1b` and `Phase2b`.
    fn requests(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        ballot: Ballot,
        instances: &Places,
        request: impl Fn(usize) -> paxos::Message<Vote>,
    ) -> Result<(), Refusal> {
        if !cx.cluster.is_manager(from) {
            return Err(Refusal::NotAManager);
        }
        if instances.is_empty() || !instances.is_within(cx.transaction.participants().len()) {
            return Err(Refusal::MalformedBundle);
        }
        // At initial ballots only the owners propose, by `What::Vote`.
        if ballot.is_initial() || ballot.node != from {
            return Err(Refusal::NotYourBallot);
        }
        let (mut replies, mut changed, mut refused) = (Replies::default(), Vec::new(), None);
        for place in instances.iter() {
            let Some(rm) = cx.transaction.participants().get(place).copied() else { continue };
            let mut paxos = paxos::Acceptor::resume(self.instance(cx.transaction, place, rm));
            match paxos.receive(from, request(place)) {
                Ok(answer) => {
                    if answer.changed {
                        changed.push(HigherInstance { rm, state: *paxos.record() });
                    }
                    replies.add(place, rm, answer.reply);
                }
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        if !replies.grants {
            let stale = !replies.obstacles.is_empty();
            replies.send(cx, from, ballot);
            return Err(if stale { Refusal::StaleBallot } else { refused.unwrap_or(Refusal::MalformedBundle) });
        }
        if let Some(refusal) = refused {
            // The rest of the message is still granted.
            cx.metrics.refuse(refusal);
        }
        let before = self.record(cx.transaction);
        let unfinished = !self.gathered.is_empty();
        self.accept_gathered();
        let is_changed = !changed.is_empty();
        changed.into_iter().for_each(|instance| self.raise(cx.transaction, instance));
        if is_changed || unfinished {
            let record = self.record(cx.transaction);
            if !record.may_follow(&before) {
                return Err(cx.fence(Fence::AcceptorWentBack));
            }
            cx.persist(Record::Acceptor(record), Urgency::Urgent);
        }
        if unfinished {
            self.tell(cx);
        }
        replies.send(cx, from, ballot);
        Ok(())
    }

    /// The vote that it has accepted at the initial ballot of the instance at `place`.
    pub(crate) fn accepted_at(&self, place: usize) -> Option<Vote> {
        self.accepted.has(place).then(|| if self.prepared.has(place) { Vote::Prepared } else { Vote::Aborted })
    }

    /// Accepts what it has gathered, if there is any, and says so.
    pub(crate) fn flush_gathered(&mut self, cx: &mut Context<'_>) {
        if !self.gathered.is_empty() {
            self.flush(cx);
        }
    }

    /// Ends the wait: writes and sends an incomplete bundle or, if no votes are gathered, inquires about the
    /// transaction.
    pub(crate) fn timeout(&mut self, cx: &mut Context<'_>) {
        if self.gathered.is_empty() { self.inquire(cx) } else { self.flush(cx) }
    }

    /// Asks a transaction manager to finish the transaction, the next one each time.
    pub(crate) fn inquire(&mut self, cx: &mut Context<'_>) {
        cx.send(self.manager, What::Inquire);
        self.manager = cx.manager_after(self.manager);
        self.inquiries = self.inquiries.saturating_add(1);
    }

    /// A transaction manager is at work on it.
    pub(crate) fn hear_wait(&mut self, from: NodeId) {
        (self.manager, self.inquiries) = (from, 0);
    }

    #[inline]
    fn flush(&mut self, cx: &mut Context<'_>) {
        let before = cfg!(debug_assertions).then(|| self.record(cx.transaction));
        self.accept_gathered();
        let record = self.record(cx.transaction);
        debug_assert!(before.is_none_or(|before| record.may_follow(&before)), "an acceptor never goes back");
        cx.persist(Record::Acceptor(record), Urgency::Urgent);
        self.tell(cx);
    }

    /// Gathered votes need no second check: they were checked on arrival, and granting a higher ballot accepts them
    /// first.
    #[inline]
    fn accept_gathered(&mut self) {
        self.accepted = self.accepted.union(&self.gathered);
        self.gathered = Places::default();
    }

    /// Sends the bundle to its learners.
    #[inline]
    fn tell(&self, cx: &mut Context<'_>) {
        match cx.cluster.learning() {
            Learning::Leader => self.send_bundle(cx, self.manager),
            Learning::Everyone => {
                for rm in cx.transaction.participants() {
                    self.send_bundle(cx, *rm);
                }
            }
        }
    }

    #[inline]
    fn send_bundle(&self, cx: &mut Context<'_>, to: NodeId) {
        let higher = self.higher.as_deref().map_or_else(Box::default, |higher| {
            higher
                .iter()
                .filter_map(|HigherInstance { rm, state }| {
                    state.accepted.map(|(ballot, vote)| Acceptance { rm: *rm, ballot, vote })
                })
                .collect()
        });
        let (votes, higher) = with_initial(cx.transaction, self.votes(), higher);
        cx.send(to, What::Phase2b { votes, higher });
    }

    /// The votes accepted at initial ballots, in instances that have promised no higher one.
    #[inline]
    fn votes(&self) -> Votes {
        Votes::of(self.accepted.clone(), &self.prepared)
    }

    /// Whether a vote is gathered or accepted in every instance.
    #[inline]
    fn has_all_votes(&self, transaction: &Transaction) -> bool {
        let mut cast = self.accepted.union(&self.gathered);
        let higher = self.higher.iter().flat_map(|higher| higher.iter());
        for instance in higher.filter(|instance| instance.state.accepted.is_some()) {
            transaction.place(instance.rm).into_iter().for_each(|place| cast.insert(place));
        }
        cast == Places::first(transaction.participants().len())
    }

    /// The state of the instance at `place`, if it has promised a ballot above the initial one.
    #[inline]
    fn at(&self, transaction: &Transaction, place: usize) -> Option<&HigherInstance> {
        let (higher, rm) = (self.higher.as_deref()?, transaction.participants().get(place)?);
        higher.iter().find(|instance| instance.rm == *rm)
    }

    /// The state of an instance's Paxos acceptor. A gathered vote counts as accepted: it will be before anything higher
    /// is granted.
    fn instance(&self, transaction: &Transaction, place: usize, rm: NodeId) -> paxos::AcceptorRecord<Vote> {
        if let Some(instance) = self.at(transaction, place) {
            return instance.state;
        }
        let initial = Ballot::initial(rm);
        let vote = if self.prepared.has(place) { Vote::Prepared } else { Vote::Aborted };
        let voted = self.accepted.has(place) || self.gathered.has(place);
        paxos::AcceptorRecord { promised: Some(initial), accepted: voted.then_some((initial, vote)) }
    }

    /// Stores the state of an instance's Paxos acceptor, which has promised a higher ballot.
    fn raise(&mut self, transaction: &Transaction, instance: HigherInstance) {
        if let Some(place) = transaction.place(instance.rm) {
            let place = Places::from_iter([place]);
            self.accepted = self.accepted.difference(&place);
            self.prepared = self.prepared.difference(&place);
        }
        let higher = self.higher.get_or_insert_default();
        match higher.binary_search_by_key(&instance.rm, |known| known.rm) {
            Ok(at) => higher.get_mut(at).into_iter().for_each(|known| *known = instance),
            Err(at) => higher.insert(at, instance),
        }
    }
}

/// The answers to requests in several instances, merged into one message per kind.
#[derive(Default)]
struct Replies {
    /// Whether any request was granted.
    grants: bool,
    promises: Promises,
    promised_higher: Vec<Acceptance>,
    accepted: Vec<Acceptance>,
    obstacles: Vec<Obstacle>,
}

impl Replies {
    fn add(&mut self, place: usize, rm: NodeId, reply: paxos::Message<Vote>) {
        self.grants |= !matches!(reply, paxos::Message::Reject { .. });
        match reply {
            paxos::Message::Promise { accepted, .. } => {
                self.promises.instances.insert(place);
                match accepted {
                    Some((ballot, vote)) if ballot.is_initial() => self.promises.votes.insert(place, vote),
                    Some((ballot, vote)) => self.promised_higher.push(Acceptance { rm, ballot, vote }),
                    None => {}
                }
            }
            paxos::Message::Accepted { ballot, value } => self.accepted.push(Acceptance { rm, ballot, vote: value }),
            paxos::Message::Reject { promised, .. } => self.obstacles.push(Obstacle { rm, promised }),
            paxos::Message::Prepare { .. } | paxos::Message::Accept { .. } => {}
        }
    }

    fn send(self, cx: &mut Context<'_>, to: NodeId, ballot: Ballot) {
        let Self { mut promises, promised_higher, accepted, obstacles, .. } = self;
        if !promises.instances.is_empty() {
            promises.higher = promised_higher.into();
            cx.send(to, What::Phase1b { ballot, promises: Box::new(promises) });
        }
        if !accepted.is_empty() {
            // A request is never about an initial ballot.
            cx.send(to, What::Phase2b { votes: Votes::default(), higher: accepted.into() });
        }
        if !obstacles.is_empty() {
            cx.send(to, What::Reject { ballot, promised: obstacles.into() });
        }
    }
}

/// Moves what was accepted at an initial ballot, before a higher one was promised, from `higher` to `votes`.
#[inline]
fn with_initial(transaction: &Transaction, mut votes: Votes, higher: Box<[Acceptance]>) -> (Votes, Box<[Acceptance]>) {
    if !higher.iter().any(|accepted| accepted.ballot.is_initial()) {
        return (votes, higher);
    }
    let (initial, higher): (Vec<_>, Vec<_>) = higher.into_iter().partition(|accepted| accepted.ballot.is_initial());
    for Acceptance { rm, vote, .. } in initial {
        if let Some(place) = transaction.place(rm) {
            votes.insert(place, vote);
        }
    }
    (votes, higher.into())
}
