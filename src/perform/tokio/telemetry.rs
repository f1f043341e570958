//! What is counted and measured, and under which names.

use alloc::string::ToString;

use metrics::Counter;

use crate::{NodeId, commit::ClusterId};

/// Packets that a full inbox dropped.
pub(super) fn dropped_packets(cluster: ClusterId, node: NodeId) -> Counter {
    let cluster = u128::from_be_bytes(cluster.0);
    metrics::counter!("synod_packets_dropped_total", "cluster" => alloc::format!("{cluster:032x}"), "node" => node.0.to_string())
}
