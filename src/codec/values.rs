//! The bytes of each type.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use super::{
    DecodeError,
    wire::{Sink, Source, Wire, in_order, put_list, tagged, take_list},
};
use crate::{
    Ballot, NodeId, QuorumSpec, Quorums, TxId,
    commit::{
        Acceptance, AcceptorRecord, ClusterId, Ending, Entry, EpochMessage, Fingerprint, Fingerprints, HigherInstance,
        Key, Learning, Membership, Message, Meta, Obstacle, Outcome, OutcomeBlock, Outcomes, Page, Part, Participants,
        Places, Promises, Ranges, Record, ResourceManagerRecord, Targets, Transaction, TxRange, Vote, Votes, What,
    },
    paxos,
};

/// How many participants are few.
const FEW: usize = 8;

in_order! {
    NodeId, least 1: { 0 }
    TxId, least 2: { origin, seq }
    Ballot, least 2: { round, node }
    Acceptance, least 4: { rm, ballot, vote }
    Obstacle, least 3: { rm, promised }
    Promises, least 4: { instances, votes, higher }
    paxos::AcceptorRecord<Vote>, least 2: { promised, accepted }
    paxos::AcceptorRecord<Ending>, least 2: { promised, accepted }
    QuorumSpec, least 3: { members, prepare, accept }
    Membership, least 8: { acceptors, managers, learning, targets, contacts, departed }
    Ending, least 10: { membership, committed, retired }
    Fingerprint, least 3: { tx, digest }
    Part, least 4: { transaction, instances }
    Page, least 4: { digest, total, first, entries }
    HigherInstance, least 3: { rm, state }
    AcceptorRecord, least 16: { transaction, votes, higher }
    ResourceManagerRecord, least 16: { transaction, meta, vote, finished }
}

tagged! {
    "vote", Vote, least 1: {
        1 => Prepared,
        2 => Aborted,
    }
    "outcome", Outcome, least 1: {
        1 => Committed,
        2 => Aborted,
    }
    "learning", Learning, least 1: {
        1 => Leader,
        2 => Everyone,
    }
    "targets", Targets, least 1: {
        1 => All,
        2 => Quorum,
    }
    "statement about an epoch", EpochMessage, least 1: {
        1 => Invite(membership),
        2 => Ready,
        3 => Hold,
        4 => Prepare { ballot },
        5 => Promise { ballot, accepted, page },
        6 => Accept { ballot, membership, page },
        7 => Accepted { ballot },
        8 => Reject { ballot, promised },
        9 => Frozen { promised },
        10 => More { digest, next },
        11 => Newer,
        12 => Wanted,
        13 => Told { membership, former, page },
        14 => Noted,
        15 => Drained,
    }
    "entry of a page", Entry, least 2: {
        1 => Ready(transaction),
        2 => Part(part),
        3 => Committed(transaction),
        4 => Retired(range),
        5 => Peer { node, birth },
    }
    "statement about a transaction", What, least 1: {
        1 => Begin { meta },
        2 => Prepare { meta, acceptors },
        3 => Vote { vote, manager },
        4 => Phase1a { ballot, instances },
        5 => Phase1b { ballot, promises },
        6 => Phase2a { ballot, votes },
        7 => Phase2b { votes, higher },
        8 => Reject { ballot, promised },
        9 => Inquire,
        10 => Outcome(outcome),
        11 => Finished(outcome),
        12 => Decline,
        13 => Wait,
        14 => OtherTransaction,
    }
    "record", Record, least 2: {
        1 => Identity { cluster, node },
        2 => Sequence { reserved },
        3 => Rounds { reserved },
        4 => Acceptor(record),
        5 => ResourceManager(record),
        6 => Retired(range),
        7 => Erased(key),
        8 => History { outcomes, age },
        9 => Resolved { record, outcome },
        10 => Birth(number),
        11 => Peer { node, birth },
        12 => Resolutions { count },
        13 => Epoch { number, membership, former, committed },
        14 => Handover { epoch, state },
    }
}

impl Wire for ClusterId {
    const LEAST: usize = 16;

    fn put(&self, sink: &mut Sink<'_>) {
        sink.bytes(&self.0);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        source.array().map(Self)
    }
}

impl Wire for Message {
    const LEAST: usize = 4;

