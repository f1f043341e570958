//! What nodes say to each other, what goes into a node, and what comes out of it.

use alloc::boxed::Box;

use super::{
    Meta, Outcome, Participants, Places, Time, Transaction, Vote, Votes,
    record::{Record, TxRange},
};
use crate::{Ballot, NodeId, TxId};

/// A message of Paxos Commit (Gray and Lamport 2006, section 4).
///
/// See [`Node`](crate::commit::Node) for an example.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Message {
    /// About one transaction. It carries the whole [`Transaction`], because the receiver may hear of it for the first
    /// time.
    About {
        /// The transaction.
        transaction: Transaction,
        /// What is said about it.
        what: What,
    },
    /// To anyone: all resource managers have finished these transactions; drop what is left of them. Also the answer to
    /// a message that comes after that.
    Retired {
        /// The transactions.
        range: TxRange,
    },
    /// Acceptor or transaction manager to transaction manager: that these are retired is durable here.
    RetiredNoted {
        /// The transactions.
        range: TxRange,
    },
}

/// What a message says about its transaction.
///
/// See [`Node`](crate::commit::Node) for an example.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum What {
    /// Resource manager to transaction manager: the sender has voted; ask the others. Sent again, it asks for the
    /// outcome, more patiently than an inquiry. (The paper's *BeginCommit*.)
    Begin {
        /// What the transaction is about.
        meta: Meta,
    },
    /// Transaction manager to resource manager: vote, and name the sender to the acceptors. (The paper's *Prepare*; not
    /// the one of Paxos.)
    Prepare {
        /// What the transaction is about.
        meta: Meta,
    },
    /// Resource manager to acceptor: phase 2a of the sender's own instance, at its initial ballot.
    Vote {
        /// The vote.
        vote: Vote,
        /// The transaction manager that the acceptor tells.
        manager: NodeId,
    },
    /// Transaction manager to acceptor: phase 1a in several instances.
    Phase1a {
        /// The sender's own ballot, above round 0.
        ballot: Ballot,
        /// The instances.
        instances: Places,
    },
    /// Acceptor to transaction manager: phase 1b in several instances. The sender promises to take no lower ballot, and
    /// tells what it has accepted.
    Phase1b {
        /// The promised ballot.
        ballot: Ballot,
        /// What is promised.
        promises: Box<Promises>,
    },
    /// Transaction manager to acceptor: phase 2a in several instances, above round 0.
    Phase2a {
        /// The sender's own ballot.
        ballot: Ballot,
        /// The one value of that ballot in each instance.
        votes: Votes,
    },
    /// Acceptor to transaction managers, and in Faster mode to resource managers: phase 2b in several instances. (The
    /// *bundle*.)
    Phase2b {
        /// The votes that are accepted at initial ballots.
        votes: Votes,
        /// The votes that are accepted at higher ballots, in ascending order of resource managers.
        higher: Box<[Acceptance]>,
    },
    /// Acceptor to transaction manager: the ballot came too late in these instances. A hint, on which no safety rests.
    Reject {
        /// The refused ballot.
        ballot: Ballot,
        /// What stands in its way, in ascending order of resource managers.
        promised: Box<[Obstacle]>,
    },
    /// Resource manager or acceptor to transaction manager: get this transaction to its outcome.
    Inquire,
    /// Transaction manager to resource manager or transaction manager: this is how it ended.
    Outcome(Outcome),
    /// Resource manager to transaction manager: the sender has carried this outcome out, durably.
    Finished(Outcome),
}

/// Phase 1b in several instances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Promises {
    /// The instances in which the ballot is promised.
    pub instances: Places,
    /// Those of their votes that are accepted at initial ballots.
    pub votes: Votes,
    /// Those of their votes that are accepted at higher ballots, in ascending order of resource managers.
    pub higher: Box<[Acceptance]>,
}

/// One instance's accepted vote, at a ballot above the initial one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Acceptance {
    /// The resource manager whose vote the instance chooses.
    pub rm: NodeId,
    /// The ballot.
    pub ballot: Ballot,
    /// The one value of that ballot.
    pub vote: Vote,
}

/// What stands in the way of a ballot in one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Obstacle {
    /// The resource manager whose vote the instance chooses.
    pub rm: NodeId,
    /// The ballot that is promised there.
    pub promised: Ballot,
}

