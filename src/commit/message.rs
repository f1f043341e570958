//! What the nodes say to each other, what goes into a node, and what comes out of it.

use alloc::vec::Vec;

use super::{
    Outcome, Time, Transaction, Vote,
    record::{Record, TxRange},
};
use crate::{EffectSink, NodeId, Refusal, Scope, TxId, Urgency, paxos};

/// A message of Paxos Commit (Gray and Lamport 2006, section 4).
///
/// Every message from which a role could first hear of a transaction carries the whole [`Transaction`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Message {
    /// Resource manager to transaction manager: the sender has voted; ask the others. Sent again, it asks for the
    /// outcome, more patiently than an inquiry. (The paper's *BeginCommit*.)
    Begin {
        /// The transaction to be committed.
        transaction: Transaction,
    },
    /// Transaction manager to resource manager: vote, and name me to the acceptors. (The paper's *Prepare*; not Paxos'.)
    Prepare {
        /// The transaction to vote on.
        transaction: Transaction,
    },
    /// Resource manager to acceptor: phase 2a of the sender's own instance, at its initial ballot.
    Vote {
        /// The transaction voted on.
        transaction: Transaction,
        /// The vote.
        vote: Vote,
        /// The transaction manager that the acceptor shall tell.
        manager: NodeId,
    },
    /// Paxos messages of several instances of one transaction, as one: phase 1a and 2a above round 0 from a
    /// transaction manager, phase 1b, phase 2b (the bundle) and rejections from an acceptor.
    Paxos {
        /// The transaction.
        transaction: Transaction,
        /// One message per instance, in ascending order of resource managers.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = crate::arbitrary::bundle))]
        parts: Vec<Part>,
    },
    /// Resource manager or acceptor to transaction manager: get this transaction to its outcome.
    Inquire {
        /// The transaction that the sender is waiting for.
        transaction: Transaction,
    },
    /// Transaction manager to resource manager: this is how it ended.
    Outcome {
        /// The transaction.
        transaction: Transaction,
        /// How it ended.
        outcome: Outcome,
    },
    /// Resource manager to transaction manager: I have carried the outcome out, durably.
    Finished {
        /// The transaction.
        transaction: Transaction,
        /// How it ended.
        outcome: Outcome,
    },
    /// To anyone: all resource managers have finished these transactions; drop what is left of them. Also the answer to
    /// whatever comes late.
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

/// The Paxos message of one instance of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Part {
    /// The resource manager whose vote the instance chooses.
    pub rm: NodeId,
    /// What is said about it.
    pub message: paxos::Message<Vote>,
}

/// What goes into a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Input {
    /// Commit this transaction, at a transaction manager or at a participant. Saying so again, there or at another
    /// transaction manager, does no harm and brings the transaction on.
    Begin(Transaction),
    /// The local resource's answer to [`Decision::Vote`].
    Vote {
        /// The transaction voted on.
        tx: TxId,
        /// The vote.
        vote: Vote,
    },
    /// The local resource has carried out [`Decision::Commit`] or [`Decision::Abort`], durably.
    Finished(TxId),
    /// Drive this transaction to its outcome now, without waiting for a timer: to abort, where a vote is missing.
    Inquire(TxId),
    /// A message has come.
    Receive {
        /// The node that sent it, as the transport vouches for it.
        from: NodeId,
        /// What it says.
        message: Message,
    },
    /// It is this late.
    Tick(Time),
}

/// What a node decides, for its caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Decision {
    /// To the local resource: vote on this transaction, by [`Input::Vote`].
    Vote(Transaction),
    /// To the local resource: commit, then say [`Input::Finished`]. Comes at least once; doing it twice must do no harm.
    Commit(TxId),
    /// To the local resource: abort, then say [`Input::Finished`]. Comes at least once, and perhaps for a transaction
    /// that the resource was never asked to vote on.
    Abort(TxId),
    /// At a transaction manager: the outcome is known. No failure can change it any more.
    ///
    /// One that had to do with a transaction which another one finished in its stead may hear that it is over, and not
    /// how it ended: then this never comes, and [`Node::status`](super::Node::status) says that it is retired.
    Decided {
        /// The transaction.
        tx: TxId,
        /// How it ended.
        outcome: Outcome,
    },
    /// At a transaction manager: every resource manager has carried the outcome out.
    ///
    /// It precedes the record that the transaction is over, so who carries out one effect after the other hears it at
    /// least once. Where that record is written in one batch with earlier ones, ahead of the batch's decisions, a crash
    /// after the write leaves it out; so does news from others that all is over. Then
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

/// Hands `effects` on, in order.
pub(crate) fn hand_on(
    effects: impl IntoIterator<Item = Effect>,
    sink: &mut impl EffectSink<Record, Message, Decision>,
) {
    for effect in effects {
        match effect {
            Effect::Persist(record) => _ = sink.persist(record, Urgency::Urgent),
            Effect::Send { to, message } => sink.send(to, message, Scope::EVERYTHING),
            Effect::Decide(decision) => sink.decide(decision, Scope::EVERYTHING),
        }
    }
}

impl Message {
    /// The transaction that this message is about, if it carries one.
    pub fn transaction(&self) -> Option<&Transaction> {
        match self {
            Self::Begin { transaction }
            | Self::Prepare { transaction }
            | Self::Vote { transaction, .. }
            | Self::Paxos { transaction, .. }
            | Self::Inquire { transaction }
            | Self::Outcome { transaction, .. }
            | Self::Finished { transaction, .. } => Some(transaction),
            Self::Retired { .. } | Self::RetiredNoted { .. } => None,
        }
    }

    /// Whether it carries another transaction than this one.
    pub(crate) fn is_about_another(&self, known: &Transaction) -> bool {
        self.transaction().is_some_and(|transaction| transaction != known)
    }
}

impl Part {
    /// Why `parts` are no bundle of `transaction`: it names instances of the transaction, at least one, each once, in
    /// order, and either asks acceptors or answers them.
    pub(crate) fn check_bundle(parts: &[Self], transaction: &Transaction) -> Result<(), Refusal> {
        let first = parts.first().ok_or(Refusal::MalformedBundle)?;
        // Participants are in order, too: each part's must be found among those that are left.
        let mut left = transaction.participants().iter();
        let known = parts.iter().all(|part| left.any(|rm| *rm == part.rm));
        let alike = parts.iter().all(|part| part.message.is_request() == first.message.is_request());
        if known && alike { Ok(()) } else { Err(Refusal::MalformedBundle) }
    }

    /// Whether the bundle asks acceptors; otherwise it answers them.
    pub(crate) fn are_requests(parts: &[Self]) -> bool {
        parts.first().is_some_and(|part| part.message.is_request())
    }

    /// Shows every part to `take`. `Ok` if it takes any; otherwise why it refused the first one, or that some ballot is
    /// stale, for that gets an answer.
    pub(crate) fn any(parts: &[Self], mut take: impl FnMut(&Self) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let (mut taken, mut refused) = (false, None);
        for part in parts {
            match take(part) {
                Ok(()) => taken = true,
                Err(Refusal::StaleBallot) => refused = Some(Refusal::StaleBallot),
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        if taken { Ok(()) } else { Err(refused.unwrap_or(Refusal::MalformedBundle)) }
    }
}
