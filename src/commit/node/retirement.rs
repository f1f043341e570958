//! The end of a transaction at a node: when it may be forgotten, and which nodes must hear of it.

use alloc::{collections::BTreeMap, vec::Vec};
use core::mem;

use super::{
    super::{
        Config, Decision, Key, Message, Outcome, OutcomeBlock, Outcomes, Record, ResourceKind, Sink, Time, Transaction,
        TxRange, Wait, What, clock::NEVER, history::MOST_TOLD, open::Open, table::Handle, wait::mix,
    },
    Node, ViolationReason,
};
use crate::{NodeId, Refusal, TxId};

/// The most unacknowledged ranges that are repeated to a node at a time.
const RANGES_AT_ONCE: usize = 64;

/// In how many blocks a transaction manager tells how transactions ended that end just now: that of the last one, and the
/// one before it, which may have been full a moment ago. A repetition tells more.
const TOLD_AT_ONCE: usize = 2;

/// The most open transactions, and the most known ranges, that one message about a range is handled for. The rest of
/// the range is not acknowledged, so it is sent again.
const WIDEST: usize = 1024;

/// The open transactions in the range of a message. Empty between steps; kept for their memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    /// The open transactions, in order of name.
    open: Vec<(TxId, Handle)>,
    /// Those that must stay open, whatever other nodes say.
    staying: Vec<TxRange>,
}

impl Lists {
    fn clear(&mut self) {
        self.open.clear();
        self.staying.clear();
    }
}

/// The repetition of unacknowledged ranges.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Announcement {
    /// How often the present wait has timed out.
    repetitions: u32,
    is_waiting: bool,
    /// When the wait ends, on the node's own clock.
    due: Time,
    /// Where the next repetition starts, for each node that has not acknowledged everything.
    next: BTreeMap<NodeId, TxId>,
}

impl Node {
    /// Retires a transaction that all resource managers have finished: writes that, then tells all nodes that may still
    /// hold it.
    pub(super) fn complete(&mut self, handle: Handle, effects: &mut Sink<'_>) {
        let Some(open) = self.open.at(handle) else { return };
        let (tx, outcome) = (open.transaction.id(), open.tm.as_ref().and_then(|tm| tm.role.outcome()));
        outcome.into_iter().for_each(|outcome| self.learn(&OutcomeBlock::of(tx, outcome)));
        self.add_retired(TxRange::only(tx), effects);
        let Some(open) = self.drop_transaction(handle, effects) else { return };
        // Announce the whole retired range around it: otherwise the ranges kept for a dead node would grow with
        // history.
        let range = self.retired.around(tx).unwrap_or(TxRange::only(tx));
        let config = self.shared.config.clone();
        for keeper in other_keepers(&config) {
            self.announced.entry(keeper).or_default().add(range);
            let message = self.over(keeper, range, tx, TOLD_AT_ONCE);
            self.send(keeper, message, self.retired_scope, effects);
        }
        for rm in open.transaction.participants() {
            if !config.cluster.keeps_retired(*rm) {
                self.send(*rm, Message::retired(range), self.retired_scope, effects);
            }
        }
        self.shared.recycle(open);
        self.await_acknowledgements();
    }

    /// The message to `to` that `range` is over. Another transaction manager is told how, in at most `most` blocks up to
    /// that of `last`.
    fn over(&self, to: NodeId, range: TxRange, last: TxId, most: usize) -> Message {
        let is_manager = self.shared.config.cluster.is_manager(to);
        let outcomes = if is_manager { self.history.told(range, last, most) } else { Outcomes::default() };
        Message::Retired { range, outcomes }
    }

    /// Remembers how transactions ended. [`add_retired`](Self::add_retired) writes it.
    fn learn(&mut self, outcomes: &OutcomeBlock) {
        if let Err(refusal) = self.history.learn(outcomes) {
            self.shared.metrics.refuse(refusal);
        }
    }

    /// Remembers what another transaction manager says of `range`, which is about to be retired here.
    fn learn_told(&mut self, told: &Outcomes, range: TxRange) {
        for block in told.blocks() {
            let mut block = block.within(range);
            if !self.history.has(&block) {
                // What has left the history must not come back as if it were new.
                block = self.retired.touching(block.range()).fold(block, OutcomeBlock::without);
            }
            self.learn(&block);
        }
    }

    /// Writes that `range` is retired, and before that what was learned of how transactions ended.
    fn add_retired(&mut self, range: TxRange, effects: &mut Sink<'_>) {
        if let Some(merged) = self.write_retired(range, effects)
            && self.shared.config.resource == ResourceKind::VotesElsewhere
        {
            self.decide(Decision::Forget(merged), self.retired_scope, effects);
        }
    }

