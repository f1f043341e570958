//! What acceptors report together, and what follows from it: which transactions of the epoch are committed.

use alloc::{collections::BTreeMap, vec::Vec};

use super::{
    super::{Membership, Vote, ranges::RangeSet},
    Ending, Part, Ranges,
    pages::Lists,
};
use crate::{Ballot, TxId};

/// The reports of several frozen acceptors.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Reports {
    ready: RangeSet,
    /// The highest acceptance in each instance.
    parts: BTreeMap<TxId, Vec<Option<(Ballot, Vote)>>>,
    retired: RangeSet,
}

impl Reports {
    /// Adds the whole report of one acceptor.
    pub(crate) fn add(&mut self, report: &Lists) {
        report.ready.iter().for_each(|range| drop(self.ready.add(*range)));
        report.retired.iter().for_each(|range| drop(self.retired.add(*range)));
        for Part { tx, instances } in &report.parts {
            let known = self.parts.entry(*tx).or_default();
            known.resize(known.len().max(instances.len()), None);
            for (known, told) in known.iter_mut().zip(instances) {
                // A ballot has one vote, and the initial ballots are the lowest.
                if known.map(|(ballot, _)| ballot) < told.map(|(ballot, _)| ballot) {
                    *known = *told;
                }
            }
        }
    }

    /// The ending that hands over to `membership`. A transaction is committed if in *each* instance the vote with the highest
    /// ballot in all these reports exists and is to commit; everything else that is not retired is thereby aborted.
    ///
    /// It is safe if these are the reports of a phase-1 quorum of acceptors: whatever a phase-2 quorum has accepted, one of
    /// them has reported, and by Paxos every higher acceptance has the same vote.
    pub(crate) fn ending(&self, membership: Membership) -> Ending {
        let mut committed = self.ready.clone();
        for (tx, instances) in &self.parts {
            let range = super::TxRange::only(*tx);
            let is_ready = self.ready.contains(*tx);
            let commits = |highest: &Option<(Ballot, Vote)>| match highest {
                Some((_, vote)) => *vote == Vote::Prepared,
                // Who is ready has accepted a vote to commit at the initial ballot.
                None => is_ready,
            };
            if !instances.is_empty() && instances.iter().all(commits) {
                committed.add(range);
            } else {
                committed.remove(range);
            }
        }
        self.retired.iter().for_each(|range| committed.remove(range));
        let retired = self.retired.iter().collect::<Ranges>();
        Ending { membership, committed: committed.iter().collect(), retired }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    #![allow(clippy::expect_used, reason = "a test may panic")]

    use alloc::{boxed::Box, vec, vec::Vec};

    use super::{super::super::TxRange, Ballot, Lists, Part, Reports, TxId, Vote, Vote::Aborted, Vote::Prepared};
    use crate::{
        NodeId, Quorums,
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
        Lists { parts: vec![Part { tx: tx(seq), instances: instances.into() }], ..Lists::default() }
    }

    fn ready(first: u64, last: u64) -> Lists {
        Lists { ready: vec![TxRange::new(NodeId(1), first, last).expect("some")], ..Lists::default() }
    }

    fn retired(seq: u64) -> Lists {
        Lists { retired: vec![TxRange::only(tx(seq))].into(), ..Lists::default() }
    }

    fn committed(reports: impl IntoIterator<Item = Lists>) -> Vec<u64> {
        let mut all = Reports::default();
        reports.into_iter().for_each(|report| all.add(&report));
        let cluster = Cluster::new(ClusterId([1; 16]), Quorums::majority([RM]).expect("one"), [RM]).expect("a cluster");
        let ending = all.ending(cluster.membership());
        ending.committed.iter().flat_map(|range| range.first().seq..=range.last().seq).collect()
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
}
