//! How a node learns of epochs, and tells of them.
//!
//! A node is in one epoch at a time, by its durable record, and takes part in nothing of another one. Whoever is behind is told
//! so by everyone that he speaks to, and asks.

use alloc::collections::{BTreeSet, VecDeque};
use core::cmp::Ordering;

use super::{
    super::{
        Cluster, EpochMessage, EpochTag, Membership, Message, Page, Sink, Time, Transaction, Wait, What,
        clock::{NEVER, NODE},
        handover::{Assembly, Progress, Volume},
        shared::Shared,
        wait::mix,
    },
    Node,
    next_epoch::Beginning,
};
use crate::{NodeId, Refusal};

/// How far ahead the epoch of another node may be.
const FARTHEST_EPOCH: u64 = 1 << 32;

/// A later epoch that another node tells of.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Incoming {
    from: NodeId,
    number: u64,
    /// When the last page came, on the node's own clock.
    since: Time,
    assembly: Assembly,
}

/// How a node learns of epochs, and tells of them.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct News {
    /// Who is asked for a later epoch: the members in the configuration, if they are not those of the present epoch.
    pub(super) asked: BTreeSet<NodeId>,
    /// What another node tells of a later epoch, and has not come whole.
    pub(super) incoming: Option<Incoming>,
    /// What this node tells of its epoch. It does not change while it is told.
    pub(super) outgoing: Option<Volume>,
    /// Who is told of the epoch until it has noted it.
    pub(super) told: BTreeSet<NodeId>,
    /// Who is known to have noted it.
    pub(super) noted: BTreeSet<NodeId>,
    /// Messages between the roles of this node in a handover. Empty between steps.
    pub(super) local: VecDeque<(Option<u64>, EpochMessage)>,
}