    /// The same, without a word to the resource. The range that now contains it, if anything is new.
    fn write_retired(&mut self, range: TxRange, effects: &mut Sink<'_>) -> Option<TxRange> {
        while let Some(record) = self.history.next_change() {
            self.retired_scope = self.persist(record, effects);
        }
        let (merged, swallowed) = self.retired.add(range)?;
        self.retired_scope = self.persist(Record::Retired(merged), effects);
        for first in swallowed {
            self.retired_scope = self.persist(Record::Erased(Key::Retired(first)), effects);
        }
        Some(merged)
    }

    /// Writes that a handover has retired what the resource manager here still owes. Its resource is not told to forget it, and
    /// carries out how it ended, if that is remembered here.
    fn stay_retired(&mut self, staying: TxRange, effects: &mut Sink<'_>) {
        self.write_retired(staying, effects);
        let tx = staying.first();
        if let Some(outcome) = self.history.outcome(tx) {
            // It was told the opposite before, if it refuses: then it stays listed.
            let _ = self.work_on(tx, effects, |open, shared, effects| open.end_as(shared, effects, outcome));
        }
    }

    /// Drops a retired transaction, and erases its records: range first, tombstones after.
    fn drop_transaction(&mut self, handle: Handle, effects: &mut Sink<'_>) -> Option<Open> {
        let mut open = self.open.remove(handle)?;
        self.shared.clock.set(handle.waiter(), NEVER);
        open.let_go(&mut self.shared);
        let tx = open.transaction.id();
        if open.acceptor.as_ref().is_some_and(|acceptor| acceptor.role.has_record()) {
            self.retired_scope = self.persist(Record::Erased(Key::Acceptor(tx)), effects);
        }
        if open.rm.as_ref().is_some_and(|rm| rm.role.has_record()) {
            self.retired_scope = self.persist(Record::Erased(Key::ResourceManager(tx)), effects);
        }
        Some(open)
    }

    /// Drops a transaction that was retired before the resource manager here had finished it, or that an operator gives up.
    #[cold]
    pub(super) fn drop_open(&mut self, handle: Handle, effects: &mut Sink<'_>) {
        if let Some(open) = self.drop_transaction(handle, effects) {
            self.shared.recycle(open);
        }
    }

    /// The answer to what `from` says about a transaction that is retired here. A participant that asks for the outcome
    /// may be prepared, so it is told that, if it is still known. All others are told that it is over. A transaction
    /// manager names the whole retired range around it: other nodes take part in few transactions each, and the gaps in
    /// what they know would grow with history.
    pub(super) fn answer_about_retired(&self, from: NodeId, transaction: &Transaction, what: &What) -> Message {
        let tx = transaction.id();
        if matches!(what, What::Inquire | What::Begin { .. })
            && transaction.has(from)
            && let Some(outcome) = self.history.outcome(tx)
        {
            return Message::about(transaction, What::Outcome(outcome));
        }
        let cluster = &self.shared.config.cluster;
        let around = self.retired.around(tx).filter(|_| cluster.is_manager(self.shared.config.id));
        self.over(from, around.unwrap_or(TxRange::only(tx)), tx, TOLD_AT_ONCE)
    }

    /// The answer to the begin of a transaction that has ended: how, if that is still known.
    pub(super) fn tell_ended(&mut self, tx: TxId, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        let outcome = self.history.outcome(tx).ok_or(Refusal::Retired)?;
        self.decide(Decision::Decided { tx, outcome }, self.retired_scope, effects);
        Ok(())
    }

    /// A node says that `range` is over, and perhaps how some of it ended. If a part of it must stay open, a refusal is
    /// counted; if all must, this is refused.
    pub(super) fn receive_retired(
        &mut self,
        from: NodeId,
        range: TxRange,
        told: &Outcomes,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        if !told.are_of(range) {
            return Err(Refusal::MalformedOutcomes);
        }
        if !self.check_may_retire(from, range)? {
            // What is over for a participant may not be for others: its word is about itself.
            return self
                .work_on(range.first(), effects, |open, shared, effects| open.hear_retired_by(shared, effects, from));
        }
        let mut lists = mem::take(&mut self.lists);
        let range = self.within_bounds(range, &mut lists);
        let result = self.retire(Some(from), range, told, &lists, effects);
        lists.clear();
        self.lists = lists;
        result
    }

    /// Retires what one turn can handle of a range that a handover brings. Returns it.
    pub(super) fn retire_some(&mut self, range: TxRange, told: &Outcomes, effects: &mut Sink<'_>) -> TxRange {
        let mut lists = mem::take(&mut self.lists);
        let range = self.within_bounds(range, &mut lists);
        // What must stay is listed as violated, and counted.
        if let Err(refusal) = self.retire(None, range, told, &lists, effects) {
            self.shared.metrics.refuse(refusal);
        }
        lists.clear();
        self.lists = lists;
        range
    }

