//! Restoring a node from its records, and taking a snapshot of them.

use alloc::{collections::BTreeMap, vec::Vec};
use core::cmp::Ordering;

use super::{
    super::{
        AcceptorRecord, Config, Key, Outcome, Record, ResourceKind, ResourceManagerRecord, Time, Transaction, Vote,
        acceptor::Acceptor, block::BlockAllocator, open::Open, ranges::RangeSet, resource_manager::ResourceManager,
        table::Handle,
    },
    Node, ViolationReason,
    retirement::other_keepers,
};
use crate::{Ballot, RestoreError, Scope, TxId, paxos};

impl Node {
    /// Rebuilds the node that wrote `records`, in the order of writing. The last record of each key counts.
    ///
    /// Fails if the identity record is missing or another node's: a node with a blank disk must not vote. Fails, too,
    /// if no node can have written these records: everything that one of them proves about another is checked.
    pub fn restore(config: Config, records: impl IntoIterator<Item = Record>) -> Result<Self, RestoreError> {
        let latest = latest(records)?;
        match latest.get(&Key::Identity) {
            Some(Record::Identity { cluster, .. }) if *cluster != config.cluster.id() => {
                return Err(RestoreError::OtherCluster);
            }
            Some(Record::Identity { node, .. }) if *node != config.id => return Err(RestoreError::OtherNode(*node)),
            Some(Record::Identity { .. }) => {}
            _ => return Err(RestoreError::NoIdentity),
        }
        let mut node = Self::blank(config);
        let configured = node.config().cluster.membership();
        node.restore_contacts(&latest)?;
        if let Some(Record::Sequence { reserved }) = latest.get(&Key::Sequence) {
            node.sequence = BlockAllocator::restore(*reserved);
        }
        if let Some(Record::Rounds { reserved }) = latest.get(&Key::Rounds) {
            node.shared.rounds = BlockAllocator::restore(*reserved);
        }
        node.restore_retired(&latest)?;
        node.restore_epoch(&latest)?;
        node.restore_history(&latest)?;
        for record in latest.values() {
            match record {
                Record::Acceptor(record) => node.restore_acceptor(record)?,
                Record::ResourceManager(record) => node.restore_rm(record, None)?,
                Record::Resolved { record, outcome } => node.restore_rm(record, Some(*outcome))?,
                _ => {}
            }
        }
        node.check_own_votes(&latest)?;
        if node.config().cluster.is_manager(node.config().id) && !node.retired.is_empty() {
            for keeper in other_keepers(&node.shared.config) {
                node.announced.insert(keeper, node.retired.clone());
            }
            node.await_acknowledgements();
        }
        if node.shared.epoch.is_none() || configured.members() != node.config().cluster.membership().members() {
            // The operator, or whoever invited this node, knows of others.
            node.ask_members(&configured);
        }
        node.tell_members();
        for tx in node.open_transactions() {
            node.owes_endings |= node.open.get(tx).is_some_and(|open| !open.is_of_epoch(&node.shared));
            let (hash, Some(handle)) = node.look_up(tx) else { continue };
            if let Some(open) = node.open.at_mut(handle) {
                (node.shared.tx, node.shared.hash) = (tx, hash);
                open.start_waiting(&mut node.shared);
                node.shared.clock.set(handle.waiter(), open.due());
            }
        }
        Ok(node)
    }

    /// Restores the node's own birth, whom it has met, and what was settled at it.
    fn restore_contacts(&mut self, latest: &BTreeMap<Key, Record>) -> Result<(), RestoreError> {
        for record in latest.values() {
            match record {
                Record::Birth(birth) => self.birth = Some(*birth),
                Record::Peer { node, birth } => {
                    if *node == self.config().id {
                        return Err(RestoreError::OtherNode(*node));
                    }
                    // Limits are for what is new.
                    let _ = self.shared.peers.contacts.meet(*node, *birth, usize::MAX);
                }
                Record::Resolutions { count } => self.shared.metrics.resolved = *count,
                _ => {}
            }
        }
        Ok(())
    }

