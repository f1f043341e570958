//! The format of a file: blocks, each with its length and a checksum. The first block is the [`Head`], the second the state of
//! the node, and each one after them holds what the node was told, in order, with digests of what that led to.

use std::{io, io::Write, time::Duration};

use xxhash_rust::xxh3::xxh3_64;

use super::digest::Digest;
use crate::{
    NodeId,
    codec::steps::{decode_value, encode_value},
    commit::{ClusterId, Node, Time},
};

/// The first bytes of a file, and the version of what follows.
const MAGIC: &[u8] = b"synod recording 1\n";

/// How a file is named.
pub(super) const EXTENSION: &str = "steps";

/// What a file says of itself.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Head {
    /// The version of the library, as text. (The decoder would set aside whatever a string's length says.)
    pub(super) version: Vec<u8>,
    pub(super) cluster: ClusterId,
    pub(super) node: NodeId,
    /// The number of the file.
    pub(super) number: u64,
    /// Microseconds since 1970 when it began.
    pub(super) began: u64,
    /// The node's time when it began.
    pub(super) time: Time,
    /// Microseconds of one unit of that time.
    pub(super) unit: u64,
    /// Whether it begins where the file before it ends.
    pub(super) continues: bool,
    /// The number of the next batch.
    pub(super) batch: u64,
    /// By which it is known whether digests can be compared.
    pub(super) sample: u32,
}

impl Head {
    /// Of a file that begins now.
    pub(super) fn new(node: &Node, batch: u64, unit: Duration, continues: bool) -> Self {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            cluster: node.config().cluster.id(),
            node: node.config().id,
            number: 0,
            began: micros(now()),
            time: node.now(),
            unit: micros(unit),
            continues,
            batch,
            sample: Digest::of_a_sample(),
        }
    }
}

impl Head {
    pub(super) fn version(&self) -> String {
        String::from_utf8_lossy(&self.version).into_owned()
    }
}

/// Since 1970.
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "people want to know when it was; no machine does"
)]
fn now() -> Duration {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// Begins a file.
pub(super) fn begin(file: &mut impl Write, head: &Head, node: &Node) -> io::Result<u64> {
    let (Some(head), Some(state)) = (encode_value(head), node.checkpoint()) else {
        return Err(io::Error::other("the state of the node cannot be encoded"));
    };
    file.write_all(MAGIC)?;
    Ok(MAGIC.len() as u64 + block(file, &head)? + block(file, &state)?)
}

/// Appends a block. Returns how many bytes it took.
pub(super) fn block(file: &mut impl Write, bytes: &[u8]) -> io::Result<u64> {
    let length = bytes.len() as u64;
    file.write_all(&[length.to_le_bytes(), xxh3_64(bytes).to_le_bytes()].concat())?;
    file.write_all(bytes)?;
    Ok(length + 16)
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("it is no recording, or one of another version")]
    NoRecording,
    #[error("its beginning is damaged")]
    Damaged,
}

/// The parts of a file. What comes after its last whole block is left out.
pub(super) struct Parts {
    pub(super) head: Head,
    pub(super) state: Vec<u8>,
    /// What the node was told.
    pub(super) steps: Vec<u8>,
    /// How many bytes are left out.
    pub(super) torn: usize,
}

pub(super) fn parts(bytes: &[u8]) -> Result<Parts, Flaw> {
    let mut rest = bytes.strip_prefix(MAGIC).ok_or(Flaw::NoRecording)?;
    let head = next(&mut rest).ok_or(Flaw::Damaged)?;
    let head = decode_value(head).map_err(|_| Flaw::Damaged)?;
    let state = next(&mut rest).ok_or(Flaw::Damaged)?.to_vec();
    let mut steps = Vec::new();
    while let Some(block) = next(&mut rest) {
        steps.extend(block);
    }
    Ok(Parts { head, state, steps, torn: rest.len() })
}

/// The next block, which is then taken from `rest`. `None` if there is none, or if it is not whole.
fn next<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let (sum, after) = after.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (block, after) = after.split_at_checked(length)?;
    if xxh3_64(block) != u64::from_le_bytes(*sum) {
        return None;
    }
    *rest = after;
    Some(block)
}