    /// Retires `range` because `from` or a handover says so, except the transactions that must stay open.
    fn retire(
        &mut self,
        from: Option<NodeId>,
        range: TxRange,
        told: &Outcomes,
        lists: &Lists,
        effects: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        let cluster = &self.shared.config.cluster;
        let manager = from.filter(|from| cluster.is_manager(*from) || self.shared.former.contains(from));
        let (from_manager, keeps) = (manager.is_some(), cluster.keeps_retired(self.shared.config.id));
        let answers = manager.filter(|_| keeps);
        for staying in &lists.staying {
            if let (_, Some(handle)) = self.look_up(staying.first())
                && let Some(open) = self.open.at_mut(handle)
            {
                open.violation = Some(ViolationReason::OverElsewhere);
                // What a handover says is over is not judged by its list of what is committed: it stays in doubt.
                open.is_retired |= from.is_none();
            }
        }
        if from.is_none() {
            lists.staying.iter().for_each(|staying| self.stay_retired(*staying, effects));
        }
        let mut verdict = Err(Refusal::RetiredUnfinished);
        for piece in range.without_all(lists.staying.iter().copied()) {
            verdict = Ok(());
            let over = lists.open.iter().filter(|(tx, _)| piece.contains(*tx));
            over.clone().for_each(|(tx, handle)| {
                let outcome = told.outcome(*tx).filter(|_| from_manager);
                self.hear_over(*handle, outcome, effects);
            });
            if from_manager {
                self.learn_told(told, piece);
            }
            self.add_retired(piece, effects);
            for (_, handle) in over {
                if let Some(open) = self.drop_transaction(*handle, effects) {
                    self.shared.recycle(open);
                }
            }
            if let Some(from) = answers {
                self.send(from, Message::RetiredNoted { range: piece }, self.retired_scope, effects);
            }
        }
        if verdict.is_ok() && !lists.staying.is_empty() {
            self.shared.metrics.refuse(Refusal::RetiredUnfinished);
        }
        verdict
    }

    /// Whether `from` may announce that `range` is over for everybody: a transaction manager may, and an acceptor a single
    /// transaction that is open here. Others speak for themselves, and of a single transaction only.
    fn check_may_retire(&self, from: NodeId, range: TxRange) -> Result<bool, Refusal> {
        let cluster = &self.shared.config.cluster;
        if range.origin() == self.shared.config.id && range.last().seq >= self.sequence.reserved() {
            return Err(Refusal::NotNamedHere);
        }
        if cluster.is_manager(from) || self.shared.former.contains(&from) {
            return Ok(true);
        }
        if !range.is_single() {
            return Err(Refusal::WideRange);
        }
        let tx = range.first();
        if self.look_up(tx).1.is_none() {
            return Err(if self.retired.contains(tx) { Refusal::Retired } else { Refusal::UnknownTransaction });
        }
        Ok(cluster.acceptors().contains(from))
    }

    /// Tells the roles of an open transaction that it is over: every resource manager has finished it. `told` is how, if
    /// another transaction manager says so.
    fn hear_over(&mut self, handle: Handle, told: Option<Outcome>, effects: &mut Sink<'_>) {
        let Some(open) = self.open.at_mut(handle) else { return };
        open.retire(&mut self.shared, effects);
        let (tx, scope) = (open.transaction.id(), open.scope);
        let decided = open.tm.as_ref().map(|tm| tm.role.outcome());
        let finished_here = open.rm.as_ref().filter(|rm| rm.role.is_finished()).and_then(|rm| rm.role.learned());
        let known = decided.flatten().or(finished_here);
        known.into_iter().for_each(|outcome| self.learn(&OutcomeBlock::of(tx, outcome)));
        let Some(decided) = decided else { return };
        match (decided, known.or(told)) {
            (Some(outcome), _) => self.decide(Decision::Completed { tx, outcome }, scope, effects),
            (None, Some(outcome)) => {
                self.decide(Decision::Decided { tx, outcome }, scope, effects);
                self.decide(Decision::Completed { tx, outcome }, scope, effects);
            }
            (None, None) => self.shared.metrics.count_missed_outcome(),
        }
    }

    /// Puts the open transactions in `range`, and those of them that must stay open, into `lists`, in order of name.
    /// Returns the first part of `range`, as much as one step can handle.
    fn within_bounds(&self, range: TxRange, lists: &mut Lists) -> TxRange {
        let up_to = |range: TxRange, beyond: TxId| {
            let last = beyond.seq.saturating_sub(1);
            TxRange::new(range.origin(), range.first().seq, last).unwrap_or(TxRange::only(range.first()))
        };
        let known_beyond = self.retired.touching(range).nth(WIDEST);
        let range = known_beyond.map_or(range, |beyond| up_to(range, beyond.first()));
        self.open_in(range, &mut lists.open);
        let range = lists.open.get(WIDEST).map_or(range, |(beyond, _)| up_to(range, *beyond));
        lists.open.truncate(WIDEST);
        let staying = lists.open.iter().filter(|(_, handle)| self.open.at(*handle).is_some_and(Open::stays));
        lists.staying.extend(staying.map(|(tx, _)| TxRange::only(*tx)));
        range
    }

