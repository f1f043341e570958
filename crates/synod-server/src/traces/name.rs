//! Which trace a transaction is, and whether it is kept.

use opentelemetry::trace::{SpanId, TraceId};
use synod::{TxId, commit::ClusterId};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The same at every node of a cluster.
pub(super) fn trace(cluster: ClusterId, tx: TxId) -> TraceId {
    let name = [&cluster.0[..], &tx.origin.0.to_be_bytes(), &tx.seq.to_be_bytes()].concat();
    // Nought is no id.
    TraceId::from_bytes(xxh3_128(&name).max(1).to_be_bytes())
}

/// The span of the whole transaction, in which all others are.
pub(super) fn root(trace: TraceId) -> SpanId {
    part(trace, "transaction", 0, 0)
}

/// A span of a node, which began at this moment.
pub(super) fn part(trace: TraceId, what: &str, node: u64, moment: u128) -> SpanId {
    let name = [&trace.to_bytes()[..], what.as_bytes(), &node.to_be_bytes(), &moment.to_be_bytes()].concat();
    SpanId::from_bytes(xxh3_64(&name).max(1).to_be_bytes())
}

/// Whether it is one of the share that is kept: all nodes keep the same ones.
pub(super) fn is_kept(trace: TraceId, ratio: f64) -> bool {
    let [.., a, b, c, d, e, f, g] = trace.to_bytes();
    let place = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
    (place as f64) < ratio * (1_u64 << 56) as f64
}
