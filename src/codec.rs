//! Frames and records as bytes.
//!
//! | what | bytes |
//! |---|---|
//! | frame | version, cluster (16 bytes), from, to, list of messages |
//! | record | version, record |
//! | key | tag, and for a transaction's key its origin and number, big-endian: keys sort as their bytes do |
//!
//! A number takes 1 byte up to 250, then 3, 5 or 9 (bincode's varint); a list begins with its length; which variant it
//! is, and which version, is told by one byte.
//!
//! Every value has exactly one encoding, and nothing else is decoded: not a number with more bytes than it needs, not
//! what is left over at the end. A length is compared with the bytes at hand before any memory is set aside for it, so
//! decoding never takes more memory than a small multiple of the input.
//!
//! The `bincode` crate does the numbers, and shows nowhere outside this file.
//!
//! ```
//! use synod::{NodeId, codec::{decode_frame, encode_frame}, commit::{ClusterId, Message, TxRange}};
//!
//! let (cluster, from, to) = (ClusterId(*b"a cluster of 3.."), NodeId(1), NodeId(2));
//! let messages = [Message::retired(TxRange::new(from, 1, 9)?)];
//! let bytes = encode_frame(cluster, from, to, &messages);
//! assert_eq!(decode_frame(&bytes, cluster, to)?.messages, messages);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use bincode::{config, enc::write::Writer, error as bincode_error};

use crate::{
    Ballot, NodeId, QuorumError, QuorumSpec, Quorums, TxId,
    commit::{
        Acceptance, AcceptorRecord, ClusterId, EmptyRange, Ending, Entry, EpochMessage, HigherInstance, Key, Learning,
        MalformedBlock, Membership, Message, Meta, Obstacle, Outcome, OutcomeBlock, Outcomes, Page, Part, Participants,
        Places, Promises, Ranges, Record, ResourceManagerRecord, Targets, Transaction, TransactionError, TxRange, Vote,
        Votes, What,
    },
    paxos,
};

/// The version of frames that is written and read.
pub const FRAME_VERSION: u8 = 3;

/// The version of records that is written and read.
///
/// A new kind of record comes with a new version, under which the new kind alone is written. So a node can go back to the
/// version before for as long as it has written no record of a new kind; after that, the version before says what it met.
pub const RECORD_VERSION: u8 = 3;

const CONFIG: config::Configuration = config::standard();

/// How many participants are few.
const FEW: usize = 8;

/// A number up to this one is encoded as itself.
const ONE_BYTE: u8 = 250;

/// What one packet says.
///
/// See the [module](self) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Frame {
    /// Who says that it sent the packet. Only the transport can vouch for it.
    pub from: NodeId,
    /// Whom the packet is for.
    pub to: NodeId,
    /// The messages, in the order in which they were sent.
    pub messages: Vec<Message>,
}