    /// Puts the first open transactions in `range` into `found`, in order, up to one more than a step can handle. Goes
    /// through either the numbers or the table, whichever are fewer.
    fn open_in(&self, range: TxRange, found: &mut Vec<(TxId, Handle)>) {
        let most = WIDEST.saturating_add(1);
        // A number that is known to be retired is not open.
        let mut numbers = self
            .retired
            .missing(range)
            .flat_map(|piece| (piece.first().seq..=piece.last().seq).map(move |seq| TxId { seq, ..piece.first() }));
        let open = |tx| Some((tx, self.look_up(tx).1?));
        found.extend(numbers.by_ref().take(self.open.len()).filter_map(open).take(most));
        if found.len() < most && numbers.next().is_some() {
            found.clear();
            found.extend(self.open.names().filter(|tx| range.contains(*tx)).filter_map(open));
            if found.len() > most {
                found.select_nth_unstable_by_key(WIDEST, |(tx, _)| *tx);
                found.truncate(most);
            }
            found.sort_unstable_by_key(|(tx, _)| *tx);
        }
    }

    /// A node says that it has durably noted `range` as retired.
    pub(super) fn acknowledged(&mut self, from: NodeId, range: TxRange) -> Result<(), Refusal> {
        if !self.shared.config.cluster.keeps_retired(from) {
            return Err(Refusal::NotAnAcceptor);
        }
        // Ignore acknowledgements when nothing is outstanding for this peer.
        if let Some(unacknowledged) = self.announced.get_mut(&from).filter(|ranges| !ranges.is_empty()) {
            unacknowledged.remove(range);
            self.announcement.repetitions = 0;
            if !self.is_announcing() {
                self.announcement = Announcement::default();
                self.set_alarm();
            }
        }
        Ok(())
    }

    /// When the wait for acknowledgements ends.
    pub(super) fn announcement_due(&self) -> Time {
        if self.announcement.is_waiting { self.announcement.due } else { NEVER }
    }

    pub(super) fn is_announcement_due(&self, now: Time) -> bool {
        self.announcement_due() <= now
    }

    /// Whether any range is unacknowledged.
    fn is_announcing(&self) -> bool {
        self.announced.values().any(|ranges| !ranges.is_empty())
    }

    /// Starts to wait for missing acknowledgements, unless it waits already.
    pub(super) fn await_acknowledgements(&mut self) {
        if !self.announcement.is_waiting && self.is_announcing() {
            self.announcement.is_waiting = true;
            let config = &self.shared.config;
            let now = self.shared.clock.now();
            let wait = Wait::Repeat(self.announcement.repetitions);
            let wait = wait.duration(config.cluster.timeouts(), mix(config.seed ^ now.0));
            self.announcement.due = Time(now.0.saturating_add(wait));
            self.set_alarm();
        }
    }

    /// Repeats unacknowledged ranges.
    pub(super) fn announce(&mut self, effects: &mut Sink<'_>) {
        let mut due = Vec::new();
        for (keeper, ranges) in &self.announced {
            // Continue where the last repetition ended: some ranges may never be acknowledged.
            let next = self.announcement.next.entry(*keeper).or_default();
            let (before, behind) = (ranges.iter_to(*next), ranges.iter_from(*next));
            due.extend(behind.chain(before).take(RANGES_AT_ONCE).map(|range| (*keeper, range)));
            if let Some((_, last)) = due.last().filter(|(to, _)| to == keeper) {
                *next = TxId { seq: last.last().seq.saturating_add(1), ..last.last() };
            }
        }
        for (keeper, range) in due {
            let message = self.over(keeper, range, range.last(), MOST_TOLD);
            self.send(keeper, message, self.retired_scope, effects);
        }
        self.announcement.is_waiting = false;
        self.announcement.repetitions = self.announcement.repetitions.saturating_add(1);
        self.await_acknowledgements();
    }
}

/// The other nodes that must learn of every retirement: acceptors and transaction managers.
pub(super) fn other_keepers(config: &Config) -> impl Iterator<Item = NodeId> + Clone {
    let cluster = &config.cluster;
    let managers = cluster.managers().iter().copied().filter(|manager| !cluster.acceptors().contains(*manager));
    cluster.acceptors().nodes().chain(managers).filter(|node| *node != config.id)
}
