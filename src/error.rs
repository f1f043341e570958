//! Why a machine refuses an input, and why a restore fails.

use crate::{NodeId, TxId};

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// Why a machine refuses an input. A refused input changes nothing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[non_exhaustive]
        pub enum Refusal {
            $($(#[doc = $doc])+ #[error($text)] $name,)+
        }

        impl Refusal {
            /// Every reason, in order.
            pub const ALL: &[Self] = &[$(Self::$name),+];
        }
    };
}

refusals! {
    /// The input is for another role.
    NotForThisRole = "the input is for another role",
    /// Above round 0 a ballot is its sender's; at round 0, the owner's.
    NotYourBallot = "the ballot is not its sender's",
    /// A higher ballot is promised.
    StaleBallot = "a higher ballot is promised",
    /// Violation: there is another value in this ballot already.
    SecondValue = "there is another value in this ballot already",
    /// The answer is not about the ballot under way.
    OtherBallot = "the answer is about another ballot",
    /// Violation: the promise tells of an acceptance at or above the promised ballot.
    ImpossiblePromise = "the promise tells of an acceptance that it rules out",
    /// A rejection by a ballot that is no higher.
    IdleRejection = "the rejection names no higher ballot",
    /// A rejection in the name of a node that may not propose.
    NotAProposer = "the rejection names a node that may not propose",
    /// A rejection by a round that nobody can have reached.
    FarBallot = "the rejection names a round that nobody can have reached",
    /// Phase 1 of the ballot is over.
    PhaseIsOver = "phase 1 of this ballot is over",
    /// The sender is not an acceptor, or this node is not.
    NotAnAcceptor = "the node is not an acceptor",
    /// There is nothing to propose, or nothing was proposed in this ballot.
    NothingProposed = "nothing was proposed",
    /// A value is being proposed already.
    AlreadyProposed = "a value is being proposed already",
    /// The decision is made.
    AlreadyDecided = "the decision is made",
    /// No higher round is left.
    RoundsUsedUp = "no higher round is left",
    /// The sender is not a resource manager of the transaction, or this node is not.
    NotAParticipant = "the node is not a resource manager of the transaction",
    /// The sender is not a transaction manager, or this node is not, or the vote names a node that is not.
    NotAManager = "the node is not a transaction manager",
    /// The transaction is not open here.
    UnknownTransaction = "the transaction is not open here",
    /// The transaction goes by the name of one, with other participants or other content.
    OtherTransaction = "another transaction has this name",
    /// The transaction is over.
    Retired = "the transaction is over",
    /// There are too many open transactions.
    TooManyOpen = "too many transactions are open",
    /// The transaction has too many participants.
    TooManyParticipants = "the transaction has too many participants",
    /// The transaction's content is too long.
    MetaTooLong = "the transaction's content is too long",
    /// A bundle is empty, out of order, or names an instance that the transaction does not have.
    MalformedBundle = "the bundle is malformed",
    /// A message from oneself did not come from outside.
    FromSelf = "the message claims to come from this node",
    /// The vote was given already, or is not asked for any more.
    AlreadyVoted = "the vote was given already",
    /// The transaction was aborted before this vote came.
    AlreadyAborted = "the transaction is aborted already",
    /// There is no outcome that could be finished.
    NoOutcome = "the outcome is not known yet",
    /// Violation: the outcome contradicts what is known here.
    ContradictoryOutcome = "the outcome contradicts what is known",
    /// Violation: a transaction cannot be over while a resource manager has not finished it.
    RetiredUnfinished = "the transaction is said to be over, but is not finished here",
    /// A range of several transactions is retired by a node that may retire just one.
    WideRange = "only a transaction manager may retire many transactions at once",
    /// An earlier write failed: the node must be restored from its storage.
    Fenced = "an earlier write failed",
    /// Time went backwards.
    TimeWentBack = "time went backwards",
    /// The content that came along is not what the transaction is about.
    OtherContent = "the content is not what the transaction is about",
    /// The resource votes on a transaction that it was not asked about.
    NotAsked = "the resource was not asked for this vote",
    /// No number is left to name a transaction with.
    NumbersUsedUp = "no number is left to name a transaction with",
    /// Violation: a name of this node's own, which it has not given.
    NotNamedHere = "the transaction goes by a name of this node's own that it has not given",
    /// An invariant of this node is broken: it is silent about the transaction.
    Broken = "an invariant is broken, so this node is silent about the transaction",
}

