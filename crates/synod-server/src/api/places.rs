//! Who there is in the cluster, and who is silent.

use std::sync::Arc;

use synod::NodeId;
use tokio::time::timeout;

use super::{look::PATIENCE, view};
use crate::run::Process;

/// The cluster as this process sees it; `status` is what its own nodes say.
pub(crate) async fn cluster(process: &Arc<Process>, status: &view::Status) -> view::Cluster {
    let epoch = timeout(PATIENCE, process.epoch()).await.ok().flatten();
    let members = match &epoch {
        Some(epoch) => epoch.membership.members().into_iter().collect(),
        None => process.config().members.keys().copied().collect::<Vec<NodeId>>(),
    };
    let mut nodes: Vec<view::Place> = Vec::new();
    for slot in process.slots() {
        let Some(own) = status.nodes.iter().find(|node| node.node == slot.id().0) else { continue };
        let silent = slot.away_for().map(|away| away.as_secs_f64());
        nodes.push(view::Place {
            node: own.node,
            role: own.role.clone(),
            name: slot.name(),
            address: slot.config.listen.to_string(),
            is_here: true,
            state: own.state.clone(),
            silent_seconds: silent,
        });
    }
    for (node, address) in timeout(PATIENCE, process.others()).await.unwrap_or_default() {
        let is_member = members.contains(&node);
        if !is_member && !process.config().agents.contains_key(&node) {
            continue;
        }
        let silent = process.silence(node).map(|silence| silence.as_secs_f64());
        let is_connected = process.slots().iter().any(|slot| is_connected(slot, node));
        let state = match (is_connected, silent) {
            (true, _) => "connected",
            (false, Some(_)) => "silent",
            (false, None) => "not connected",
        };
        nodes.push(view::Place {
            node: node.0,
            role: if is_member { "member" } else { "agent" }.into(),
            name: None,
            address,
            is_here: false,
            state: state.into(),
            silent_seconds: silent,
        });
    }
    nodes.sort_by_key(|place| (place.role != "member", place.node));
    let mut links = Vec::new();
    for slot in process.slots().iter().filter(|slot| slot.handle().is_some()) {
        for member in members.iter().filter(|member| **member != slot.id()) {
            // Two of one process are linked once.
            if process.is_here(*member) && members.contains(&slot.id()) && slot.id() > *member {
                continue;
            }
            let is_up = is_connected(slot, *member);
            links.push(view::Link { from: slot.id().0, to: member.0, is_up });
        }
    }
    view::Cluster {
        epoch: epoch.as_ref().map(|epoch| epoch.number),
        is_changing: epoch.is_some_and(|epoch| epoch.is_changing),
        nodes,
        links,
    }
}

fn is_connected(slot: &crate::run::Slot, node: NodeId) -> bool {
    slot.peers().and_then(|peers| peers.stats(node)).is_some_and(|stats| stats.connected)
}
