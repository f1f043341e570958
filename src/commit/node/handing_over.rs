//! The handover that ends the epoch of a node: the node's part in it as an acceptor, and as a proposer.
//!
//! The roles are those of [`handover`](super::super::handover); here their answers become messages and records.

use alloc::vec::Vec;

use super::{
    super::{
        Ending, EpochMessage, Membership, Page, Record, Sink, Time,
        handover::{Lists, Progress, Trial, Volume, Wish, report},
    },
    Node,
    next_epoch::Beginning,
};
use crate::{Ballot, NodeId, Refusal, Urgency, paxos};

/// The most nodes that are told of a new epoch at once, besides its members.
const TOLD_AT_ONCE: usize = 64;

impl Node {
    /// An operator wants another membership.
    pub(super) fn change(&mut self, membership: Membership, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        if !self.may_propose() {
            return Err(Refusal::NotAMember);
        }
        let cluster = &self.shared.config.cluster;
        cluster.membership().check_next(cluster, &self.shared.former, &membership)?;
        let mut wish = Wish::new(membership);
        wish.ready.insert(self.shared.config.id);
        self.handover.wish = Some(wish);
        self.handover.start_over();
        self.invite(effects);
        self.go_on(effects);
        self.finish_epoch_step(effects);
        Ok(())
    }

    /// A message of the handover of the present epoch.
    pub(super) fn receive_in_handover(
        &mut self,
        from: NodeId,
        what: &EpochMessage,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        let cluster = &self.shared.config.cluster;
        let is_member = cluster.keeps_retired(from);
        match what {
            EpochMessage::Ready => {
                let wish = self.handover.wish.as_mut().ok_or(Refusal::NothingProposed)?;
                if !wish.membership.is_member(from) {
                    return Err(Refusal::NotAMember);
                }
                wish.ready.insert(from);
                self.go_on(effects);
                Ok(())
            }
            _ if !is_member => Err(Refusal::NotAMember),
            EpochMessage::Hold => {
                let wait = cluster.timeouts().flush.saturating_mul(2);
                self.handover.held_until = Time(self.shared.clock.now().0.saturating_add(wait));
                self.drain(from, effects);
                Ok(())
            }
            EpochMessage::Drained => self.receive_drained(from),
            EpochMessage::Prepare { ballot } => {
                self.receive_request(from, *ballot, paxos::Message::Prepare { ballot: *ballot }, effects)
            }
            EpochMessage::Accept { ballot, membership, page } => {
                if let Some(promised) = self.handover.promised().filter(|promised| ballot < promised) {
                    self.say_to(from, EpochMessage::Reject { ballot: *ballot, promised }, effects);
                    return Err(Refusal::StaleBallot);
                }
                match self.handover.add_ending(page)? {
                    Progress::Next(next) => {
                        self.handover.start_over();
                        self.say_to(from, EpochMessage::More { digest: page.digest, next }, effects);
                        Ok(())
                    }
                    Progress::Whole(Lists { committed, retired, .. }) => {
                        let value = Ending { membership: (**membership).clone(), committed, retired };
                        self.receive_request(from, *ballot, paxos::Message::Accept { ballot: *ballot, value }, effects)
                    }
                }
            }
            EpochMessage::Promise { ballot, accepted, page } => {
                self.receive_promise(from, *ballot, accepted.as_ref().map(|(at, of)| (*at, &**of)), page, effects)
            }
            EpochMessage::Accepted { ballot } => {
                let trial = self.handover.trial.as_mut().ok_or(Refusal::OtherBallot)?;
                let Some(ending) = trial.accepted(cluster, from, *ballot)? else { return Ok(()) };
                self.end_epoch(ending, effects)
            }
            EpochMessage::Reject { ballot, promised } => {
                let trial = self.handover.trial.as_ref().ok_or(Refusal::OtherBallot)?;
                if !cluster.keeps_retired(promised.node) {
                    return Err(Refusal::NotAProposer);
                }
                trial.check_rejection(*ballot, *promised)?;
                self.handover.highest_round = self.handover.highest_round.max(promised.round);
                // Somebody else is at it: leave it to him, for a while.
                self.handover.trial = None;
                self.handover.is_told = true;
                self.handover.meet_rival();
                Ok(())
            }
            EpochMessage::Frozen { .. } => {
                self.handover.is_told = true;
                Ok(())
            }
            _ => Err(Refusal::NotForThisRole),
        }
    }