    /// Restores the epoch, and what this acceptor has promised in its handover.
    fn restore_epoch(&mut self, latest: &BTreeMap<Key, Record>) -> Result<(), RestoreError> {
        if let Some(Record::Epoch { number, membership, former, committed }) = latest.get(&Key::Epoch) {
            let cluster = self.config().cluster.with_membership((**membership).clone());
            self.shared.config.cluster = cluster.map_err(|_| RestoreError::MalformedMembership)?;
            self.shared.former = former.iter().copied().collect();
            self.shared.committed = self.without_retired(committed.clone().sorted().iter());
            self.enter(*number);
        }
        let Some(Record::Handover { epoch, state }) = latest.get(&Key::Handover) else { return Ok(()) };
        match Some(*epoch).cmp(&self.shared.epoch) {
            // A torn write has left it.
            Ordering::Less => self.owe_erasure(Key::Handover),
            Ordering::Greater => return Err(RestoreError::OtherEpoch),
            Ordering::Equal if !self.shared.is_acceptor => return Err(RestoreError::OtherEpoch),
            Ordering::Equal => {
                let acceptor = paxos::Acceptor::restore((**state).clone())?;
                let ballots = [acceptor.promised(), acceptor.accepted().map(|(at, _)| *at)];
                ballots.into_iter().flatten().try_for_each(|ballot| self.check_round(ballot))?;
                self.handover.state = Some(acceptor.record().clone());
                self.shared.frozen = self.handover.promised();
            }
        }
        Ok(())
    }