impl Refusal {
    /// Whether this shows that someone broke the protocol or lost its storage: correct nodes never cause it.
    pub fn is_violation(self) -> bool {
        matches!(
            self,
            Self::ContradictoryOutcome
                | Self::RetiredUnfinished
                | Self::SecondValue
                | Self::ImpossiblePromise
                | Self::NotNamedHere
        )
    }
}

/// Which invariant of a node is broken. It never happens to correct code on correct storage; when it does, the node is
/// silent about the transaction, lists it, and never lets it be retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Fence {
    /// An acceptor's record would have gone back on a promise or an acceptance.
    #[error("an acceptor would have gone back on a promise or an acceptance")]
    AcceptorWentBack,
    /// A resource manager would have gone back on its vote or its outcome.
    #[error("a resource manager would have gone back on its vote or its outcome")]
    ResourceManagerWentBack,
    /// What the transaction is about is not known where it must be.
    #[error("what the transaction is about is not known where it must be")]
    MetaLost,
    /// The roles of the node answered each other without end.
    #[error("the roles of the node answered each other without end")]
    EndlessExchange,
}

/// Why records do not make a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum RestoreError {
    /// A value is accepted at a higher ballot than was promised.
    #[error("a value is accepted at a higher ballot than was promised")]
    AcceptedAbovePromise,
    /// An initial ballot was used by, or promised to, another than its owner.
    #[error("an initial ballot is held by another than its owner")]
    NotTheOwner,
    /// There is no identity record: a blank disk, or another's, does not vote.
    #[error(
        "the storage is blank, or lacks its identity record: a node that was a member must not start without its records \
         (if they are lost, start a new node, under an id that was never used)"
    )]
    NoIdentity,
    /// The records are another cluster's.
    #[error("the storage belongs to another cluster")]
    OtherCluster,
    /// The records are another node's.
    #[error("the storage belongs to node {0}")]
    OtherNode(NodeId),
    /// There are identity records of two nodes, or of two clusters.
    #[error("the storage holds the identity records of two nodes")]
    IdentityChanged,
    /// A later record of reserved numbers or rounds reserves fewer than an earlier one.
    #[error("the storage reserves fewer numbers, or fewer rounds, than an earlier record")]
    ReservationWentBack,
    /// A later record takes back that transactions are over.
    #[error("the storage takes back that the transactions from {0} on are over")]
    RetirementWentBack(TxId),
    /// An acceptor's record at a node that the configuration does not call an acceptor.
    #[error("the storage holds acceptor state of {0}, but the node is not an acceptor")]
    NotAnAcceptor(TxId),
    /// A resource manager's record of a transaction that the node has no part in.
    #[error("the storage holds a vote in {0}, but the node is not a participant")]
    NotAParticipant(TxId),
    /// An acceptor's record that does not have one instance per participant.
    #[error("the acceptor state of {0} does not have one instance per participant")]
    WrongInstances(TxId),
    /// A resource manager finished a commit that it never prepared, or never voted at all.
    #[error("the vote and the outcome of {0} contradict each other")]
    ContradictoryOutcome(TxId),
    /// A ballot is promised to a node that may not propose.
    #[error("a ballot in {0} is promised to a node that may not propose")]
    NotAProposer(TxId),
    /// A resource manager's record does not hold what the transaction is about.
    #[error("the record of {0} does not hold what the transaction is about")]
    OtherContent(TxId),
    /// A number below those that the other records show to be used is not reserved.
    #[error("the storage holds {0}, but its number is not reserved: the record of reserved numbers is lost or old")]
    UnreservedNumber(TxId),
    /// A round of this node's that the other records show to be used is not reserved.
    #[error(
        "the storage holds ballot {0} of this node, but its round is not reserved: the record of reserved rounds is lost or old"
    )]
    UnreservedRound(crate::Ballot),
    /// A later record of a resource manager's vote goes back on an earlier one, or what the node's own acceptor has
    /// accepted proves another vote of its resource manager than the one that is recorded.
    #[error("the vote of this node in {0} has changed, or its record is lost")]
    VoteChanged(TxId),
    /// A later record of an acceptor goes back on a promise or an acceptance of an earlier one.
    #[error("the acceptor state of {0} goes back on an earlier record")]
    AcceptorWentBack(TxId),
    /// There are more open transactions than can be counted.
    #[error("there are more open transactions than can be counted")]
    TooManyOpen,
    /// A resource manager is prepared in a transaction that is retired.
    #[error("the storage says that {0} is over, but the node is prepared in it and has not finished it")]
    RetiredUnfinished(TxId),
    /// Two records hold different transactions of one name.
    #[error("two records hold different transactions of the name {0}")]
    OtherTransaction(TxId),
}
