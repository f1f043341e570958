//! The beginning of an epoch at a node: what it writes then, and what becomes of all that was open.

use alloc::collections::BTreeSet;

use super::{
    super::{
        Decision, Fingerprint, Fingerprints, Key, Membership, Outcomes, Record, Sink, TxRange,
        handover::{Handover, Lists, Packing, union},
        open::Open,
    },
    Node,
    epochs::News,
    retirement::other_keepers,
};
use crate::{NodeId, Refusal, TxId, Urgency};

/// What is known of an epoch when it begins.
pub(super) struct Beginning {
    pub(super) number: u64,
    pub(super) membership: Membership,
    pub(super) former: BTreeSet<NodeId>,
    pub(super) lists: Lists,
}

impl Node {
    /// Takes up the configuration's members as those of epoch `number`.
    pub(super) fn enter(&mut self, number: u64) {
        let (id, shared) = (self.shared.config.id, &mut self.shared);
        shared.epoch = Some(number);
        shared.draining = None;
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
    pub(super) fn beginning(&self) -> Beginning {
        let shared = &self.shared;
        let committed = self.without_retired(shared.committed.iter());
        let lists = Lists { committed, retired: self.retired.iter().collect(), ..Lists::default() };
        let (membership, former) = (shared.config.cluster.membership(), shared.former.clone());
        Beginning { number: shared.epoch.unwrap_or_default(), membership, former, lists }
    }

    /// Those that are not retired here.
    pub(super) fn without_retired(&self, all: impl Iterator<Item = Fingerprint>) -> Fingerprints {
        all.filter(|transaction| !self.retired.contains(transaction.tx)).collect()
    }

    /// A later epoch has begun. Everything is written in one step, and in this order: what is retired, the epoch, and that the
    /// acceptor's records of before are gone.
    pub(super) fn begin_epoch(&mut self, beginning: Beginning, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        let Beginning { number, membership, former, lists } = beginning;
        let cluster = self.shared.config.cluster.with_membership(membership.clone());
        let cluster = cluster.map_err(|_| Refusal::MalformedMembership)?;
        let before = self.shared.config.cluster.membership().members();
        let was_manager = self.shared.is_manager;
        for range in lists.retired.iter() {
            self.reserve_brought(*range, effects);
            self.retire_all(*range, effects);
        }
        let told = lists.committed.sorted();
        for transaction in told.iter() {
            self.reserve_brought(TxRange::only(transaction.tx), effects);
        }
        let known = core::mem::take(&mut self.shared.committed);
        self.shared.committed = self.without_retired(union(known.iter(), told.iter()));
        drop((known, told));
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

    /// A handover brings `range`. If others have used names in it that are this node's own, it must not give them, and a restart
    /// checks that. The last of all numbers cannot be reserved, and is never given.
    fn reserve_brought(&mut self, range: TxRange, effects: &mut Sink<'_>) {
        let last = range.last().seq.min(u64::MAX.wrapping_sub(1));
        if range.origin() == self.shared.config.id && range.first().seq <= last {
            // It fails for the last number only.
            let _ = self.reserve(last, effects);
        }
    }

    /// Retires all of `range`, except what the resource manager here still owes: that is listed as violated.
    pub(super) fn retire_all(&mut self, range: TxRange, effects: &mut Sink<'_>) {
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

    pub(super) fn learn_peer(&mut self, node: NodeId, birth: u64, effects: &mut Sink<'_>) {
        let most = self.shared.config.cluster.limits().nodes;
        let is_new = node != self.shared.config.id && self.shared.peers.contacts.meet(node, birth, most) == Ok(true);
        if is_new {
            self.persist_ground(Record::Peer { node, birth }, effects);
        }
    }

    /// Writes a record that everything said from now on rests on.
    pub(super) fn persist_ground(&mut self, record: Record, effects: &mut Sink<'_>) {
        self.shared.metrics.count_write();
        let scope = effects.persist(record, Urgency::Urgent);
        self.shared.ground = self.shared.ground.and(scope);
    }

    /// Ends what is open of the epochs before: at once where the resource here waits for that. The rest is over by the record of
    /// the epoch, and whoever asks hears how: most of it is ended later, so that there is never much to write and to say at once.
    pub(super) fn hand_over_open(&mut self, effects: &mut Sink<'_>) {
        let mut open = self.open_transactions();
        let most = self.ended_at_once();
        let (mut left, mut later) = (most, Packing::default());
        open.retain(|tx| {
            let Some(open) = self.open.get(*tx).filter(|open| !open.is_of_epoch(&self.shared)) else { return false };
            let may_wait = open.fence.is_none() && open.rm.is_none();
            if may_wait && left == 0 {
                later.push(open.transaction.fingerprint());
                return false;
            }
            left = left.saturating_sub(usize::from(may_wait));
            true
        });
        self.hand_over_these(open.iter().copied(), effects);
        self.leave(later.finish());
    }

    /// Ends those that are open of an epoch before.
    pub(super) fn hand_over_these(&mut self, all: impl Iterator<Item = TxId> + Clone, effects: &mut Sink<'_>) {
        let has_record = |open: &&Open| open.acceptor.as_ref().is_some_and(|acceptor| acceptor.role.has_record());
        for tx in all.clone() {
            let is_void = |open: &&Open| !open.is_of_epoch(&self.shared) && has_record(open);
            if self.open.get(tx).filter(is_void).is_some() {
                self.persist(Record::Erased(Key::Acceptor(tx)), effects);
            }
        }
        all.for_each(|tx| self.hand_over_one(tx, effects));
    }

    /// Ends what is open of an epoch before.
    fn hand_over_one(&mut self, tx: TxId, effects: &mut Sink<'_>) {
        let (hash, Some(handle)) = self.look_up(tx) else { return };
        (self.shared.tx, self.shared.hash) = (tx, hash);
        if self.open.at(handle).is_none_or(|open| open.is_of_epoch(&self.shared)) {
            return;
        }
        if let Err(refusal) = self.work(handle, effects, |open, shared, effects| open.hand_over(shared, effects)) {
            self.shared.metrics.refuse(refusal);
        }
        let is_empty = |open: &&Open| open.rm.is_none() && open.tm.is_none() && open.fence.is_none();
        if self.open.at(handle).filter(is_empty).is_some() {
            self.drop_open(handle, effects);
        }
    }

    /// Who left is announced nothing any more, and who came everything.
    pub(super) fn follow_announcements(&mut self, before: &BTreeSet<NodeId>, was_manager: bool) {
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
}
