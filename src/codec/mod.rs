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
//! The `bincode` crate does the numbers, and shows nowhere outside this module.
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

#[cfg(feature = "record")]
pub(crate) mod steps;
mod values;
mod wire;

use alloc::vec::Vec;

use self::wire::{Sink, Source, Wire, put_list, take_list};
use crate::{
    NodeId, QuorumError,
    commit::{ClusterId, EmptyRange, Key, MalformedBlock, Message, Record, TransactionError},
};

/// The version of frames that is written and read.
pub const FRAME_VERSION: u8 = 3;

/// The version of records that is written and read.
///
/// A new kind of record comes with a new version, under which the new kind alone is written. So a node can go back to the
/// version before for as long as it has written no record of a new kind; after that, the version before says what it met.
pub const RECORD_VERSION: u8 = 3;

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