    /// Restores the retired ranges. A torn write may have left ranges that overlap or touch: the next step repairs that
    /// in the storage, too.
    fn restore_retired(&mut self, latest: &BTreeMap<Key, Record>) -> Result<(), RestoreError> {
        let recorded = latest.values().filter_map(|record| match record {
            Record::Retired(range) => Some(*range),
            _ => None,
        });
        for range in recorded.clone() {
            // The last number of all cannot be reserved, and is never given: it may have been retired by a handover.
            let last = TxId { seq: range.last().seq.min(u64::MAX.wrapping_sub(1)), ..range.last() };
            if range.first() <= last {
                self.check_number(last)?;
            }
            self.retired.add(range);
        }
        for range in recorded {
            match self.retired.around(range.first()) {
                Some(merged) if merged.first() != range.first() => self.owe_erasure(Key::Retired(range.first())),
                Some(merged) if merged != range => self.owed.push(Record::Retired(merged)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Restores the history. The next step erases what it has no room for.
    fn restore_history(&mut self, latest: &BTreeMap<Key, Record>) -> Result<(), RestoreError> {
        let recorded = latest.values().filter_map(|record| match record {
            Record::History { outcomes, age } => Some((*outcomes, *age)),
            _ => None,
        });
        for (outcomes, _) in recorded.clone() {
            outcomes.iter().last().map_or(Ok(()), |(tx, _)| self.check_number(tx))?;
        }
        self.history.restore(recorded);
        while let Some(record) = self.history.next_change() {
            self.owed.push(record);
        }
        Ok(())
    }

    /// Has the next step erase a record that should be gone, such as one that a torn write left behind.
    fn owe_erasure(&mut self, key: Key) {
        self.owed.push(Record::Erased(key));
    }

    /// A number of this node must be reserved, or it would be handed out again.
    fn check_number(&self, tx: TxId) -> Result<(), RestoreError> {
        let is_own = tx.origin == self.config().id;
        if is_own && tx.seq >= self.sequence.reserved() { Err(RestoreError::UnreservedNumber(tx)) } else { Ok(()) }
    }

    /// A round of this node must be reserved, or it would be used again.
    fn check_round(&self, ballot: Ballot) -> Result<(), RestoreError> {
        let is_own = ballot.node == self.config().id && !ballot.is_initial();
        if is_own && ballot.round >= self.shared.rounds.reserved() {
            Err(RestoreError::UnreservedRound(ballot))
        } else {
            Ok(())
        }
    }

    fn restore_open(&mut self, transaction: &Transaction) -> Result<Handle, RestoreError> {
        let tx = transaction.id();
        self.check_number(tx)?;
        match self.look_up(tx) {
            (_, Some(handle)) => match self.open.at(handle) {
                Some(open) if open.transaction == *transaction => Ok(handle),
                _ => Err(RestoreError::OtherTransaction(tx)),
            },
            (hash, None) => {
                let open = Open::new(transaction.clone(), Scope::NOTHING, Time(0));
                self.open.insert(open, hash).ok_or(RestoreError::TooManyOpen)
            }
        }
    }

    fn restore_acceptor(&mut self, record: &AcceptorRecord) -> Result<(), RestoreError> {
        let tx = record.transaction.id();
        match Some(record.transaction.epoch()).cmp(&self.shared.epoch) {
            Ordering::Greater => return Err(RestoreError::OtherEpoch),
            Ordering::Equal if !self.retired.contains(tx) => {}
            _ => {
                self.owe_erasure(Key::Acceptor(tx));
                return Ok(());
            }
        }
        if !self.config().cluster.acceptors().contains(self.config().id) {
            return Err(RestoreError::NotAnAcceptor(tx));
        }
        let acceptor = Acceptor::restore(&self.config().cluster, record)?;
        for instance in &record.higher {
            let accepted = instance.state.accepted.map(|(ballot, _)| ballot);
            [instance.state.promised, accepted]
                .into_iter()
                .flatten()
                .try_for_each(|ballot| self.check_round(ballot))?;
        }
        if !acceptor.has_record() {
            // The record holds nothing. No node writes such a record, and none needs it.
            self.owe_erasure(Key::Acceptor(tx));
            return Ok(());
        }
        let handle = self.restore_open(&record.transaction)?;
        if let Some(open) = self.open.at_mut(handle) {
            open.acceptor = Some(acceptor.into());
        }
        Ok(())
    }

    /// Restores a resource manager, perhaps one that an operator has `resolved`. If it is in doubt about what is retired,
    /// an assumption was broken: it stays open, unless the history knows how it ended.
    fn restore_rm(&mut self, record: &ResourceManagerRecord, resolved: Option<Outcome>) -> Result<(), RestoreError> {
        let tx = record.transaction.id();
        if Some(record.transaction.epoch()) > self.shared.epoch {
            return Err(RestoreError::OtherEpoch);
        }
        let mut rm = ResourceManager::restore(&self.config().cluster, self.config().id, record.clone())?;
        if self.votes_elsewhere() && record.vote == Some(Vote::Aborted) {
            return Err(RestoreError::VotedToAbort(tx));
        }
        if let Some(outcome) = resolved {
            rm = rm.resolved(tx, outcome)?;
        }
        // How it ended is written first, and that it is over comes after: so the transaction may be open still.
        if self.history.outcome(tx).is_some_and(|ended| rm.learned().is_some_and(|outcome| outcome != ended)) {
            return Err(RestoreError::ContradictoryOutcome(tx));
        }
        let is_retired = self.retired.contains(tx);
        if is_retired && !rm.owes() {
            self.owe_erasure(Key::ResourceManager(tx));
            return Ok(());
        }
        if let Some(outcome) = self.history.outcome(tx).filter(|_| is_retired && rm.is_in_doubt()) {
            rm = rm.settled(tx, outcome)?;
        }
        let handle = self.restore_open(&record.transaction)?;
        if let Some(open) = self.open.at_mut(handle) {
            open.is_retired = is_retired;
            open.violation = is_retired.then_some(ViolationReason::OverElsewhere);
            open.rm = Some(alloc::boxed::Box::new(rm.into()));
        }
        Ok(())
    }

    /// What the node's own acceptor has accepted proves what this node voted: a vote at its initial ballot, or a vote
    /// to commit at any ballot, was durable here first. So the vote must be recorded, and be the same. (An abort
    /// above the initial ballot proves nothing: any transaction manager may propose it.)
    ///
    /// A vote that is durable elsewhere may be forgotten here, but is never one to abort.
    fn check_own_votes(&self, latest: &BTreeMap<Key, Record>) -> Result<(), RestoreError> {
        for record in latest.values() {
            let Record::Acceptor(record) = record else { continue };
            let tx = record.transaction.id();
            let is_over = self.retired.contains(tx) || Some(record.transaction.epoch()) != self.shared.epoch;
            let Some(place) = record.transaction.place(self.config().id).filter(|_| !is_over) else { continue };
            let accepted = record.instance(place).and_then(|instance| instance.accepted);
            let proves = |&(ballot, vote): &(Ballot, Vote)| ballot.is_initial() || vote == Vote::Prepared;
            let Some((_, vote)) = accepted.filter(proves) else { continue };
            match latest.get(&Key::ResourceManager(tx)) {
                Some(Record::ResourceManager(own) | Record::Resolved { record: own, .. }) if own.vote == Some(vote) => {
                }
                _ if self.votes_elsewhere() && vote == Vote::Prepared => {}
                _ => return Err(RestoreError::VoteChanged(tx)),
            }
        }
        Ok(())
    }

    fn votes_elsewhere(&self) -> bool {
        self.config().resource == ResourceKind::VotesElsewhere
    }

    /// The smallest set of records that rebuilds this node, for cutting a log. It omits volatile state. Take it when
    /// nothing waits to be written: otherwise an older record would be written after it.
    pub fn snapshot(&self) -> Vec<Record> {
        let config = self.config();
        let mut records = alloc::vec![Record::Identity { cluster: config.cluster.id(), node: config.id }];
        records.extend(self.shared.epoch.map(|_| self.epoch_record()));
        if let Some((epoch, state)) = self.shared.epoch.zip(self.handover.state.clone()) {
            records.push(Record::Handover { epoch, state: state.into() });
        }
        records.extend(self.birth.map(Record::Birth));
        let contacts = self.shared.peers.contacts.iter();
        records.extend(contacts.map(|(node, birth)| Record::Peer { node, birth }));
        if self.sequence.is_used() {
            records.push(Record::Sequence { reserved: self.sequence.reserved() });
        }
        if self.shared.rounds.is_used() {
            records.push(Record::Rounds { reserved: self.shared.rounds.reserved() });
        }
        let count = self.shared.metrics.resolved;
        records.extend((count > 0).then_some(Record::Resolutions { count }));
        records.extend(self.history.records());
        records.extend(self.retired.iter().map(Record::Retired));
        for tx in self.open_transactions() {
            let Some(open) = self.open.get(tx) else { continue };
            // That of an epoch that is over is void.
            let acceptor = open.acceptor.as_ref().filter(|_| open.is_of_epoch(&self.shared));
            let acceptor = acceptor.filter(|acceptor| acceptor.role.has_record());
            records.extend(acceptor.map(|acceptor| Record::Acceptor(acceptor.role.record(&open.transaction))));
            let rm = open.rm.as_ref().filter(|rm| rm.role.has_record());
            records.extend(rm.map(|rm| rm.role.node_record(&open.transaction)));
        }
        records
    }
}

/// The last record of each key, given all records in the order of writing. Fails if a record takes back what an earlier
/// one says.
fn latest(records: impl IntoIterator<Item = Record>) -> Result<BTreeMap<Key, Record>, RestoreError> {
    let (mut latest, mut over) = (BTreeMap::new(), RangeSet::default());
    for record in records {
        if let Record::Retired(range) = record {
            over.add(range);
        }
        if let Some(before) = latest.get(&record.key()) {
            check_follows(before, &record, &latest, &over)?;
        }
        latest.insert(record.key(), record);
    }
    Ok(latest)
}

/// Whether `now` may follow `before`, which has the same key. `over` holds what was retired by then.
fn check_follows(
    before: &Record,
    now: &Record,
    latest: &BTreeMap<Key, Record>,
    over: &RangeSet,
) -> Result<(), RestoreError> {
    match (before, now) {
        (Record::Identity { .. }, Record::Identity { .. }) if now != before => Err(RestoreError::IdentityChanged),
        (Record::Birth(_) | Record::Peer { .. }, _) if now != before => Err(RestoreError::BirthChanged),
        (Record::Sequence { reserved: before }, Record::Sequence { reserved: now })
        | (Record::Rounds { reserved: before }, Record::Rounds { reserved: now })
        | (Record::Resolutions { count: before }, Record::Resolutions { count: now })
            if now >= before =>
        {
            Ok(())
        }
        (Record::Sequence { .. } | Record::Rounds { .. } | Record::Resolutions { .. }, _) => {
            Err(RestoreError::ReservationWentBack)
        }
        (Record::Acceptor(before), Record::Acceptor(now)) if !now.may_follow(before) => {
            Err(RestoreError::AcceptorWentBack(now.transaction.id()))
        }
        (Record::ResourceManager(before), Record::ResourceManager(now) | Record::Resolved { record: now, .. })
            if !now.may_follow(before) =>
        {
            Err(RestoreError::VoteChanged(now.transaction.id()))
        }
        (Record::Resolved { .. }, Record::ResourceManager(now)) => Err(RestoreError::VoteChanged(now.transaction.id())),
        (Record::Resolved { record: before, outcome }, Record::Resolved { record: now, outcome: after })
            if !now.may_follow(before) || outcome != after =>
        {
            Err(RestoreError::VoteChanged(now.transaction.id()))
        }
        (Record::History { outcomes: before, age }, Record::History { outcomes: now, age: since })
            if !now.may_follow(before) || since != age =>
        {
            Err(RestoreError::HistoryWentBack(now.first()))
        }
        (Record::Retired(before), Record::Retired(now)) if now.last() < before.last() => {
            Err(RestoreError::RetirementWentBack(before.first()))
        }
        // Range first, tombstone after: a range that covers the erased record must have been written before.
        (Record::Acceptor(before), Record::Erased(_)) if !before.is_blank() => {
            let tx = before.transaction.id();
            let is_over = over.contains(tx) || is_past(before.transaction.epoch(), latest);
            if is_over { Ok(()) } else { Err(RestoreError::AcceptorWentBack(tx)) }
        }
        (Record::ResourceManager(before) | Record::Resolved { record: before, .. }, Record::Erased(_)) => {
            let tx = before.transaction.id();
            if over.contains(tx) { Ok(()) } else { Err(RestoreError::VoteChanged(tx)) }
        }
        (Record::Epoch { .. }, _) if !follows_epoch(before, now) => Err(RestoreError::EpochWentBack),
        (Record::Handover { epoch: before, state: old }, Record::Handover { epoch: after, state: new })
            if after < before || after == before && !new.may_follow(old) =>
        {
            Err(RestoreError::EpochWentBack)
        }
        (Record::Handover { epoch, .. }, Record::Erased(_)) if !is_past(*epoch, latest) => {
            Err(RestoreError::EpochWentBack)
        }
        (Record::Retired(before), Record::Erased(_)) => {
            let merged =
                over.around(before.first()).map(|merged| merged.first()).filter(|first| *first != before.first());
            match merged.and_then(|first| latest.get(&Key::Retired(first))) {
                Some(Record::Retired(range)) if range.contains(before.last()) => Ok(()),
                _ => Err(RestoreError::RetirementWentBack(before.first())),
            }
        }
        _ => Ok(()),
    }
}

/// Whether the record of a node's epoch may become `now`: numbers grow, and one epoch has one membership.
fn follows_epoch(before: &Record, now: &Record) -> bool {
    match (before, now) {
        (
            Record::Epoch { number: before, membership: old, former: left, .. },
            Record::Epoch { number: after, membership: new, former: gone, .. },
        ) => before < after || before == after && old == new && left == gone,
        _ => false,
    }
}

/// Whether the node is in an epoch after `epoch`, by its latest records.
fn is_past(epoch: u64, latest: &BTreeMap<Key, Record>) -> bool {
    matches!(latest.get(&Key::Epoch), Some(Record::Epoch { number, .. }) if *number > epoch)
}
