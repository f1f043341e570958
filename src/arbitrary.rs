//! [`Arbitrary`] for fuzzers, where no derive would do.
//!
//! Types that are checked on construction are valid; their plain data (such as [`QuorumSpec`]) mostly is not. Messages and
//! records are whatever their types allow, shaped to get past the first check often. Names and rounds are mostly small, so
//! that values refer to each other.

use alloc::{boxed::Box, vec::Vec};

use arbitrary::{Arbitrary, Error, Result, Unstructured};

use crate::{
    Ballot, NodeId, QuorumSpec, Quorums, TxId,
    commit::{
        AcceptorRecord, Cluster, ClusterSpec, Fingerprint, Fingerprints, HigherInstance, Meta, OutcomeBlock, Outcomes,
        Participants, Places, Ranges, Transaction, TransactionSpec, TxRange, Vote, Votes,
    },
};

impl<'a> Arbitrary<'a> for NodeId {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        small(u).map(Self)
    }
}

impl<'a> Arbitrary<'a> for TxId {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self { origin: u.arbitrary()?, seq: small(u)? })
    }
}

impl<'a> Arbitrary<'a> for Ballot {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self { round: small(u)?, node: u.arbitrary()? })
    }
}

impl<'a> Arbitrary<'a> for TxRange {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let (first, more): (TxId, u64) = (u.arbitrary()?, small(u)?);
        valid(Self::new(first.origin, first.seq, first.seq.saturating_add(more)))
    }
}

impl<'a> Arbitrary<'a> for Ranges {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        u.arbitrary::<Vec<TxRange>>().map(Self::from)
    }
}

impl<'a> Arbitrary<'a> for Fingerprints {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        u.arbitrary::<Vec<Fingerprint>>().map(Self::from)
    }
}

impl<'a> Arbitrary<'a> for OutcomeBlock {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let (first, known, committed): (TxId, u64, u64) = u.arbitrary()?;
        valid(Self::new(first.origin, first.seq / 64, known, known & committed))
    }
}

impl<'a> Arbitrary<'a> for Outcomes {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let blocks: Vec<OutcomeBlock> = u.arbitrary()?;
        Ok(blocks.into())
    }
}

impl<'a> Arbitrary<'a> for Quorums {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let nodes = some_nodes(u)?.into_iter();
        let members: Vec<_> = nodes.map(|node| Ok((node, u.int_in_range(1..=3)?))).collect::<Result<_>>()?;
        let total = members.iter().map(|(_, weight)| weight).sum();
        let prepare = u.int_in_range(1..=total)?;
        let accept = u.int_in_range(total - prepare + 1..=total)?;
        valid(Self::try_from(QuorumSpec { members, prepare, accept }))
    }
}

impl<'a> Arbitrary<'a> for Cluster {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut spec = ClusterSpec { managers: some_nodes(u)?, ..u.arbitrary()? };
        let timeouts = &mut spec.timeouts;
        for wait in [&mut timeouts.flush, &mut timeouts.recover, &mut timeouts.inquire, &mut timeouts.repeat] {
            *wait = 1.max(*wait);
            timeouts.ceiling = timeouts.ceiling.max(*wait);
        }
        spec.limits.open = 1.max(spec.limits.open);
        spec.limits.participants = 1.max(spec.limits.participants);
        spec.limits.history %= 1 << 30;
        let members: Vec<NodeId> = spec.acceptors.nodes().chain(spec.managers.iter().copied()).collect();
        spec.departed.retain(|node| !members.contains(node));
        valid(Self::try_from(spec))
    }
}

impl<'a> Arbitrary<'a> for Participants {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        valid(Self::new(some_nodes(u)?))
    }
}

impl<'a> Arbitrary<'a> for Meta {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        // Few contents, so that one message often carries what another one's transaction is about.
        if u.ratio(7, 8)? { Ok(Self::from([u.int_in_range(0..=1)?])) } else { Ok(u.arbitrary::<Vec<u8>>()?.into()) }
    }
}

impl<'a> Arbitrary<'a> for Places {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        if u.ratio(7, 8)? {
            Ok(Self::from_words([u.arbitrary::<u8>()?.into()].into()))
        } else {
            Ok(Self::from_words(u.arbitrary()?))
        }
    }
}

impl<'a> Arbitrary<'a> for Votes {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let (cast, prepared): (Places, Places) = u.arbitrary()?;
        Self::new(cast.clone(), prepared.intersection(&cast)).ok_or(Error::IncorrectFormat)
    }
}

impl<'a> Arbitrary<'a> for Transaction {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let (id, participants, meta): (TxId, Participants, Meta) = u.arbitrary()?;
        if u.ratio(7, 8)? {
            return Ok(Self::of(id, participants, &meta));
        }
        let (epoch, content) = (small(u)?, u.arbitrary()?);
        valid(Self::try_from(TransactionSpec { id, epoch, participants: participants.into(), content }))
    }
}

impl<'a> Arbitrary<'a> for AcceptorRecord {
    /// Mostly of instances that the transaction has.
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let transaction: Transaction = u.arbitrary()?;
        if u.ratio(1, 8)? {
            return Ok(Self { transaction, votes: u.arbitrary()?, higher: u.arbitrary()? });
        }
        let (mut votes, mut higher) = (Votes::default(), Vec::new());
        for (place, rm) in transaction.participants().iter().enumerate() {
            match u.int_in_range(0..=3)? {
                0 => {}
                1 => votes.insert(place, u.arbitrary::<Vote>()?),
                _ => higher.push(HigherInstance { rm: *rm, state: u.arbitrary()? }),
            }
        }
        Ok(Self { transaction, votes, higher: Box::from(higher) })
    }
}

/// One to seven nodes, each once, in any order.
fn some_nodes(u: &mut Unstructured<'_>) -> Result<Vec<NodeId>> {
    let mut nodes = Vec::from([u.arbitrary()?]);
    for _ in 0..u.int_in_range(0..=6)? {
        let node = u.arbitrary()?;
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    Ok(nodes)
}

/// Below 8, seven times in eight.
fn small(u: &mut Unstructured<'_>) -> Result<u64> {
    match u.arbitrary::<u8>()? {
        byte @ ..224 => Ok(u64::from(byte % 8)),
        _ => u.arbitrary(),
    }
}

/// A value whose parts were made so that it is one.
fn valid<T, E>(value: core::result::Result<T, E>) -> Result<T> {
    value.map_err(|_| Error::IncorrectFormat)
}