    fn put(&self, sink: &mut Sink<'_>) {
        match self {
            Self::About { transaction, what } => {
                sink.byte(1);
                transaction.put(sink);
                what.put(sink);
            }
            Self::Retired { range, outcomes } => {
                sink.byte(2);
                range.put(sink);
                outcomes.put(sink);
            }
            Self::RetiredNoted { range } => {
                sink.byte(3);
                range.put(sink);
            }
            Self::Epoch { number, what } => {
                sink.byte(4);
                EpochNumber(*number).put(sink);
                what.put(sink);
            }
        }
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        match source.byte()? {
            1 => Ok(Self::About { transaction: Wire::take(source)?, what: Wire::take(source)? }),
            2 => Ok(Self::Retired { range: Wire::take(source)?, outcomes: Wire::take(source)? }),
            3 => Ok(Self::RetiredNoted { range: Wire::take(source)? }),
            4 => Ok(Self::Epoch { number: EpochNumber::take(source)?.0, what: Wire::take(source)? }),
            tag => Err(DecodeError::UnknownTag { kind: "message", tag }),
        }
    }
}

/// The number of an epoch, if there is one: in eight bytes, whatever it is. A message about an epoch takes much memory, and
/// this keeps that in proportion to its bytes.
struct EpochNumber(Option<u64>);

impl Wire for EpochNumber {
    const LEAST: usize = 9;

    fn put(&self, sink: &mut Sink<'_>) {
        sink.byte(u8::from(self.0.is_some()));
        sink.bytes(&self.0.unwrap_or_default().to_le_bytes());
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        let (tag, number) = (source.byte()?, u64::from_le_bytes(source.array()?));
        match tag {
            0 if number == 0 => Ok(Self(None)),
            0 => Err(DecodeError::OverlongNumber),
            1 => Ok(Self(Some(number))),
            tag => Err(DecodeError::UnknownTag { kind: "option", tag }),
        }
    }
}

impl Wire for Ranges {
    const LEAST: usize = 1;

    fn put(&self, sink: &mut Sink<'_>) {
        put_list(self, sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        take_list(source).map(Self::from)
    }
}

impl Wire for Fingerprints {
    const LEAST: usize = 1;

    fn put(&self, sink: &mut Sink<'_>) {
        sink.number(self.len() as u64);
        self.iter().for_each(|transaction| transaction.put(sink));
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        let length = source.length(Fingerprint::LEAST)?;
        (0..length).map(|_| Fingerprint::take(source)).collect()
    }
}

impl Wire for Quorums {
    const LEAST: usize = QuorumSpec::LEAST;

    fn put(&self, sink: &mut Sink<'_>) {
        QuorumSpec::from(self.clone()).put(sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        Ok(QuorumSpec::take(source)?.try_into()?)
    }
}

/// How to reach members: ids in ascending order, each with its bytes.
impl Wire for BTreeMap<NodeId, Vec<u8>> {
    const LEAST: usize = 1;

    fn put(&self, sink: &mut Sink<'_>) {
        sink.number(self.len() as u64);
        for (node, contact) in self {
            node.put(sink);
            sink.number(contact.len() as u64);
            sink.bytes(contact);
        }
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        let mut contacts = Self::new();
        for _ in 0..source.length(2)? {
            let (node, contact) = (NodeId::take(source)?, source.slice()?);
            if contacts.last_key_value().is_some_and(|(last, _)| *last >= node) {
                return Err(DecodeError::Unsorted);
            }
            contacts.insert(node, contact.to_vec());
        }
        Ok(contacts)
    }
}

impl Wire for BTreeSet<NodeId> {
    const LEAST: usize = 1;

    fn put(&self, sink: &mut Sink<'_>) {
        sink.number(self.len() as u64);
        self.iter().for_each(|node| node.put(sink));
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        let mut nodes = Self::new();
        for _ in 0..source.length(NodeId::LEAST)? {
            let node = NodeId::take(source)?;
            if nodes.last().is_some_and(|last| *last >= node) {
                return Err(DecodeError::Unsorted);
            }
            nodes.insert(node);
        }
        Ok(nodes)
    }
}

impl Wire for Meta {
    const LEAST: usize = 1;

    fn put(&self, sink: &mut Sink<'_>) {
        sink.number(self.bytes().len() as u64);
        sink.bytes(self.bytes());
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        source.slice().map(Self::from)
    }
}

impl Wire for Places {
    const LEAST: usize = 1;

