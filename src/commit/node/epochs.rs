//! The epochs of a node: the handover that ends one, and how it learns that another has begun.
//!
//! The protocol is that of [`handover`](super::super::handover). A node is in one epoch at a time, by its durable record, and
//! takes part in nothing of another one. Whoever is behind is told so by everyone that he speaks to, and asks.

use alloc::{
    collections::{BTreeSet, VecDeque},
    vec::Vec,
};
use core::cmp::Ordering;

use super::{
    super::{
        Decision, Ending, EpochMessage, EpochTag, Key, Membership, Message, Outcomes, Page, Record, Sink, Time, Transaction,
        TxRange, Wait, What,
        clock::{NEVER, NODE},
        handover::{Assembly, Handover, Lists, Progress, Trial, Volume, Wish, report},
        wait::mix,
    },
    Node,
    retirement::other_keepers,
};
use crate::{Ballot, NodeId, Refusal, Urgency, paxos};

/// How a node learns of epochs, and tells of them.
#[derive(Clone, Debug, Default)]
pub(super) struct News {
    /// Who is asked for a later epoch: the members in the configuration, if they are not those of the present epoch.
    asked: BTreeSet<NodeId>,
    /// What another node tells of a later epoch, and has not come whole.
    incoming: Option<(NodeId, u64, Assembly)>,
    /// What this node tells of its epoch. It does not change while it is told.
    outgoing: Option<Volume>,
    /// Who is told of the epoch until it has noted it.
    told: BTreeSet<NodeId>,
    /// Who is known to have noted it.
    pub(super) noted: BTreeSet<NodeId>,
    /// Messages between the roles of this node in a handover. Empty between steps.
    local: VecDeque<(Option<u64>, EpochMessage)>,
}

/// What is known of an epoch when it begins.
struct Beginning {
    number: u64,
    membership: Membership,
    former: BTreeSet<NodeId>,
    lists: Lists,
}

impl Node {
    /// Takes up the configuration's members as those of epoch `number`.
    pub(super) fn enter(&mut self, number: u64) {
        let (id, shared) = (self.shared.config.id, &mut self.shared);
        shared.epoch = Some(number);
        shared.is_acceptor = shared.config.cluster.acceptors().contains(id);
        shared.is_manager = shared.config.cluster.is_manager(id);
        shared.peers.follow(&shared.config.cluster);
        shared.frozen = None;
        self.history.remember(if shared.is_manager { shared.config.cluster.limits().history } else { 0 });
        self.handover = Handover::default();
        self.news = News { noted: [id].into(), ..News::default() };
    }

    /// The record of the present epoch.
    pub(super) fn epoch_record(&self) -> Record {
        let Beginning { number, membership, former, lists } = self.beginning();
        let former = former.into_iter().collect();
        Record::Epoch { number, membership: membership.into(), former, committed: lists.committed }
    }

    /// What is known of the present epoch, to be told or written.
    fn beginning(&self) -> Beginning {
        let shared = &self.shared;
        let committed = shared.committed.iter().collect();
        let lists = Lists { committed, retired: self.retired.iter().collect(), ..Lists::default() };
        let (membership, former) = (shared.config.cluster.membership(), shared.former.clone());
        Beginning { number: shared.epoch.unwrap_or_default(), membership, former, lists }
    }

    /// Asks the members in the configuration for news.
    pub(super) fn ask_members(&mut self, membership: &Membership) {
        self.news.asked = membership.members();
        self.news.asked.remove(&self.shared.config.id);
        self.rearm();
    }

    /// A restored manager tells all members of its epoch again. So does whoever was a member before: it may have ended that
    /// epoch, and be the only one that knows.
    pub(super) fn tell_members(&mut self) {
        let id = self.shared.config.id;
        if self.shared.epoch > Some(0) && (self.shared.is_manager || self.shared.former.contains(&id)) {
            self.news.told = self.shared.config.cluster.membership().members();
            self.news.told.remove(&id);
        }
        self.rearm();
    }

    /// Compares the epoch of a node that is met with this node's own.
    pub(super) fn compare_epochs(
        &mut self,
        node: NodeId,
        told: Option<EpochTag>,
        effects: &mut impl Sink,
    ) -> Result<(), Refusal> {
        let Some(told) = told else { return Ok(()) };
        match (Some(told.number).cmp(&self.shared.epoch), self.tag()) {
            (Ordering::Equal, Some(own)) if own != told => return Err(Refusal::OtherMembership),
            (Ordering::Equal, _) => {}
            (Ordering::Greater, _) => self.shared.say(effects, node, EpochMessage::Wanted),
            (Ordering::Less, _) => self.shared.say(effects, node, EpochMessage::Newer),
        }
        Ok(())
    }