    /// Phases 1a and 2a. What is granted freezes this acceptor.
    pub(super) fn receive_request(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        request: paxos::Message<Ending>,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        let Some(epoch) = self.shared.epoch.filter(|_| self.shared.is_acceptor) else {
            return Err(Refusal::NotAnAcceptor);
        };
        let answer = self.handover.request(from, request)?;
        if let paxos::Message::Reject { promised, .. } = answer.reply {
            self.say_to(from, EpochMessage::Reject { ballot, promised }, effects);
            return Err(Refusal::StaleBallot);
        }
        if answer.changed {
            if self.shared.frozen.is_none() {
                self.flush_all(effects);
            }
            self.shared.frozen = self.handover.promised();
            if let Some(state) = self.handover.state.clone() {
                self.persist_ground(Record::Handover { epoch, state: state.into() }, effects);
            }
        }
        // A proposer is at work: leave it to that, the longer the more there were.
        if answer.changed && from != self.shared.config.id {
            self.handover.meet_rival();
        } else {
            self.handover.start_over();
        }
        match answer.reply {
            paxos::Message::Promise { accepted, .. } => {
                let volume = match (&accepted, self.handover.reported.take()) {
                    (Some((_, ending)), _) => Volume::new(Lists::of_ending(ending)),
                    // It is frozen, so it has nothing else to report.
                    (None, Some(reported)) if !answer.changed => reported,
                    (None, _) => Volume::new(self.report()),
                };
                let page = volume.page(0, self.shared.config.cluster.limits().page);
                self.handover.reported = Some(volume);
                if let Some(promise) = self.handover.promise(page) {
                    self.say_to(from, promise, effects);
                }
            }
            _ => self.say_to(from, EpochMessage::Accepted { ballot }, effects),
        }
        Ok(())
    }

    /// Before an acceptor freezes, it accepts what it has gathered.
    pub(super) fn flush_all(&mut self, effects: &mut Sink<'_>) {
        for tx in self.open_transactions() {
            // A fence is the only refusal.
            let _ = self.work_on(tx, effects, |open, shared, effects| match open.is_of_epoch(shared) {
                true => open.flush(shared, effects),
                false => Ok(()),
            });
        }
    }

    /// All that this frozen acceptor has accepted in transactions of the epoch, and what is retired here.
    pub(super) fn report(&self) -> Lists {
        let open = self.open_transactions().into_iter().filter_map(|tx| self.open.get(tx));
        let records = open.filter(|open| open.is_of_epoch(&self.shared)).filter_map(|open| {
            let acceptor = open.acceptor.as_ref().filter(|acceptor| acceptor.role.has_record())?;
            Some(acceptor.role.record(&open.transaction))
        });
        report(records, &self.retired)
    }

    pub(super) fn receive_promise(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        accepted: Option<(Ballot, &Membership)>,
        page: &Page,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        let trial = self.handover.trial.as_mut().ok_or(Refusal::OtherBallot)?;
        let (next, ending) = trial.promise(&self.shared.config.cluster, from, ballot, accepted, page)?;
        if let Some(next) = next {
            self.handover.start_over();
            self.say_to(from, EpochMessage::More { digest: page.digest, next }, effects);
        }
        if ending.is_some() {
            self.handover.start_over();
            self.propose(effects);
        }
        Ok(())
    }

    /// Sends phase 1a, or phase 2a, to the acceptors that have not answered it.
    pub(super) fn propose(&mut self, effects: &mut Sink<'_>) {
        let Some(trial) = &self.handover.trial else { return };
        let (ballot, silent) = (trial.ballot(), trial.silent(&self.shared.config.cluster));
        let (proposal, most) = (trial.ending().zip(trial.volume.as_ref()), self.shared.config.cluster.limits().page);
        let proposal = proposal.map(|(ending, volume)| (ending.membership.clone(), volume.page(0, most)));
        for to in silent {
            let message = match &proposal {
                None => EpochMessage::Prepare { ballot },
                Some((membership, page)) => {
                    EpochMessage::Accept { ballot, membership: membership.clone().into(), page: page.clone() }
                }
            };
            self.say_to(to, message, effects);
        }
    }

    /// Whether this node may propose how its epoch ends.
    pub(super) fn may_propose(&self) -> bool {
        self.shared.is_manager || self.shared.is_acceptor
    }

    /// Asks the members to come that have not answered.
    pub(super) fn invite(&mut self, effects: &mut Sink<'_>) {
        let Some(wish) = &self.handover.wish else { return };
        let (membership, awaited) = (wish.membership.clone(), wish.awaited());
        for to in awaited {
            self.say_to(to, EpochMessage::Invite(membership.clone().into()), effects);
        }
    }

    /// A node has noted the present epoch. If it is to be a member of the next one, it could not say before that it is there.
    pub(super) fn invite_again(&mut self, node: NodeId, effects: &mut Sink<'_>) {
        let Some(wish) = self.handover.wish.as_ref().filter(|wish| wish.awaits(node)) else { return };
        let membership = wish.membership.clone();
        self.say_to(node, EpochMessage::Invite(membership.into()), effects);
    }

    /// Once enough of the members to come are there, asks managers to begin nothing new; phase 1 follows after a moment.
    pub(super) fn go_on(&mut self, effects: &mut Sink<'_>) {
        let Some(wish) = self.handover.wish.as_mut().filter(|wish| !wish.is_holding && wish.is_ready()) else { return };
        wish.is_holding = true;
        self.handover.start_over();
        for manager in self.shared.config.cluster.managers().to_vec() {
            self.say_to(manager, EpochMessage::Hold, effects);
        }
    }

