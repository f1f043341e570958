//! What happens in a world: concrete, and serialisable.

use serde::{Deserialize, Serialize};

use crate::{NodeId, commit::Vote};

/// What a faulty participant says about itself.
///
/// See the [module](crate::sim) for an example of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lie {
    /// That it has committed.
    Committed,
    /// That it has aborted.
    Aborted,
    /// That to it the transaction is retired.
    Retired,
}

/// One thing that happens. What cannot happen (the node is down, the message is not there) changes nothing, so that
/// any part of a list of events is a list of events.
///
/// See the [module](crate::sim) for an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A client begins a new transaction.
    Begin {
        /// Where.
        at: NodeId,
        /// Among whom.
        participants: Vec<NodeId>,
    },
    /// A client begins a new transaction, which it names itself.
    BeginAs {
        /// Where.
        at: NodeId,
        /// Among whom.
        participants: Vec<NodeId>,
        /// As one of the node's own, and how many of the node's numbers it leaves out; otherwise as one of the client's.
        own: Option<u64>,
    },
    /// A client begins again what was begun before.
    Again {
        /// Where.
        at: NodeId,
        /// Which transaction, in the order of beginning.
        index: usize,
    },
    /// A resource votes.
    Vote {
        /// Where.
        at: NodeId,
        /// In which of the transactions that it is asked about.
        index: usize,
        /// How.
        vote: Vote,
    },
    /// A resource prepares, and its answer is lost: it crashes.
    LoseVote {
        /// Where.
        at: NodeId,
        /// In which of the transactions that it is asked about.
        index: usize,
    },
    /// A resource has carried out an outcome.
    Finish {
        /// Where.
        at: NodeId,
        /// Of which of the transactions whose outcome it was handed.
        index: usize,
    },
    /// An operator inquires.
    Inquire {
        /// Where.
        at: NodeId,
        /// About which transaction, in the order of beginning.
        index: usize,
    },
    /// A faulty participant says about itself what need not be true.
    Lie {
        /// Which: one of [`Setup::liars`](super::Setup::liars).
        at: NodeId,
        /// To whom.
        to: NodeId,
        /// About which transaction, in the order of beginning.
        index: usize,
        /// What it says.
        lie: Lie,
    },
    /// A faulty participant votes once more, and differently.
    VoteAgain {
        /// Which: one of [`Setup::liars`](super::Setup::liars).
        at: NodeId,
        /// At which acceptor.
        to: NodeId,
        /// On which transaction, in the order of beginning.
        index: usize,
    },
    /// A faulty participant begins a transaction of its own under a name that another node numbers.
    StealName {
        /// Which: one of [`Setup::liars`](super::Setup::liars).
        at: NodeId,
        /// Who numbers the name.
        origin: NodeId,
        /// Among whom.
        participants: Vec<NodeId>,
        /// How far back from the numbers that come next.
        back: u64,
    },
    /// A message arrives.
    Deliver {
        /// Its sender.
        from: NodeId,
        /// Its receiver.
        to: NodeId,
        /// Which of those under way between them.
        index: usize,
    },
    /// A message arrives, and stays under way.
    Duplicate {
        /// Its sender.
        from: NodeId,
        /// Its receiver.
        to: NodeId,
        /// Which of those under way between them.
        index: usize,
    },
    /// A message that was delivered or lost before arrives, late.
    Late {
        /// Its sender.
        from: NodeId,
        /// Its receiver.
        to: NodeId,
        /// Which of those that passed between them and are remembered.
        index: usize,
    },
    /// A message is lost.
    Lose {
        /// Its sender.
        from: NodeId,
        /// Its receiver.
        to: NodeId,
        /// Which of those under way between them.
        index: usize,
    },
    /// A node starts to write what has gathered; what rests on none of it leaves.
    Write {
        /// Which.
        at: NodeId,
    },
    /// A write is durable: what waited for it is released.
    Sync {
        /// Where.
        at: NodeId,
    },
    /// A write fails; the node stops.
    Fail {
        /// Where.
        at: NodeId,
        /// How many of the records reached the disk all the same.
        keep: usize,
    },
    /// A node stops without warning.
    Crash {
        /// Which.
        at: NodeId,
        /// How many records of the write under way reached the disk.
        keep: usize,
    },
    /// A node stops, and its storage is damaged: the last records that it called durable are lost. It notices, so the node does
    /// not come back.
    Damage {
        /// Which: one of [`Setup::damaged`](super::Setup::damaged).
        at: NodeId,
        /// How many records.
        lost: usize,
    },
    /// A node is restored from its disk.
    Restart {
        /// Which.
        at: NodeId,
    },
    /// A node's disk is cut down to a snapshot.
    Compact {
        /// Whose.
        at: NodeId,
    },
    /// A node's clock advances.
    Tick {
        /// Whose.
        at: NodeId,
        /// By how much.
        by: u64,
    },
    /// A resource whose votes are durable in itself finds what it holds prepared, in a sweep, and tells its node.
    Find {
        /// Where.
        at: NodeId,
        /// Which of the transactions that it holds.
        index: usize,
    },
    /// A resource whose votes are durable in itself does not find what it holds any more, until a sweep finds it again.
    Hide {
        /// Where.
        at: NodeId,
        /// Which of the transactions that it holds.
        index: usize,
    },
    /// An operator wants one node in the place of another, which comes to the cluster unless it is there.
    Change {
        /// Where he says so.
        at: NodeId,
        /// Who is to go.
        old: NodeId,
        /// Who is to come.
        new: NodeId,
    },
    /// A machine is switched off for good, if it is no member any more, and may go.
    SwitchOff {
        /// Which.
        at: NodeId,
    },
    /// From now on all messages from any of some nodes to any of others are lost.
    Cut {
        /// The senders.
        from: Vec<NodeId>,
        /// The receivers.
        to: Vec<NodeId>,
        /// Whether the answers are lost as well.
        both_ways: bool,
    },
    /// Messages between any of some nodes and any of others pass again, both ways.
    Mend {
        /// The ones.
        from: Vec<NodeId>,
        /// The others.
        to: Vec<NodeId>,
    },
}