    /// Whether something may be said here about a transaction of another epoch. Who is behind is told so, and who is ahead is
    /// asked.
    #[cold]
    pub(super) fn check_epoch(
        &mut self,
        from: NodeId,
        transaction: &Transaction,
        what: &What,
        effects: &mut impl Sink,
    ) -> Result<(), Refusal> {
        if self.shared.epoch.is_none_or(|epoch| transaction.epoch() > epoch) {
            self.shared.say(effects, from, EpochMessage::Wanted);
            return Err(Refusal::NewerEpoch);
        }
        let tx = transaction.id();
        if self.retired.contains(tx) {
            return Ok(());
        }
        let is_open = || self.open.get(tx).is_some_and(|open| open.transaction == *transaction);
        let takes_part = || is_open() && self.open.get(tx).is_some_and(|open| open.rm.is_some());
        let is_heard = match what {
            // The acceptors of that epoch are done.
            What::Phase1b { .. } | What::Phase2b { .. } | What::Reject { .. } => return Err(Refusal::OldEpoch),
            What::Vote { .. } | What::Phase1a { .. } | What::Phase2a { .. } => false,
            What::Prepare { .. } => takes_part(),
            // What is refused must not tell anyone how it ended, so all that could be wrong is looked at first.
            What::Begin { .. } | What::Inquire | What::Finished(_) | What::Decline if !transaction.has(from) => {
                return Err(Refusal::NotAParticipant);
            }
            What::Begin { meta } if !transaction.is_about(meta) => return Err(Refusal::OtherContent),
            What::Begin { .. } | What::Inquire | What::Finished(_) | What::Decline => self.shared.is_manager,
            What::Outcome(_) if !self.may_tell(from) => return Err(Refusal::NotAManager),
            What::Outcome(_) if !transaction.has(self.shared.config.id) && !is_open() => {
                return Err(Refusal::UnknownTransaction);
            }
            What::Outcome(_) | What::Wait | What::OtherTransaction => true,
        };
        if is_heard {
            return Ok(());
        }
        self.shared.say(effects, from, EpochMessage::Newer);
        Err(Refusal::OldEpoch)
    }

    /// Whether `node` is a transaction manager, or was a member of an epoch before: then it may say how something ended.
    pub(super) fn may_tell(&self, node: NodeId) -> bool {
        self.shared.config.cluster.is_manager(node) || self.shared.former.contains(&node)
    }

    /// A node that is not known to be a manager says how something ended, or that it is over: it may be one of a later epoch.
    #[cold]
    pub(super) fn ask_stranger(&mut self, from: NodeId, message: &Message, refusal: Refusal, effects: &mut impl Sink) {
        let speaks_for_all = match message {
            Message::About { what: What::Outcome(_), .. } => refusal == Refusal::NotAManager,
            Message::Retired { .. } => matches!(refusal, Refusal::WideRange | Refusal::NotAParticipant),
            _ => false,
        };
        if speaks_for_all {
            self.shared.say(effects, from, EpochMessage::Wanted);
        }
    }