    fn put(&self, sink: &mut Sink<'_>) {
        let words = if self.is_empty() { 0 } else { self.words().count() };
        sink.number(words as u64);
        self.words().take(words).for_each(|word| word.put(sink));
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        let words = match source.length(1)? {
            0 => return Ok(Self::default()),
            1 => [source.number()?].into(),
            length => (0..length).map(|_| source.number()).collect::<Result<Vec<u64>, _>>()?,
        };
        if words.last() == Some(&0) { Err(DecodeError::OverlongNumber) } else { Ok(Self::from_words(words)) }
    }
}

impl Wire for Votes {
    const LEAST: usize = 2;

    fn put(&self, sink: &mut Sink<'_>) {
        self.cast().put(sink);
        self.prepared().put(sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        let (cast, prepared) = Wire::take(source)?;
        Self::new(cast, prepared).ok_or(DecodeError::UncastVote)
    }
}

impl Wire for Transaction {
    const LEAST: usize = 13;

    fn put(&self, sink: &mut Sink<'_>) {
        self.id().put(sink);
        self.epoch().put(sink);
        sink.bytes(&self.content().to_le_bytes());
        put_list(self.participants(), sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        let (id, epoch) = Wire::take(source)?;
        let content = u64::from_le_bytes(source.array()?);
        // Few participants need no list of their own.
        let (length, mut few) = (source.length(NodeId::LEAST)?, [NodeId(0); FEW]);
        let participants = match few.get_mut(..length) {
            Some(few) => {
                few.iter_mut().try_for_each(|node| NodeId::take(source).map(|taken| *node = taken))?;
                Participants::from_sorted(few)?
            }
            None => (0..length).map(|_| Wire::take(source)).collect::<Result<Vec<_>, _>>()?.try_into()?,
        };
        Ok(Self::from_parts(id, epoch, participants, content))
    }
}

impl Wire for TxRange {
    const LEAST: usize = 3;

    fn put(&self, sink: &mut Sink<'_>) {
        self.first().put(sink);
        self.last().seq.put(sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        let (first, last): (TxId, u64) = Wire::take(source)?;
        Ok(Self::new(first.origin, first.seq, last)?)
    }
}

impl Wire for OutcomeBlock {
    const LEAST: usize = 4;

    fn put(&self, sink: &mut Sink<'_>) {
        let (origin, number, known, committed): (NodeId, u64, u64, u64) = (*self).into();
        (origin, (number, (known, committed))).put(sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        let (origin, (number, (known, committed))) = Wire::take(source)?;
        Ok(Self::new(origin, number, known, committed)?)
    }
}

impl Wire for Outcomes {
    const LEAST: usize = 1;

    fn put(&self, sink: &mut Sink<'_>) {
        put_list(self.blocks(), sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        take_list(source).map(Self::from)
    }
}

impl Wire for Key {
    const LEAST: usize = 1;

    fn put(&self, sink: &mut Sink<'_>) {
        let (tag, numbers): (u8, [Option<u64>; 2]) = match self {
            Self::Identity => (1, [None; 2]),
            Self::Sequence => (2, [None; 2]),
            Self::Rounds => (3, [None; 2]),
            Self::Acceptor(tx) => (4, [Some(tx.origin.0), Some(tx.seq)]),
            Self::ResourceManager(tx) => (5, [Some(tx.origin.0), Some(tx.seq)]),
            Self::Retired(tx) => (6, [Some(tx.origin.0), Some(tx.seq)]),
            Self::History(tx) => (7, [Some(tx.origin.0), Some(tx.seq)]),
            Self::Birth => (8, [None; 2]),
            Self::Peer(node) => (9, [Some(node.0), None]),
            Self::Resolutions => (10, [None; 2]),
            Self::Epoch => (11, [None; 2]),
            Self::Handover => (12, [None; 2]),
        };
        sink.byte(tag);
        numbers.into_iter().flatten().for_each(|number| sink.put(number.to_be_bytes()));
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        let kind = match source.byte()? {
            1 => return Ok(Self::Identity),
            2 => return Ok(Self::Sequence),
            3 => return Ok(Self::Rounds),
            4 => Self::Acceptor,
            5 => Self::ResourceManager,
            6 => Self::Retired,
            7 => Self::History,
            8 => return Ok(Self::Birth),
            9 => return Ok(Self::Peer(NodeId(u64::from_be_bytes(source.array()?)))),
            10 => return Ok(Self::Resolutions),
            11 => return Ok(Self::Epoch),
            12 => return Ok(Self::Handover),
            tag => return Err(DecodeError::UnknownTag { kind: "key", tag }),
        };
        let (origin, seq) = (source.array()?, source.array()?);
        Ok(kind(TxId { origin: NodeId(u64::from_be_bytes(origin)), seq: u64::from_be_bytes(seq) }))
    }
}