/// Why bytes are no frame, no record or no key.
///
/// ```
/// # use synod::codec::{DecodeError, decode_record};
/// assert_eq!(decode_record(&[]), Err(DecodeError::Truncated));
/// assert_eq!(decode_record(&[99]), Err(DecodeError::UnknownVersion(99)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end too early, or a length promises more than there are.
    #[error("the bytes end too early")]
    Truncated,
    /// There are bytes left at the end.
    #[error("{0} bytes are left over at the end")]
    LeftOver(usize),
    /// This version is not known here. Of records [`RECORD_VERSION`] is, and of frames [`FRAME_VERSION`].
    #[error("version {0} is not known here")]
    UnknownVersion(u8),
    /// The frame is another cluster's.
    #[error("the frame belongs to cluster {0}")]
    OtherCluster(ClusterId),
    /// The frame is for another node.
    #[error("the frame is for node {0}")]
    OtherAddressee(NodeId),
    /// There is no such variant.
    #[error("there is no {kind} of the tag {tag}")]
    UnknownTag {
        /// What was being decoded.
        kind: &'static str,
        /// The tag that it has.
        tag: u8,
    },
    /// A number is malformed, or does not fit in 64 bits.
    #[error("a number is malformed")]
    MalformedNumber,
    /// A number takes more bytes than it needs.
    #[error("a number takes more bytes than it needs")]
    OverlongNumber,
    /// A participant is prepared without having voted.
    #[error("a participant is prepared without having voted")]
    UncastVote,
    /// A transaction was rejected.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// A range of transactions is empty.
    #[error(transparent)]
    EmptyRange(#[from] EmptyRange),
    /// A quorum system was rejected.
    #[error(transparent)]
    Quorums(#[from] QuorumError),
    /// A list that should be in ascending order is not.
    #[error("a list is not in ascending order")]
    Unsorted,
    /// A block of outcomes was rejected.
    #[error(transparent)]
    MalformedBlock(#[from] MalformedBlock),
}

impl DecodeError {
    /// Whether a newer version may have written these bytes, and meant something by them.
    pub fn is_news(&self) -> bool {
        match self {
            Self::UnknownVersion(version) => *version > RECORD_VERSION.max(FRAME_VERSION),
            Self::UnknownTag { .. } => true,
            _ => false,
        }
    }
}

/// The frame of one packet `from` one node `to` another.
pub fn encode_frame(cluster: ClusterId, from: NodeId, to: NodeId, messages: &[Message]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_frame_into(&mut bytes, cluster, from, to, messages);
    bytes
}

/// Appends the frame of one packet to `bytes`. See [`encode_frame`].
pub fn encode_frame_into(bytes: &mut Vec<u8>, cluster: ClusterId, from: NodeId, to: NodeId, messages: &[Message]) {
    let mut sink = Sink(bytes);
    sink.byte(FRAME_VERSION);
    cluster.put(&mut sink);
    from.put(&mut sink);
    to.put(&mut sink);
    put_list(messages, &mut sink);
}

/// What `frame` says to node `me` of `cluster`. An error if it is not for that node, or if these are not exactly the
/// bytes that [`encode_frame`] yields.
pub fn decode_frame(frame: &[u8], cluster: ClusterId, me: NodeId) -> Result<Frame, DecodeError> {
    let mut source = Source(frame);
    source.version(FRAME_VERSION)?;
    let of = ClusterId::take(&mut source)?;
    if of != cluster {
        return Err(DecodeError::OtherCluster(of));
    }
    let (from, to) = Wire::take(&mut source)?;
    if to != me {
        return Err(DecodeError::OtherAddressee(to));
    }
    let messages = take_list(&mut source)?;
    source.end()?;
    Ok(Frame { from, to, messages })
}

/// The bytes of `record`.
pub fn encode_record(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_record_into(&mut bytes, record);
    bytes
}

/// Appends `record` to `bytes`. See [`encode_record`].
pub fn encode_record_into(bytes: &mut Vec<u8>, record: &Record) {
    let mut sink = Sink(bytes);
    sink.byte(RECORD_VERSION);
    record.put(&mut sink);
}

/// The record that [`encode_record`] made exactly these bytes of.
pub fn decode_record(bytes: &[u8]) -> Result<Record, DecodeError> {
    let mut source = Source(bytes);
    source.version(RECORD_VERSION)?;
    let record = Record::take(&mut source)?;
    source.end()?;
    Ok(record)
}

/// The bytes of `key`, for a store that sorts its keys: they compare as the keys do, no key begins with another, and
/// the keys of one kind share their first byte, those of one kind and origin the first nine.
pub fn encode_key(key: &Key) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key_into(&mut bytes, key);
    bytes
}

/// Appends `key` to `bytes`. See [`encode_key`].
pub fn encode_key_into(bytes: &mut Vec<u8>, key: &Key) {
    key.put(&mut Sink(bytes));
}

/// The key that [`encode_key`] made exactly these bytes of.
pub fn decode_key(bytes: &[u8]) -> Result<Key, DecodeError> {
    let mut source = Source(bytes);
    let key = Key::take(&mut source)?;
    source.end()?;
    Ok(key)
}

/// Where bytes go.
struct Sink<'a>(&'a mut Vec<u8>);

impl Sink<'_> {
    fn put<T: bincode::Encode>(&mut self, value: T) {
        let done = bincode::encode_into_writer(value, &mut *self, CONFIG);
        debug_assert!(done.is_ok(), "a vector takes every byte");
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A number: most are small, and one byte.
    #[inline]
    fn number(&mut self, number: u64) {
        match u8::try_from(number) {
            Ok(byte) if byte <= ONE_BYTE => self.byte(byte),
            _ => self.long_number(number),
        }
    }

    fn long_number(&mut self, number: u64) {
        debug_assert!(number > u64::from(ONE_BYTE), "a small number needs no detour");
        self.put(number);
    }
}