    /// Tells the proposer once all is decided that has begun here.
    fn drain(&mut self, proposer: NodeId, effects: &mut Sink<'_>) {
        let open = self.open_transactions().into_iter().filter_map(|tx| self.open.get(tx));
        let undecided = open.filter(|open| open.is_of_epoch(&self.shared) && open.manages_undecided()).count();
        match undecided {
            0 => self.say_drained(proposer, effects),
            undecided => self.shared.draining = Some((proposer, undecided as u64)),
        }
    }

    /// All is decided that had begun here when `proposer` asked.
    #[cold]
    pub(super) fn say_drained(&mut self, proposer: NodeId, effects: &mut Sink<'_>) {
        self.shared.draining = None;
        if proposer != self.shared.config.id {
            self.shared.say(effects, proposer, EpochMessage::Drained);
        } else if let Err(refusal) = self.receive_drained(proposer) {
            // The operator has asked for something else since.
            self.shared.metrics.refuse(refusal);
        }
    }

    /// A manager has nothing undecided left.
    fn receive_drained(&mut self, from: NodeId) -> Result<(), Refusal> {
        let wish = self.handover.wish.as_mut().filter(|wish| wish.is_holding).ok_or(Refusal::NothingProposed)?;
        wish.drained.insert(from);
        self.rearm();
        Ok(())
    }

    /// Tries a ballot of its own: for an operator's membership or, if there is none, for the present one, so that nobody's
    /// death leaves a cluster frozen.
    pub(super) fn start_trial(&mut self, effects: &mut Sink<'_>) {
        // Nobody is to be a member who was not there when he was asked.
        let wish = self.handover.wish.as_ref().filter(|wish| wish.is_ready());
        let own = wish.map(|wish| wish.membership.clone());
        let own = own.unwrap_or_else(|| self.shared.config.cluster.membership());
        let promised = self.handover.promised().map_or(0, |promised| promised.round);
        let above = promised.max(self.handover.highest_round);
        let metrics = &mut self.shared.metrics;
        let round = self.shared.rounds.take(above.saturating_add(1), |reserved| {
            metrics.count_write();
            effects.persist(Record::Rounds { reserved }, Urgency::Urgent)
        });
        let Some(round) = round else {
            self.shared.metrics.refuse(Refusal::RoundsUsedUp);
            return;
        };
        self.shared.ground = self.shared.ground.and(self.shared.rounds.scope);
        self.handover.trial = Some(Trial::new(Ballot::new(round, self.shared.config.id), own));
        self.handover.meet_rival();
        self.propose(effects);
    }

    /// A quorum has accepted `ending`: it is chosen.
    pub(super) fn end_epoch(&mut self, ending: Ending, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        let Ending { membership, committed, retired } = ending;
        let Some(next) = self.shared.epoch.and_then(|epoch| epoch.checked_add(1)) else {
            return Err(Refusal::NumbersUsedUp);
        };
        let before = self.shared.config.cluster.membership().members();
        let former = self.shared.former.iter().chain(&before).copied().collect();
        let lists = Lists { committed, retired, ..Lists::default() };
        self.begin_epoch(Beginning { number: next, membership, former, lists }, effects)?;
        // The members of both epochs are told until they have noted it.
        self.news.told = before;
        self.news.told.extend(self.shared.config.cluster.membership().members());
        self.news.told.remove(&self.shared.config.id);
        for node in self.news.told.clone() {
            self.tell(node, effects);
        }
        // So is whoever else is at work here, once: what is begun next is asked of those. If there are many, or if it takes many
        // pages, they only hear that there is something to ask for.
        let is_left = |node: &NodeId| !self.news.told.contains(node) && !self.shared.config.cluster.is_departed(*node);
        let met: Vec<NodeId> = self.shared.peers.contacts.iter().map(|(node, _)| node).filter(is_left).collect();
        let most = self.shared.config.cluster.limits().page;
        let is_short = met.len() <= TOLD_AT_ONCE && self.outgoing().is_some_and(|volume| volume.fits(most));
        for node in met {
            if is_short {
                self.tell(node, effects);
            }
            // Who does not believe this node asks others.
            self.shared.say(effects, node, EpochMessage::Newer);
        }
        Ok(())
    }

    /// Says something about the present epoch, to a role of this node at once.
    pub(super) fn say_to(&mut self, to: NodeId, what: EpochMessage, effects: &mut Sink<'_>) {
        if to == self.shared.config.id {
            self.news.local.push_back((self.shared.epoch, what));
            return;
        }
        // Reports and endings tell of what is retired, too.
        let pages = matches!(what, EpochMessage::Promise { .. } | EpochMessage::Accept { .. });
        let after = if pages { self.shared.ground.and(self.retired_scope) } else { self.shared.ground };
        let number = self.shared.epoch;
        self.shared.say_after(effects, to, number, what, after);
    }
}
