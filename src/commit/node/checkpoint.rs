//! The whole state of a node as bytes: what is durable, and what is not. A node that is made of them goes on as this one
//! does. That is for recordings; from its storage a node is [restored](Node::restore).

use alloc::{collections::BTreeMap, vec::Vec};

use serde::{Deserialize, Serialize};

use super::{
    super::{
        Record, Time, block::BlockAllocator, handover::Handover, history::History, ranges::RangeSet, shared::Shared,
        table::Table,
    },
    Node,
    epochs::News,
    leavings::Leavings,
    retirement::{Announcement, Lists},
};
use crate::{
    NodeId, Scope,
    codec::{
        DecodeError,
        steps::{decode_value, encode_value},
    },
};

/// The fields of a [`Node`]. That there are no others the compiler sees to.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Node")]
struct Fields {
    shared: Shared,
    open: Table,
    retired: RangeSet,
    history: History,
    retired_scope: Scope,
    announced: BTreeMap<NodeId, RangeSet>,
    announcement: Announcement,
    sequence: BlockAllocator,
    birth: Option<u64>,
    owed: Vec<Record>,
    owes_endings: bool,
    /// Empty between steps.
    #[serde(skip)]
    lists: Lists,
    handover: Handover,
    news: News,
    leavings: Leavings,
}

#[derive(Serialize)]
struct Given<'a>(#[serde(with = "Fields")] &'a Node);

#[derive(Deserialize)]
struct Taken(#[serde(with = "Fields")] Node);

impl Node {
    /// All that this node is. Two nodes of the same bytes do the same from now on. `None` never comes.
    pub(crate) fn checkpoint(&self) -> Option<Vec<u8>> {
        encode_value(&Given(self))
    }

    /// The time that it was told last.
    pub(crate) fn now(&self) -> Time {
        self.shared.clock.last_tick().unwrap_or_default()
    }

    /// The node that [`checkpoint`](Self::checkpoint) was asked of. Bytes that it has not made may make a node that makes no
    /// sense, but none that harms its process.
    pub(crate) fn of_checkpoint(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Taken(mut node) = decode_value(bytes)?;
        let seed = node.shared.config.seed;
        node.open.rehash(seed);
        node.history.rehash(seed);
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test may panic")]

    use alloc::vec::Vec;

    use super::Node;
    use crate::{
        Machine, NodeId, Quorums, Refusal,
        commit::{Cluster, ClusterId, Config, Input, Time},
    };

    #[test]
    fn a_node_that_is_made_of_what_another_one_was_goes_on_at_the_same_time() {
        let id = NodeId(1);
        let cluster = Cluster::new(ClusterId([1; 16]), Quorums::majority([id]).expect("one"), [id]).expect("a cluster");
        let mut node = Node::create(Config::new(cluster, id, 7)).0;
        assert_eq!(node.now(), Time(0));
        node.step(Input::Tick(Time(5)));
        let mut copy =
            Node::of_checkpoint(&node.checkpoint().expect("all of it can be written")).expect("it was written");
        assert_eq!((node.now(), copy.now()), (Time(5), Time(5)));
        assert_eq!(copy.step_into(Input::Tick(Time(4)), &mut Vec::new()), Err(Refusal::TimeWentBack));
    }
}