    /// An operator wants another membership.
    pub(super) fn change(&mut self, membership: Membership, effects: &mut impl Sink) -> Result<(), Refusal> {
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

    /// Another node says something about epochs.
    pub(super) fn hear_of_epoch(
        &mut self,
        from: NodeId,
        number: Option<u64>,
        what: &EpochMessage,
        effects: &mut impl Sink,
    ) -> Result<(), Refusal> {
        let result = self.receive_of_epoch(from, number, what, effects);
        self.finish_epoch_step(effects);
        result
    }

    /// Lets the roles of this node answer each other, and sets the alarm.
    fn finish_epoch_step(&mut self, effects: &mut impl Sink) {
        while let Some((number, what)) = self.news.local.pop_front() {
            // A handover ends while its last messages are under way.
            if number == self.shared.epoch
                && let Err(refusal) = self.receive_in_handover(self.shared.config.id, &what, effects)
            {
                self.shared.metrics.refuse(refusal);
            }
        }
        self.rearm();
    }

    fn receive_of_epoch(
        &mut self,
        from: NodeId,
        number: Option<u64>,
        what: &EpochMessage,
        effects: &mut impl Sink,
    ) -> Result<(), Refusal> {
        let order = number.cmp(&self.shared.epoch);
        match what {
            EpochMessage::Told { membership, former, page } if order == Ordering::Greater => {
                let Some(number) = number else { return Err(Refusal::OldEpoch) };
                self.receive_told(from, number, membership, former, page, effects)
            }
            EpochMessage::Newer | EpochMessage::Told { .. } | EpochMessage::Wanted | EpochMessage::Noted => {
                self.receive_news(from, order, what, effects)
            }
            EpochMessage::More { digest, next } => self.receive_more(from, *digest, *next, effects),
            EpochMessage::Invite(membership) => {
                if !membership.is_member(self.shared.config.id) {
                    return Err(Refusal::NotAMember);
                }
                if self.shared.epoch.is_none() {
                    self.news.asked.insert(from);
                } else if order == Ordering::Less {
                    return self.receive_news(from, order, &EpochMessage::Newer, effects);
                }
                self.shared.say_of(effects, from, number, EpochMessage::Ready);
                Ok(())
            }
            _ if order == Ordering::Equal && self.shared.epoch.is_some() => {
                self.receive_in_handover(from, what, effects)
            }
            _ => {
                self.receive_news(from, order, &EpochMessage::Newer, effects)?;
                Err(if order == Ordering::Less { Refusal::OldEpoch } else { Refusal::NewerEpoch })
            }
        }
    }

    /// Another node says, by the way or for its own sake, in which epoch it is.
    fn receive_news(
        &mut self,
        from: NodeId,
        order: Ordering,
        what: &EpochMessage,
        effects: &mut impl Sink,
    ) -> Result<(), Refusal> {
        match (order, what) {
            (Ordering::Greater, _) => self.shared.say(effects, from, EpochMessage::Wanted),
            (Ordering::Less, EpochMessage::Wanted) => self.tell(from, effects),
            (Ordering::Less, _) => self.shared.say(effects, from, EpochMessage::Newer),
            (Ordering::Equal, EpochMessage::Noted) => self.receive_noted(from, effects),
            (Ordering::Equal, _) if self.shared.epoch.is_some() => self.shared.say(effects, from, EpochMessage::Noted),
            // Two newcomers have nothing to tell each other.
            (Ordering::Equal, _) => {}
        }
        Ok(())
    }

    /// Another node has noted this epoch. It may have refused what it was told before that.
    fn receive_noted(&mut self, from: NodeId, effects: &mut impl Sink) {
        if self.shared.epoch.is_none() {
            return;
        }
        self.news.asked.clear();
        self.news.told.remove(&from);
        if !self.news.noted.insert(from) || self.shared.epoch == Some(0) {
            return;
        }
        for tx in self.open_transactions() {
            if let (hash, Some(handle)) = self.look_up(tx) {
                (self.shared.tx, self.shared.hash) = (tx, hash);
                // It only sends: a fence is the only refusal, and is counted already.
                let _ = self.work(handle, effects, |open, shared, effects| match open.is_of_epoch(shared) {
                    true => open.say_again(shared, effects, from),
                    false => Ok(()),
                });
            }
        }
    }

    /// Tells a node that is behind of the present epoch.
    fn tell(&mut self, to: NodeId, effects: &mut impl Sink) {
        if self.shared.epoch.is_none() {
            return;
        }
        if self.news.outgoing.is_none() {
            let mut lists = self.beginning().lists;
            let own = self.birth.map(|birth| (self.shared.config.id, birth));
            lists.peers = self.shared.peers.contacts.iter().chain(own).collect();
            self.news.outgoing = Some(Volume::new(lists));
        }
        let Some(page) = self.news.outgoing.as_ref().map(|volume| volume.page(0)) else { return };
        self.tell_page(to, page, effects);
    }

    fn tell_page(&mut self, to: NodeId, page: Page, effects: &mut impl Sink) {
        let membership = self.shared.config.cluster.membership().into();
        let former = self.shared.former.iter().copied().collect();
        // What it tells of what is retired rests on that, too.
        self.shared.ground = self.shared.ground.and(self.retired_scope);
        self.shared.say(effects, to, EpochMessage::Told { membership, former, page });
    }

    /// Another node asks for the next page of something.
    fn receive_more(&mut self, from: NodeId, digest: u64, next: u64, effects: &mut impl Sink) -> Result<(), Refusal> {
        let is_it = |volume: &&Volume| volume.digest() == digest;
        if let Some(page) = self.news.outgoing.as_ref().filter(is_it).map(|volume| volume.page(next)) {
            self.tell_page(from, page, effects);
        } else if let Some(page) = self.handover.reported.as_ref().filter(is_it).map(|volume| volume.page(next)) {
            let Some(promise) = self.handover.promise(page) else { return Err(Refusal::OtherPage) };
            self.say_to(from, promise, effects);
        } else if let Some(trial) = &self.handover.trial
            && let Some((ending, volume)) = trial.ending().zip(trial.volume.as_ref().filter(is_it))
        {
            let membership = ending.membership.clone().into();
            let accept = EpochMessage::Accept { ballot: trial.ballot(), membership, page: volume.page(next) };
            self.say_to(from, accept, effects);
        } else {
            return Err(Refusal::OtherPage);
        }
        Ok(())
    }

    /// A page of what another node knows of a later epoch.
    fn receive_told(
        &mut self,
        from: NodeId,
        number: u64,
        membership: &Membership,
        former: &[NodeId],
        page: &Page,
        effects: &mut impl Sink,
    ) -> Result<(), Refusal> {
        let known = &self.shared.config.cluster;
        // Only a member, or who was one, may speak for all.
        if !(known.keeps_retired(from) || membership.is_member(from) || former.contains(&from)) {
            return Err(Refusal::NotAMember);
        }
        let cluster = known.with_membership(membership.clone()).map_err(|_| Refusal::MalformedMembership)?;
        let is_it = |(of, told, _): &&mut (NodeId, u64, Assembly)| *of == from && *told == number;
        let progress = match self.news.incoming.as_mut().filter(is_it) {
            Some((.., assembly)) => assembly.add(page)?,
            None => {
                let mut assembly = Assembly::default();
                let progress = assembly.add(page)?;
                self.news.incoming = Some((from, number, assembly));
                progress
            }
        };
        match progress {
            Progress::Next(next) => {
                let digest = page.digest;
                self.shared.say_of(effects, from, Some(number), EpochMessage::More { digest, next });
            }
            Progress::Whole(lists) => {
                let membership = cluster.membership();
                let former = former.iter().copied().collect();
                self.begin_epoch(Beginning { number, membership, former, lists }, effects)?;
                self.shared.say(effects, from, EpochMessage::Noted);
            }
        }
        Ok(())
    }

    /// A message of the handover of the present epoch.
    fn receive_in_handover(
        &mut self,
        from: NodeId,
        what: &EpochMessage,
        effects: &mut impl Sink,
    ) -> Result<(), Refusal> {
        let cluster = &self.shared.config.cluster;
        let is_member = cluster.keeps_retired(from);
        match what {
            EpochMessage::Ready => {
                let wish = self.handover.wish.as_mut().ok_or(Refusal::NothingProposed)?;
                wish.ready.insert(from);
                self.go_on(effects);
                Ok(())
            }
            _ if !is_member => Err(Refusal::NotAMember),
            EpochMessage::Hold => {
                let wait = cluster.timeouts().flush.saturating_mul(2);
                self.handover.held_until = Time(self.shared.clock.now().0.saturating_add(wait));
                Ok(())
            }
            EpochMessage::Prepare { ballot } => {
                self.receive_request(from, *ballot, paxos::Message::Prepare { ballot: *ballot }, effects)
            }
            EpochMessage::Accept { ballot, membership, page } => {
                if let Some(promised) = self.handover.promised().filter(|promised| ballot < promised) {
                    self.say_to(from, EpochMessage::Reject { ballot: *ballot, promised }, effects);
                    return Err(Refusal::StaleBallot);
                }
                match self.handover.add_ending(*ballot, page)? {
                    Progress::Next(next) => {
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
                self.handover.start_over();
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
    fn receive_request(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        request: paxos::Message<Ending>,
        effects: &mut impl Sink,
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
        // A proposer is at work: leave it to that.
        self.handover.start_over();
        match answer.reply {
            paxos::Message::Promise { accepted, .. } => {
                let lists = match &accepted {
                    Some((_, ending)) => Lists::of_ending(ending),
                    None => self.report(),
                };
                let volume = Volume::new(lists);
                let page = if from == self.shared.config.id { volume.whole() } else { volume.page(0) };
                self.handover.reported = Some(volume);
                // It tells of what is retired, too.
                self.shared.ground = self.shared.ground.and(self.retired_scope);
                if let Some(promise) = self.handover.promise(page) {
                    self.say_to(from, promise, effects);
                }
            }
            _ => self.say_to(from, EpochMessage::Accepted { ballot }, effects),
        }
        Ok(())
    }

    /// Before an acceptor freezes, it accepts what it has gathered.
    fn flush_all(&mut self, effects: &mut impl Sink) {
        for tx in self.open_transactions() {
            // A fence is the only refusal.
            let _ = self.work_on(tx, effects, |open, shared, effects| match open.is_of_epoch(shared) {
                true => open.flush(shared, effects),
                false => Ok(()),
            });
        }
    }

    /// All that this frozen acceptor has accepted in transactions of the epoch, and what is retired here.
    fn report(&self) -> Lists {
        let open = self.open_transactions().into_iter().filter_map(|tx| self.open.get(tx));
        let records = open.filter(|open| open.is_of_epoch(&self.shared)).filter_map(|open| {
            let acceptor = open.acceptor.as_ref().filter(|acceptor| acceptor.role.has_record())?;
            Some(acceptor.role.record(&open.transaction))
        });
        report(records, &self.retired)
    }

    fn receive_promise(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        accepted: Option<(Ballot, &Membership)>,
        page: &Page,
        effects: &mut impl Sink,
    ) -> Result<(), Refusal> {
        let trial = self.handover.trial.as_mut().ok_or(Refusal::OtherBallot)?;
        let (next, ending) = trial.promise(&self.shared.config.cluster, from, ballot, accepted, page)?;
        if let Some(next) = next {
            self.say_to(from, EpochMessage::More { digest: page.digest, next }, effects);
        }
        if ending.is_some() {
            self.handover.start_over();
            self.propose(effects);
        }
        Ok(())
    }

    /// Sends phase 1a, or phase 2a, to the acceptors that have not answered it.
    fn propose(&mut self, effects: &mut impl Sink) {
        let Some(trial) = &self.handover.trial else { return };
        let (ballot, silent) = (trial.ballot(), trial.silent(&self.shared.config.cluster));
        let proposal = trial.ending().zip(trial.volume.as_ref());
        let proposal = proposal.map(|(ending, volume)| (ending.membership.clone(), volume.page(0), volume.whole()));
        for to in silent {
            let message = match &proposal {
                None => EpochMessage::Prepare { ballot },
                Some((membership, first, whole)) => {
                    let page = if to == self.shared.config.id { whole } else { first };
                    EpochMessage::Accept { ballot, membership: membership.clone().into(), page: page.clone() }
                }
            };
            self.say_to(to, message, effects);
        }
    }

    /// Whether this node may propose how its epoch ends.
    fn may_propose(&self) -> bool {
        self.shared.is_manager || self.shared.is_acceptor
    }

    /// Asks the members to come that have not answered.
    fn invite(&mut self, effects: &mut impl Sink) {
        let Some(wish) = &self.handover.wish else { return };
        let (membership, members) = (wish.membership.clone(), wish.membership.members());
        let silent: Vec<NodeId> = members.into_iter().filter(|node| !wish.ready.contains(node)).collect();
        for to in silent {
            self.say_to(to, EpochMessage::Invite(membership.clone().into()), effects);
        }
    }

    /// Once enough of the members to come are there, asks managers to begin nothing new; phase 1 follows after a moment.
    fn go_on(&mut self, effects: &mut impl Sink) {
        let Some(wish) = self.handover.wish.as_mut().filter(|wish| !wish.is_holding && wish.is_ready()) else { return };
        wish.is_holding = true;
        self.handover.start_over();
        for manager in self.shared.config.cluster.managers().to_vec() {
            self.say_to(manager, EpochMessage::Hold, effects);
        }
    }

    /// Tries a ballot of its own: for an operator's membership or, if there is none, for the present one, so that nobody's
    /// death leaves a cluster frozen.
    fn start_trial(&mut self, effects: &mut impl Sink) {
        let own = self.handover.wish.as_ref().map(|wish| wish.membership.clone());
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
        self.handover.start_over();
        self.propose(effects);
    }

    /// A quorum has accepted `ending`: it is chosen.
    fn end_epoch(&mut self, ending: Ending, effects: &mut impl Sink) -> Result<(), Refusal> {
        let Ending { membership, committed, retired } = ending;
        let Some(next) = self.shared.epoch.and_then(|epoch| epoch.checked_add(1)) else {
            return Err(Refusal::NumbersUsedUp);
        };
        let members = self.shared.config.cluster.membership().members();
        let former = self.shared.former.iter().copied().chain(members).collect();
        let lists = Lists { committed, retired, ..Lists::default() };
        let before = self.shared.config.cluster.membership().members();
        self.begin_epoch(Beginning { number: next, membership, former, lists }, effects)?;
        // Who is at work here hears of it first, whether it was a member or not.
        let met = self.shared.peers.contacts.iter().map(|(node, _)| node);
        let told: BTreeSet<NodeId> =
            met.chain(before).chain(self.shared.config.cluster.membership().members()).collect();
        self.news.told.extend(told.iter().filter(|node| self.shared.config.cluster.keeps_retired(**node)));
        self.news.told.extend(told.iter().filter(|node| self.shared.former.contains(node)));
        for node in told {
            if node != self.shared.config.id && !self.shared.config.cluster.is_departed(node) {
                self.tell(node, effects);
            }
        }
        self.news.told.remove(&self.shared.config.id);
        Ok(())
    }

    /// A later epoch has begun. Everything is written in one step, and in this order: what is retired, the epoch, and that the
    /// acceptor's records of before are gone.
    fn begin_epoch(&mut self, beginning: Beginning, effects: &mut impl Sink) -> Result<(), Refusal> {
        let Beginning { number, membership, former, lists } = beginning;
        let cluster = self.shared.config.cluster.with_membership(membership.clone());
        let cluster = cluster.map_err(|_| Refusal::MalformedMembership)?;
        let before = self.shared.config.cluster.membership().members();
        let was_manager = self.shared.is_manager;
        for range in lists.retired.iter() {
            self.retire_all(*range, effects);
        }
        for range in lists.committed.iter() {
            self.shared.committed.add(*range);
        }
        for range in self.retired.iter() {
            self.shared.committed.remove(range);
        }
        for (node, birth) in lists.peers {
            self.learn_peer(node, birth, effects);
        }
        let was_frozen = self.handover.state.is_some();
        let wish = self.handover.wish.take();
        self.shared.config.cluster = cluster;
        self.shared.former = former;
        self.enter(number);
        let record = self.epoch_record();
        self.persist_ground(record, effects);
        self.retired_scope = self.retired_scope.and(self.shared.ground);
        if was_frozen {
            self.persist(Record::Erased(Key::Handover), effects);
        }
        self.hand_over_open(effects);
        self.follow_announcements(&before, was_manager);
        let ground = self.shared.ground;
        self.decide(Decision::Epoch { number, membership: membership.clone().into() }, ground, effects);
        if let Some(wish) = wish {
            self.decide(Decision::Changed { number, is_mine: wish.membership == membership }, ground, effects);
        }
        if self.shared.is_manager {
            self.news.told = self.shared.config.cluster.membership().members();
            self.news.told.remove(&self.shared.config.id);
        }
        Ok(())
    }

    /// Retires all of `range`, except what the resource manager here still owes: that is listed as violated.
    fn retire_all(&mut self, range: TxRange, effects: &mut impl Sink) {
        let mut rest = Some(range);
        while let Some(range) = rest {
            let done = self.retire_some(range, &Outcomes::default(), effects);
            rest = done
                .last()
                .seq
                .checked_add(1)
                .and_then(|next| TxRange::new(range.origin(), next, range.last().seq).ok());
        }
    }

    fn learn_peer(&mut self, node: NodeId, birth: u64, effects: &mut impl Sink) {
        let most = self.shared.config.cluster.limits().nodes;
        let is_new = node != self.shared.config.id && self.shared.peers.contacts.meet(node, birth, most) == Ok(true);
        if is_new {
            self.persist_ground(Record::Peer { node, birth }, effects);
        }
    }

    /// Writes a record that everything said from now on rests on.
    fn persist_ground(&mut self, record: Record, effects: &mut impl Sink) {
        self.shared.metrics.count_write();
        let scope = effects.persist(record, Urgency::Urgent);
        self.shared.ground = self.shared.ground.and(scope);
    }

    /// Ends what is open of the epochs before.
    pub(super) fn hand_over_open(&mut self, effects: &mut impl Sink) {
        let open = self.open_transactions();
        for tx in &open {
            let erased = self.open.get(*tx).is_some_and(|open| {
                !open.is_of_epoch(&self.shared)
                    && open.acceptor.as_ref().is_some_and(|acceptor| acceptor.role.has_record())
            });
            if erased {
                self.persist(Record::Erased(Key::Acceptor(*tx)), effects);
            }
        }
        for tx in open {
            let (hash, Some(handle)) = self.look_up(tx) else { continue };
            (self.shared.tx, self.shared.hash) = (tx, hash);
            if self.open.at(handle).is_none_or(|open| open.is_of_epoch(&self.shared)) {
                continue;
            }
            if let Err(refusal) = self.work(handle, effects, |open, shared, effects| open.hand_over(shared, effects)) {
                self.shared.metrics.refuse(refusal);
            }
            let is_empty = |open: &&super::Open| open.rm.is_none() && open.tm.is_none() && open.fence.is_none();
            if self.open.at(handle).filter(is_empty).is_some() {
                self.drop_open(handle, effects);
            }
        }
    }

    /// Who left is announced nothing any more, and who came everything.
    fn follow_announcements(&mut self, before: &BTreeSet<NodeId>, was_manager: bool) {
        let config = self.shared.config.clone();
        let is_manager = self.shared.is_manager;
        self.announced.retain(|keeper, _| is_manager && config.cluster.keeps_retired(*keeper));
        if is_manager && !self.retired.is_empty() {
            for keeper in other_keepers(&config).filter(|keeper| !was_manager || !before.contains(keeper)) {
                self.announced.insert(keeper, self.retired.clone());
            }
        }
        self.await_acknowledgements();
    }

    /// Says something about the present epoch, to a role of this node at once.
    fn say_to(&mut self, to: NodeId, what: EpochMessage, effects: &mut impl Sink) {
        if to == self.shared.config.id {
            self.news.local.push_back((self.shared.epoch, what));
        } else {
            self.shared.say(effects, to, what);
        }
    }

    /// A wait of the node itself is over.
    pub(super) fn wake(&mut self, effects: &mut impl Sink) {
        let now = self.shared.clock.now();
        if self.is_announcement_due(now) {
            self.announce(effects);
        }
        if self.handover.due <= now {
            (self.handover.wait, self.handover.due) = (None, NEVER);
            self.handover.repetitions = self.handover.repetitions.saturating_add(1);
            self.insist(effects);
        }
        self.finish_epoch_step(effects);
    }

    /// What was waited for has not come.
    fn insist(&mut self, effects: &mut impl Sink) {
        let handover = &self.handover;
        if handover.trial.is_some() {
            self.propose(effects);
        } else if self.may_propose()
            && (handover.state.is_some()
                || handover.is_told
                || handover.wish.as_ref().is_some_and(|wish| wish.is_holding))
        {
            self.start_trial(effects);
        } else if handover.wish.is_some() {
            self.invite(effects);
        } else {
            let mut asked = self.news.asked.clone();
            if self.handover.is_told {
                asked.extend(self.shared.config.cluster.membership().members());
            }
            for to in asked {
                self.shared.say(effects, to, EpochMessage::Wanted);
            }
            for to in self.news.told.clone() {
                self.shared.say(effects, to, EpochMessage::Newer);
            }
        }
    }

    /// Waits for what is to come next, unless it does already.
    pub(super) fn rearm(&mut self) {
        // Who may not propose how an epoch ends asks whether it has.
        let has_news = !self.news.asked.is_empty() || !self.news.told.is_empty() || self.handover.is_told;
        let news = has_news.then_some(Wait::Repeat(self.handover.repetitions));
        let wait = self.handover.waits_for(self.may_propose()).or(news);
        if wait != self.handover.wait {
            let (config, now) = (&self.shared.config, self.shared.clock.now());
            let jitter = mix(mix(config.seed) ^ now.0);
            let until = |wait: Wait| Time(now.0.saturating_add(wait.duration(config.cluster.timeouts(), jitter)));
            (self.handover.wait, self.handover.due) = (wait, wait.map_or(NEVER, until));
        }
        self.set_alarm();
    }

    /// Sets the node's own alarm to the first of its waits.
    pub(super) fn set_alarm(&mut self) {
        let due = self.announcement_due().min(self.handover.due);
        self.shared.clock.set(NODE, due);
    }
}
