//! What acceptors report together, and what follows from it: which transactions of the epoch are committed.

use alloc::{collections::BTreeMap, vec::Vec};
use core::cmp::max_by_key;

use super::{
    super::{Membership, Vote, ranges::RangeSet},
    Ending, Fingerprint, Fingerprints, Part,
    pages::Lists,
    union,
};
use crate::Ballot;

/// The reports of several frozen acceptors. They tell of transactions, and not of names: of two that have one name, what was
/// accepted of the one never counts for the other.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Reports {
    /// In order.
    ready: Fingerprints,
    /// The highest acceptance in each instance.
    parts: BTreeMap<Fingerprint, Vec<Option<(Ballot, Vote)>>>,
    retired: RangeSet,
}

impl Reports {
    /// Adds the whole report of one acceptor.
    pub(crate) fn add(&mut self, report: Lists) {
        let ready = report.ready.sorted();
        self.ready = match self.ready.is_empty() {
            true => ready,
            false => union(self.ready.iter(), ready.iter()).collect(),
        };
        report.retired.iter().for_each(|range| drop(self.retired.add(*range)));
        for Part { transaction, instances } in &report.parts {
            let known = self.parts.entry(*transaction).or_default();
            known.resize(known.len().max(instances.len()), None);
            for (known, told) in known.iter_mut().zip(instances) {
                // A ballot has one vote, and the initial ballots are the lowest.
                *known = max_by_key(*known, *told, |accepted| accepted.map(|(ballot, _)| ballot));
            }
        }
    }

    /// The ending that hands over to `membership`. A transaction is committed if in *each* instance the vote with the highest
    /// ballot in all these reports exists and is to commit; everything else that is not retired is thereby aborted.
    ///
    /// It is safe if these are the reports of a phase-1 quorum of acceptors: whatever a phase-2 quorum has accepted, one of
    /// them has reported, and by Paxos every higher acceptance has the same vote.
    pub(crate) fn ending(self, membership: Membership) -> Ending {
        let Self { ready, parts, retired } = self;
        let commits = |transaction: &Fingerprint, instances: &[Option<(Ballot, Vote)>]| {
            let is_ready = ready.contains(*transaction);
            let is_prepared = |highest: &Option<(Ballot, Vote)>| match highest {
                Some((_, vote)) => *vote == Vote::Prepared,
                // Who is ready has accepted a vote to commit at the initial ballot.
                None => is_ready,
            };
            !instances.is_empty() && instances.iter().all(is_prepared)
        };
        let of_parts = parts.iter().filter(|(transaction, instances)| commits(transaction, instances));
        let of_ready = ready.iter().filter(|transaction| !parts.contains_key(transaction));
        let committed = union(of_parts.map(|(transaction, _)| *transaction), of_ready);
        let committed = committed.filter(|transaction| !retired.contains(transaction.tx)).collect();
        Ending { membership, committed, retired: retired.iter().collect() }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    #![allow(clippy::expect_used, reason = "a test may panic")]

    use alloc::{boxed::Box, vec, vec::Vec};

    use super::{
        super::super::TxRange, Ballot, Fingerprint, Lists, Part, Reports, Vote, Vote::Aborted, Vote::Prepared,
    };
    use crate::{
        NodeId, Quorums, TxId,
        commit::{Cluster, ClusterId},
    };

    const RM: NodeId = NodeId(9);

    fn tx(seq: u64) -> TxId {
        TxId { origin: NodeId(1), seq }
    }

    fn at(round: u64, vote: Vote) -> Option<(Ballot, Vote)> {
        Some((Ballot { round, node: RM }, vote))
    }

    fn part(seq: u64, instances: impl Into<Box<[Option<(Ballot, Vote)>]>>) -> Lists {
        part_of(one(seq), instances)
    }

    fn part_of(transaction: Fingerprint, instances: impl Into<Box<[Option<(Ballot, Vote)>]>>) -> Lists {
        Lists { parts: vec![Part { transaction, instances: instances.into() }], ..Lists::default() }
    }

    /// The transaction of that number, and another one by its name.
    fn one(seq: u64) -> Fingerprint {
        Fingerprint { tx: tx(seq), digest: 1 }
    }

    fn other(seq: u64) -> Fingerprint {
        Fingerprint { tx: tx(seq), digest: 2 }
    }

    fn ready(first: u64, last: u64) -> Lists {
        Lists { ready: (first..=last).map(one).collect(), ..Lists::default() }
    }

    fn retired(seq: u64) -> Lists {
        Lists { retired: vec![TxRange::only(tx(seq))].into(), ..Lists::default() }
    }

    fn committed(reports: impl IntoIterator<Item = Lists>) -> Vec<u64> {
        ended(reports).into_iter().map(|transaction| transaction.tx.seq).collect()
    }

    fn ended(reports: impl IntoIterator<Item = Lists>) -> Vec<Fingerprint> {
        let mut all = Reports::default();
        reports.into_iter().for_each(|report| all.add(report));
        let cluster = Cluster::new(ClusterId([1; 16]), Quorums::majority([RM]).expect("one"), [RM]).expect("a cluster");
        all.ending(cluster.membership()).committed.into()
    }

    #[test]
    fn a_transaction_is_committed_only_if_every_instance_is() {
        assert_eq!(committed([ready(1, 3), ready(2, 5)]), [1, 2, 3, 4, 5]);
        assert_eq!(committed([part(1, [at(0, Prepared), None])]), []);
        assert_eq!(committed([part(1, [at(0, Prepared), at(0, Aborted)])]), []);
        assert_eq!(committed([part(1, [at(0, Prepared), None]), part(1, [None, at(0, Prepared)])]), [1]);
        assert_eq!(
            committed([ready(1, 1), part(1, [None, at(0, Prepared)])]),
            [1],
            "one has all, the other one has some"
        );
    }

    #[test]
    fn the_highest_ballot_counts_in_each_instance_whoever_reports_it() {
        let low = part(1, [at(0, Prepared), at(1, Aborted)]);
        let high = part(1, [None, at(2, Prepared)]);
        assert_eq!(committed([low.clone(), high.clone()]), [1]);
        assert_eq!(committed([high, low]), [1]);
        assert_eq!(committed([ready(1, 3), part(2, [at(1, Aborted), None])]), [1, 3]);
        assert_eq!(committed([part(2, [at(1, Aborted), None]), ready(1, 3)]), [1, 3]);
    }

    #[test]
    fn what_anybody_reports_as_retired_is_over() {
        assert_eq!(committed([ready(1, 3), retired(2)]), [1, 3]);
        assert_eq!(committed([retired(2), part(2, [at(0, Prepared)])]), []);
    }

    #[test]
    fn of_two_transactions_of_one_name_neither_is_taken_for_the_other() {
        let ready_other = Lists { ready: [other(1)].into_iter().collect(), ..Lists::default() };
        let aborted = || part_of(other(1), [at(0, Prepared), at(0, Aborted)]);
        assert_eq!(ended([ready(1, 1), aborted()]), [one(1)], "the other one aborts");
        assert_eq!(ended([aborted(), ready(1, 1)]), [one(1)]);
        assert_eq!(ended([part(1, [at(0, Prepared), None]), part_of(other(1), [None, at(0, Prepared)])]), []);
        assert_eq!(ended([part(1, [None, None]), ready_other.clone()]), [other(1)]);
        assert_eq!(ended([ready(1, 1), ready_other]), [one(1), other(1)], "a quorum of each may have chosen it");
    }
}