/// What goes into a node.
///
/// See [`Node`](crate::commit::Node) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Input {
    /// Begin a new transaction, at a transaction manager or at a participant. The node names it, and says so by
    /// [`Decision::Begun`]. A refused begin uses no name.
    Begin {
        /// The resource managers that take part.
        participants: Participants,
        /// What it is about.
        meta: Meta,
    },
    /// Begin this transaction, whose name the caller guarantees to use once. Saying so again, here or at another
    /// transaction manager, does no harm and drives the transaction on.
    ///
    /// A caller that numbers by itself does so under a node id of its own, or begins the transaction at the node whose
    /// name it uses before it says so anywhere else: a node takes part in nothing that is named after it, above the
    /// numbers that it has reserved.
    BeginAs {
        /// The transaction.
        transaction: Transaction,
        /// What it is about.
        meta: Meta,
    },
    /// The local resource's answer to [`Decision::Vote`].
    Vote {
        /// The transaction voted on.
        tx: TxId,
        /// The vote.
        vote: Vote,
    },
    /// The local resource has carried out [`Decision::Commit`] or [`Decision::Abort`], durably.
    Finished(TxId),
    /// Drive this transaction to its outcome now, without waiting for a time-out: to abort, where a vote is missing.
    Inquire(TxId),
    /// A message has come.
    Receive {
        /// The node that sent it, as the transport guarantees.
        from: NodeId,
        /// The message.
        message: Message,
    },
    /// It is this late.
    Tick(Time),
}

/// What a node decides, for its caller.
///
/// See [`Node`](crate::commit::Node) for an example.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Decision {
    /// To the caller: the [`Input::Begin`] of this step got this name.
    Begun(TxId),
    /// To the local resource: vote on this transaction, by [`Input::Vote`].
    Vote {
        /// The transaction.
        transaction: Transaction,
        /// What it is about.
        meta: Meta,
    },
    /// To the local resource: commit, then say [`Input::Finished`]. It comes at least once; committing twice must do no
    /// harm.
    Commit {
        /// The transaction.
        transaction: Transaction,
        /// What it is about.
        meta: Meta,
    },
    /// To the local resource: abort, then say [`Input::Finished`]. It comes at least once, perhaps for a transaction on
    /// which the resource was never asked to vote.
    Abort {
        /// The transaction.
        transaction: Transaction,
        /// What it is about, if this node was ever told.
        meta: Option<Meta>,
    },
    /// At a transaction manager: the outcome is known. No failure can change it any more.
    ///
    /// A transaction manager that another one stood in for may hear that a transaction is over, and not how it ended:
    /// then this never comes, and [`Node::status`](super::Node::status) says that it is retired.
    Decided {
        /// The transaction.
        tx: TxId,
        /// How it ended.
        outcome: Outcome,
    },
    /// At a transaction manager: every resource manager has carried the outcome out.
    ///
    /// It comes before the record that the transaction is over, so a caller who carries out one effect after the other
    /// hears it at least once. Where that record is written in one batch with earlier ones, ahead of the batch's
    /// decisions, a crash after the write leaves it out; so does news from others that all is over. Then
    /// [`Node::status`](super::Node::status) says that the transaction is retired.
    Completed {
        /// The transaction.
        tx: TxId,
        /// How it ended.
        outcome: Outcome,
    },
}

/// An effect of a node, and of each commit role.
pub type Effect = crate::Effect<Record, Message, Decision>;

/// Where effects of a node, and of each commit role, go.
pub trait Sink: crate::EffectSink<Record, Message, Decision> {}

impl<T: crate::EffectSink<Record, Message, Decision>> Sink for T {}

impl Message {
    /// The message that says `what` about `transaction`.
    pub fn about(transaction: &Transaction, what: What) -> Self {
        Self::About { transaction: transaction.clone(), what }
    }

    /// The transaction that this message is about, if it is about just one.
    #[inline]
    pub fn transaction(&self) -> Option<&Transaction> {
        match self {
            Self::About { transaction, .. } => Some(transaction),
            Self::Retired { .. } | Self::RetiredNoted { .. } => None,
        }
    }
}
