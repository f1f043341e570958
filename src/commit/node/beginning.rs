//! How transactions begin at a node: their names, and what keeps one from beginning.

use core::cmp::Ordering;

use super::{
    super::{Decision, GivenNames, MOST_NAMES, Meta, Participants, Record, Sink, Transaction, TxRange, shared::Shared},
    Admission, Node,
};
use crate::{NodeId, Refusal, TxId, Urgency};

impl Node {
    /// Begins a transaction that is named here.
    pub(super) fn begin(
        &mut self,
        participants: Participants,
        meta: &Meta,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        let origin = self.shared.config.id;
        self.check_begin(participants.nodes())?;
        self.check_new(participants.nodes(), meta)?;
        let seq = self.next_number().ok_or(Refusal::NumbersUsedUp)?;
        self.reserve(seq, effects)?;
        let tx = TxId { origin, seq };
        self.decide(Decision::Begun(tx), self.sequence.scope, effects);
        (self.shared.tx, self.shared.hash) = (tx, self.open.hash(tx));
        let transaction = Transaction::of(tx, participants, meta).in_epoch(self.shared.epoch.unwrap_or_default());
        let handle = self.insert(self.new_open(transaction))?;
        self.work(handle, effects, |open, shared, effects| open.begin(shared, effects, meta))
    }

    /// Gives up to `count` names of this node's own away.
    pub(super) fn give_names(&mut self, count: u64, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        if !self.shared.is_manager {
            return Err(Refusal::NotAManager);
        }
        if !(1..=MOST_NAMES).contains(&count) {
            return Err(Refusal::BadCount);
        }
        let (origin, epoch) = (self.shared.config.id, self.shared.epoch.ok_or(Refusal::NewerEpoch)?);
        let first = self.next_number().ok_or(Refusal::NumbersUsedUp)?;
        let is_free = |seq: &u64| {
            let tx = TxId { origin, seq: *seq };
            let is_used = self.retired.contains(tx) || self.shared.committed.has_name(tx);
            !is_used && self.look_up(tx).1.is_none()
        };
        // The last number of all is never among them.
        let last = (first..first.saturating_add(count)).take_while(is_free).last().unwrap_or(first);
        self.reserve(last, effects)?;
        let names = TxRange::new(origin, first, last).map_err(|_| Refusal::NumbersUsedUp)?;
        let after = self.sequence.scope.and(self.shared.ground);
        self.decide(Decision::Named(GivenNames { names, epoch }), after, effects);
        Ok(())
    }

    /// Ensures that `seq`, a number of this node's own, is never handed out again.
    pub(super) fn reserve(&mut self, seq: u64, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        let metrics = &mut self.shared.metrics;
        let reserve = |reserved| {
            metrics.count_write();
            effects.persist(Record::Sequence { reserved }, Urgency::Urgent)
        };
        self.sequence.reserve(seq, reserve).ok_or(Refusal::NumbersUsedUp)
    }

    /// This node's next unused number. Skips those of open, retired and committed transactions, which callers may have named.
    pub(super) fn next_number(&self) -> Option<u64> {
        let (origin, mut least) = (self.shared.config.id, 0);
        // Each turn but the last one passes a retired range or an open transaction.
        let committed = &self.shared.committed;
        let has_committed = |tx| committed.has_name(tx).then_some(TxRange::only(tx));
        for _ in 0..=self.retired.len().saturating_add(committed.len()).saturating_add(self.open.len()) {
            let seq = self.sequence.peek(least);
            let tx = TxId { origin, seq };
            least = match self.retired.around(tx).or_else(|| has_committed(tx)) {
                Some(over) => over.last().seq.checked_add(1)?,
                None if self.look_up(tx).1.is_some() => seq.checked_add(1)?,
                None => return Some(seq),
            };
        }
        None
    }

    /// Begins a transaction that its caller has named.
    pub(super) fn begin_as(
        &mut self,
        transaction: Transaction,
        meta: &Meta,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        self.check_begin(transaction.participants())?;
        if !transaction.is_about(meta) {
            return Err(Refusal::OtherContent);
        }
        let (hash, found) = self.look_up(transaction.id());
        (self.shared.tx, self.shared.hash) = (transaction.id(), hash);
        let handle = match found {
            Some(handle) if self.open.at(handle).is_none_or(|open| open.transaction != transaction) => {
                return Err(Refusal::OtherTransaction);
            }
            Some(handle) if self.open.at(handle).is_some_and(|open| !open.is_retired) => handle,
            _ if self.retired.contains(transaction.id()) => return self.tell_ended(transaction.id(), effects),
            _ => {
                self.check_named(&transaction)?;
                self.check_new(transaction.participants(), meta)?;
                if transaction.id().origin == self.shared.config.id {
                    // The caller used this node's id in the name, so this node must not hand out the number, either.
                    self.reserve(transaction.id().seq, effects)?;
                }
                self.insert(self.new_open(transaction))?
            }
        };
        self.work(handle, effects, |open, shared, effects| open.begin(shared, effects, meta))
    }

    /// Refuses a transaction of another epoch, unless that has committed it; and a name that was used in an epoch before.
    /// `OldEpoch` says more than that nothing begins: that the transaction has not committed, and never will.
    fn check_named(&self, transaction: &Transaction) -> Result<(), Refusal> {
        let Shared { epoch, committed, is_manager, .. } = &self.shared;
        let has_committed = committed.contains(transaction.fingerprint());
        if !has_committed && committed.has_name(transaction.id()) {
            return Err(Refusal::OtherTransaction);
        }
        match Some(transaction.epoch()).cmp(epoch) {
            Ordering::Less if has_committed && *is_manager => Ok(()),
            Ordering::Less if has_committed => Err(Refusal::NotAManager),
            Ordering::Less => Err(Refusal::OldEpoch),
            Ordering::Greater => Err(Refusal::NewerEpoch),
            Ordering::Equal => Ok(()),
        }
    }

    /// Refuses a begin that only a transaction manager or a participant may ask for.
    pub(super) fn check_begin(&self, participants: &[NodeId]) -> Result<(), Refusal> {
        if self.shared.epoch.is_none() {
            Err(Refusal::NewerEpoch)
        } else if self.shared.is_manager || participants.contains(&self.shared.config.id) {
            Ok(())
        } else {
            Err(Refusal::NotAManager)
        }
    }

    /// Refuses to begin what exceeds a limit, or would not end in time.
    pub(super) fn check_new(&self, participants: &[NodeId], meta: &Meta) -> Result<(), Refusal> {
        let Shared { config, peers, turns, .. } = &self.shared;
        config.cluster.limits().check_meta(meta)?;
        self.check_room(participants, Admission::New)?;
        if self.shared.is_manager {
            peers.check_participants(&config.cluster, config.id, participants)?;
        }
        if self.holds_begins() {
            return Err(Refusal::Changing);
        }
        if turns.is_crowded() { Err(Refusal::Overloaded) } else { Ok(()) }
    }
}