impl Writer for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode_error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// The bytes that are not decoded yet.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    #[inline]
    fn byte(&mut self) -> Result<u8, DecodeError> {
        let (byte, rest) = self.0.split_first().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*byte)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*array)
    }

    /// A number: most are small, and one byte.
    #[inline]
    fn number(&mut self) -> Result<u64, DecodeError> {
        match self.0.split_first() {
            Some((byte, rest)) if *byte <= ONE_BYTE => {
                self.0 = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Result<u64, DecodeError> {
        debug_assert!(self.0.first().is_none_or(|first| *first > ONE_BYTE), "a small number needs no detour");
        let (number, taken) = self.primitive()?;
        match bincode::encode_into_slice(number, &mut [0; 9], CONFIG) {
            Ok(needed) if needed == taken => Ok(number),
            _ => Err(DecodeError::OverlongNumber),
        }
    }

    /// A length, of things of which each takes `least` bytes or more. All that may be set aside for them is theirs.
    fn length(&mut self, least: usize) -> Result<usize, DecodeError> {
        let length = usize::try_from(self.number()?).map_err(|_| DecodeError::Truncated)?;
        match length.checked_mul(least) {
            Some(bytes) if bytes <= self.0.len() => Ok(length),
            _ => Err(DecodeError::Truncated),
        }
    }

    fn slice(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.length(1)?;
        let (slice, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(slice)
    }

    fn version(&mut self, known: u8) -> Result<(), DecodeError> {
        let version = self.byte()?;
        if version == known { Ok(()) } else { Err(DecodeError::UnknownVersion(version)) }
    }

    fn end(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::LeftOver(self.0.len())) }
    }

    /// A value of a type that takes no memory of its own, and how many bytes it took.
    fn primitive<T: bincode::Decode<()>>(&mut self) -> Result<(T, usize), DecodeError> {
        let (value, taken) = bincode::decode_from_slice(self.0, CONFIG).map_err(|error| match error {
            bincode_error::DecodeError::UnexpectedEnd { .. } => DecodeError::Truncated,
            _ => DecodeError::MalformedNumber,
        })?;
        self.0 = self.0.get(taken..).unwrap_or_default();
        Ok((value, taken))
    }
}

/// A value with exactly one encoding.
trait Wire: Sized {
    /// The fewest bytes that a value takes.
    const LEAST: usize;

    fn put(&self, sink: &mut Sink<'_>);

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError>;
}

/// Structs: one field after the other.
macro_rules! in_order {
    ($($name:ty, least $least:literal: { $($field:tt),+ })+) => {$(
        impl Wire for $name {
            const LEAST: usize = $least;

            fn put(&self, sink: &mut Sink<'_>) {
                $(self.$field.put(sink);)+
            }

            fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
                Ok(Self { $($field: Wire::take(source)?),+ })
            }
        }
    )+};
}

/// Enums: the variant's tag, and one field after the other.
macro_rules! tagged {
    ($($kind:literal, $name:ty, least $least:literal: {
        $($tag:literal => $variant:ident $(($value:ident))? $({ $($field:ident),+ })?,)+
    })+) => {$(
        impl Wire for $name {
            const LEAST: usize = $least;

            fn put(&self, sink: &mut Sink<'_>) {
                match self {
                    $(Self::$variant $(($value))? $({ $($field),+ })? => {
                        sink.byte($tag);
                        $($value.put(sink);)?
                        $($($field.put(sink);)+)?
                    })+
                }
            }

            fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
                match source.byte()? {
                    $($tag => {
                        $(let $value = Wire::take(source)?;)?
                        $($(let $field = Wire::take(source)?;)+)?
                        Ok(Self::$variant $(($value))? $({ $($field),+ })?)
                    })+
                    tag => Err(DecodeError::UnknownTag { kind: $kind, tag }),
                }
            }
        }
    )+};
}

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
    Part, least 3: { tx, instances }
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
        1 => Ready(range),
        2 => Part(part),
        3 => Committed(range),
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

impl Wire for u64 {
    const LEAST: usize = 1;

    #[inline]
    fn put(&self, sink: &mut Sink<'_>) {
        sink.number(*self);
    }

    #[inline]
    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        source.number()
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

impl<A: Wire, B: Wire> Wire for (A, B) {
    const LEAST: usize = A::LEAST.saturating_add(B::LEAST);

    fn put(&self, sink: &mut Sink<'_>) {
        self.0.put(sink);
        self.1.put(sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        Ok((Wire::take(source)?, Wire::take(source)?))
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

impl<T: Wire> Wire for Option<T> {
    const LEAST: usize = 1;

    fn put(&self, sink: &mut Sink<'_>) {
        sink.byte(u8::from(self.is_some()));
        if let Some(value) = self {
            value.put(sink);
        }
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        match source.byte()? {
            0 => Ok(None),
            1 => T::take(source).map(Some),
            tag => Err(DecodeError::UnknownTag { kind: "option", tag }),
        }
    }
}

fn put_list<T: Wire>(list: &[T], sink: &mut Sink<'_>) {
    sink.number(list.len() as u64);
    for value in list {
        value.put(sink);
    }
}

fn take_list<T: Wire>(source: &mut Source<'_>) -> Result<Vec<T>, DecodeError> {
    const { assert!(T::LEAST > 0, "a list of what takes no bytes has no bound") };
    let length = source.length(T::LEAST)?;
    let mut list = Vec::with_capacity(length);
    for _ in 0..length {
        list.push(T::take(source)?);
    }
    Ok(list)
}

impl<T: Wire> Wire for Box<T> {
    const LEAST: usize = T::LEAST;

    fn put(&self, sink: &mut Sink<'_>) {
        (**self).put(sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        T::take(source).map(Self::new)
    }
}

impl<T: Wire> Wire for Box<[T]> {
    const LEAST: usize = 1;

    fn put(&self, sink: &mut Sink<'_>) {
        put_list(self, sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        take_list(source).map(Vec::into_boxed_slice)
    }
}

impl<T: Wire> Wire for Vec<T> {
    const LEAST: usize = 1;

    fn put(&self, sink: &mut Sink<'_>) {
        put_list(self, sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        take_list(source)
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