impl Node {
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
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        let Some(told) = told else { return Ok(()) };
        match (Some(told.number).cmp(&self.shared.epoch), self.tag()) {
            (Ordering::Equal, Some(own)) if own != told => return Err(Refusal::OtherMembership),
            (Ordering::Equal, _) => {}
            (Ordering::Greater, _) => self.ask(node, effects),
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
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        if self.shared.epoch.is_none_or(|epoch| transaction.epoch() > epoch) {
            self.ask(from, effects);
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
    pub(super) fn ask_stranger(&mut self, from: NodeId, message: &Message, refusal: Refusal, effects: &mut Sink<'_>) {
        let speaks_for_all = match message {
            Message::About { what: What::Outcome(_), .. } => refusal == Refusal::NotAManager,
            Message::Retired { .. } => refusal == Refusal::WideRange,
            _ => false,
        };
        if speaks_for_all {
            self.ask(from, effects);
        }
    }

    /// Whether `node` is believed when it tells of a later epoch: a member of the present one or of one before, by this node's
    /// own record, or a member in its configuration. Anybody else speaks for himself only.
    pub(crate) fn believes(&self, node: NodeId) -> bool {
        let shared = &self.shared;
        shared.config.cluster.keeps_retired(node) || shared.former.contains(&node) || self.news.asked.contains(&node)
    }

    /// `from` seems to be in a later epoch. If it is not believed, those are asked who are. Nobody is, while somebody tells.
    #[cold]
    fn ask(&mut self, from: NodeId, effects: &mut Sink<'_>) {
        if self.is_told_now() {
            return;
        }
        if self.believes(from) {
            self.shared.say(effects, from, EpochMessage::Wanted);
            return;
        }
        let id = self.shared.config.id;
        for member in self.shared.config.cluster.membership().members().into_iter().filter(|member| *member != id) {
            self.shared.say(effects, member, EpochMessage::Wanted);
        }
    }

    /// Whether another node is telling of a later epoch, and has not stopped.
    fn is_told_now(&self) -> bool {
        let repeat = self.shared.config.cluster.timeouts().repeat;
        let until = |since: Time| since.0.saturating_add(repeat);
        self.news.incoming.as_ref().is_some_and(|incoming| self.shared.clock.now().0 < until(incoming.since))
    }

    /// Another node says something about epochs.
    pub(super) fn hear_of_epoch(
        &mut self,
        from: NodeId,
        number: Option<u64>,
        what: &EpochMessage,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        let result = self.receive_of_epoch(from, number, what, effects);
        self.finish_epoch_step(effects);
        result
    }

    /// Lets the roles of this node answer each other, and sets the alarm.
    pub(super) fn finish_epoch_step(&mut self, effects: &mut Sink<'_>) {
        while let Some((number, what)) = self.news.local.pop_front() {
            // A handover ends while its last messages are under way.
            if number != self.shared.epoch {
                continue;
            }
            let id = self.shared.config.id;
            let result = match &what {
                EpochMessage::More { digest, next } => self.receive_more(id, *digest, *next, effects),
                what => self.receive_in_handover(id, what, effects),
            };
            if let Err(refusal) = result {
                self.shared.metrics.refuse(refusal);
            }
        }
        self.rearm();
    }

    pub(super) fn receive_of_epoch(
        &mut self,
        from: NodeId,
        number: Option<u64>,
        what: &EpochMessage,
        effects: &mut Sink<'_>,
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
            EpochMessage::Invite(membership) => self.receive_invitation(from, order, membership, effects),
            _ if order == Ordering::Equal && self.shared.epoch.is_some() => {
                self.receive_in_handover(from, what, effects)
            }
            _ => {
                self.receive_news(from, order, &EpochMessage::Newer, effects)?;
                Err(if order == Ordering::Less { Refusal::OldEpoch } else { Refusal::NewerEpoch })
            }
        }
    }

    /// Another node asks whether this one is there, to be a member of the next epoch. This node says so only once it is in the
    /// epoch of the other one: whoever ends that is a member of it, so that this node will believe what it is told of the next.
    fn receive_invitation(
        &mut self,
        from: NodeId,
        order: Ordering,
        membership: &Membership,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        if !membership.is_member(self.shared.config.id) {
            return Err(Refusal::NotAMember);
        }
        match order {
            Ordering::Less => self.receive_news(from, order, &EpochMessage::Newer, effects),
            Ordering::Equal if self.shared.epoch.is_some() => {
                if !self.shared.config.cluster.keeps_retired(from) {
                    return Err(Refusal::NotAMember);
                }
                self.shared.say(effects, from, EpochMessage::Ready);
                Ok(())
            }
            Ordering::Equal | Ordering::Greater => {
                let is_believed = self.believes(from);
                self.ask(from, effects);
                Err(if is_believed { Refusal::NewerEpoch } else { Refusal::InvitedByStranger })
            }
        }
    }

    /// Another node says, by the way or for its own sake, in which epoch it is.
    pub(super) fn receive_news(
        &mut self,
        from: NodeId,
        order: Ordering,
        what: &EpochMessage,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        match (order, what) {
            (Ordering::Greater, _) => self.ask(from, effects),
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
    pub(super) fn receive_noted(&mut self, from: NodeId, effects: &mut Sink<'_>) {
        if self.shared.epoch.is_none() {
            return;
        }
        self.news.asked.remove(&from);
        self.news.told.remove(&from);
        self.invite_again(from, effects);
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
    pub(super) fn tell(&mut self, to: NodeId, effects: &mut Sink<'_>) {
        let most = self.shared.config.cluster.limits().page;
        let Some(page) = self.outgoing().map(|volume| volume.page(0, most)) else { return };
        self.tell_page(to, page, effects);
    }

    /// What it tells of its epoch, if it is in one.
    pub(super) fn outgoing(&mut self) -> Option<&Volume> {
        self.shared.epoch?;
        if self.news.outgoing.is_none() {
            let mut lists = self.beginning().lists;
            // Where nobody is told whom he meets, nobody is to think that he has met someone.
            let own = self.birth.filter(|_| self.shared.peers.contacts.len() > 0);
            let own = own.map(|birth| (self.shared.config.id, birth));
            lists.peers = self.shared.peers.contacts.iter().chain(own).collect();
            self.news.outgoing = Some(Volume::new(lists));
        }
        self.news.outgoing.as_ref()
    }

    pub(super) fn tell_page(&mut self, to: NodeId, page: Page, effects: &mut Sink<'_>) {
        let membership = self.shared.config.cluster.membership().into();
        let former = self.shared.former.iter().copied().collect();
        // What it tells of what is retired rests on that, too.
        let after = self.shared.ground.and(self.retired_scope);
        let number = self.shared.epoch;
        self.shared.say_after(effects, to, number, EpochMessage::Told { membership, former, page }, after);
    }

    /// Another node, or another role of this one, asks for the next page of something. A report and an ending, say, may have the
    /// same entries: then it gets that page of both, and takes the one that it waits for.
    pub(super) fn receive_more(
        &mut self,
        from: NodeId,
        digest: u64,
        next: u64,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        let most = self.shared.config.cluster.limits().page;
        let is_it = |volume: &&Volume| volume.digest() == digest;
        let page = |volume: Option<&Volume>| volume.filter(is_it).map(|volume| volume.page(next, most));
        let told = page(self.news.outgoing.as_ref().filter(|_| from != self.shared.config.id));
        let promise = page(self.handover.reported.as_ref()).and_then(|page| self.handover.promise(page));
        let accept = self.handover.trial.as_ref().and_then(|trial| {
            let (membership, page) = (trial.ending()?.membership.clone().into(), page(trial.volume.as_ref())?);
            Some(EpochMessage::Accept { ballot: trial.ballot(), membership, page })
        });
        if told.is_none() && promise.is_none() && accept.is_none() {
            return Err(Refusal::OtherPage);
        }
        if promise.is_some() {
            // However many pages there are, a proposer is at work.
            self.handover.start_over();
        }
        told.into_iter().for_each(|page| self.tell_page(from, page, effects));
        promise.into_iter().chain(accept).for_each(|what| self.say_to(from, what, effects));
        Ok(())
    }

    /// A page of what another node knows of a later epoch.
    pub(super) fn receive_told(
        &mut self,
        from: NodeId,
        number: u64,
        membership: &Membership,
        former: &[NodeId],
        page: &Page,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        if !self.believes(from) {
            return Err(Refusal::NotAMember);
        }
        let cluster = self.check_told(number, membership, former)?;
        let since = self.shared.clock.now();
        let (is_busy, is_later) = (self.is_told_now(), |incoming: &Incoming| incoming.number < number);
        let progress = match &mut self.news.incoming {
            Some(incoming) if incoming.from == from && incoming.number == number => {
                let progress = incoming.assembly.add(page)?;
                incoming.since = since;
                progress
            }
            // One teller at a time, unless another one knows of a later epoch.
            Some(incoming) if is_busy && !is_later(incoming) => return Err(Refusal::OtherPage),
            incoming => {
                let mut assembly = Assembly::default();
                let progress = assembly.add(page)?;
                *incoming = Some(Incoming { from, number, since, assembly });
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
                let mut asked = core::mem::take(&mut self.news.asked);
                self.begin_epoch(Beginning { number, membership, former, lists }, effects)?;
                // Others may know of a later epoch still.
                asked.remove(&from);
                self.news.asked = asked;
                self.shared.say(effects, from, EpochMessage::Noted);
                // What the managers have said so far was refused: they say it again.
                let id = self.shared.config.id;
                let managers = self.shared.config.cluster.managers().to_vec();
                for manager in managers.into_iter().filter(|manager| *manager != id && *manager != from) {
                    self.shared.say(effects, manager, EpochMessage::Noted);
                }
            }
        }
        Ok(())
    }

    /// The cluster of a later epoch, as another node tells of it. Numbers rise step by step, whoever was a member was one, and
    /// whoever was written off stays so.
    fn check_told(&self, number: u64, membership: &Membership, former: &[NodeId]) -> Result<Cluster, Refusal> {
        let Shared { config, epoch, former: known, .. } = &self.shared;
        let farthest = epoch.map_or(FARTHEST_EPOCH, |epoch| epoch.saturating_add(FARTHEST_EPOCH));
        let own = config.cluster.membership();
        let mut members = own.members().into_iter().filter(|_| epoch.is_some()).chain(known.iter().copied());
        if number > farthest || !members.all(|member| former.contains(&member)) {
            return Err(Refusal::MalformedMembership);
        }
        if epoch.is_some() && !own.departed.is_subset(&membership.departed) {
            return Err(Refusal::Departed);
        }
        config.cluster.with_membership(membership.clone()).map_err(|_| Refusal::MalformedMembership)
    }

    /// A wait of the node itself is over.
    pub(super) fn wake(&mut self, effects: &mut Sink<'_>) {
        let now = self.shared.clock.now();
        if self.is_announcement_due(now) {
            self.announce(effects);
        }
        if self.leavings.due() <= now {
            self.end_some(effects);
        }
        if self.handover.due <= now {
            (self.handover.wait, self.handover.due) = (None, NEVER);
            self.handover.repetitions = self.handover.repetitions.saturating_add(1);
            self.insist(effects);
        }
        self.finish_epoch_step(effects);
    }

    /// What was waited for has not come.
    pub(super) fn insist(&mut self, effects: &mut Sink<'_>) {
        for to in self.news.asked.clone() {
            self.shared.say(effects, to, EpochMessage::Wanted);
        }
        for to in self.news.told.clone() {
            self.shared.say(effects, to, EpochMessage::Newer);
        }
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
        } else if handover.is_told {
            // It may not end the epoch itself.
            for to in self.shared.config.cluster.membership().members() {
                self.shared.say(effects, to, EpochMessage::Wanted);
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
        if self.handover.is_drained(self.shared.config.cluster.managers()) {
            self.handover.due = self.shared.clock.now();
        }
        self.set_alarm();
    }

    /// Sets the node's own alarm to the first of its waits.
    pub(super) fn set_alarm(&mut self) {
        let due = self.announcement_due().min(self.handover.due).min(self.leavings.due());
        self.shared.clock.set(NODE, due);
    }
}
