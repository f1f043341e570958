//! Why a machine refuses an input, and why a restore fails.

use crate::{NodeId, TxId};

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// Why a machine refuses an input. A refused input changes nothing but counters, and what a node lists as
        /// violated.
        ///
        /// ```
        /// # use synod::{Machine, Refusal, paxos::{Acceptor, Input}};
        /// let refused = Acceptor::new(None).step_into(Input::Propose("a value"), &mut Vec::new());
        /// assert_eq!(refused, Err(Refusal::NotForThisRole));
        /// assert!(!Refusal::NotForThisRole.is_violation());
        /// ```
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
    /// The ballot is not the sender's: above round 0 it belongs to the node that it names, at round 0 to the owner.
    NotYourBallot = "the ballot does not belong to its sender",
    /// A higher ballot is promised.
    StaleBallot = "a higher ballot is promised",
    /// Violation: this ballot already has another value.
    SecondValue = "this ballot already has another value",
    /// The answer is not about the ballot under way.
    OtherBallot = "the answer is about another ballot",
    /// Violation: the promise reports an acceptance at or above the promised ballot.
    ImpossiblePromise = "the promise reports an acceptance at or above its ballot",
    /// A rejection that names no higher ballot.
    IdleRejection = "the rejection names no higher ballot",
    /// A rejection that names a node that may not propose.
    NotAProposer = "the rejection names a node that may not propose",
    /// A rejection that names a round that nobody can have reached.
    FarBallot = "the rejection names a round that nobody can have reached",
    /// Phase 1 of the ballot is over.
    PhaseIsOver = "phase 1 of this ballot is over",
    /// The sender, or this node, is not an acceptor.
    NotAnAcceptor = "the node is not an acceptor",
    /// No value was proposed yet, or none in this ballot.
    NothingProposed = "nothing was proposed",
    /// A value is already being proposed.
    AlreadyProposed = "a value is already being proposed",
    /// The decision was already made.
    AlreadyDecided = "the decision was already made",
    /// No higher round is left.
    RoundsUsedUp = "no higher round is left",
    /// The sender, or this node, is not a resource manager of the transaction.
    NotAParticipant = "the node is not a resource manager of the transaction",
    /// The sender, this node, or the node that a vote names is not a transaction manager.
    NotAManager = "the node is not a transaction manager",
    /// The transaction is not open here.
    UnknownTransaction = "the transaction is not open here",
    /// Another transaction has this name, with other participants or other content.
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
    /// The message claims to come from this node itself.
    FromSelf = "the message claims to come from this node",
    /// The vote was already given, or is no longer asked for.
    AlreadyVoted = "the vote was already given",
    /// The transaction was aborted before this vote came.
    AlreadyAborted = "the transaction is aborted already",
    /// The outcome is not known yet, so it cannot be finished.
    NoOutcome = "the outcome is not known yet",
    /// Violation: the outcome contradicts what is known here.
    ContradictoryOutcome = "the outcome contradicts what is known",
    /// Violation: the transaction cannot be over: the resource manager here has not finished it, or this node has
    /// fenced it.
    RetiredUnfinished = "the transaction is said to be over, but is not finished here",
    /// A node that may retire only single transactions retires a range of several.
    WideRange = "only a transaction manager may retire many transactions at once",
    /// An earlier write failed: the node must be restored from its storage.
    Fenced = "an earlier write failed",
    /// Time went backwards.
    TimeWentBack = "time went backwards",
    /// The content is not what the transaction is about.
    OtherContent = "the content is not what the transaction is about",
    /// The resource votes on a transaction that it was not asked about.
    NotAsked = "the resource was not asked for this vote",
    /// No number is left to name a transaction.
    NumbersUsedUp = "no number is left to name a transaction",
    /// Violation: the name is this node's own, but this node has not given it.
    NotNamedHere = "the name of the transaction is this node's own, but this node has not given it",
    /// Violation: the node was met under another birth: it has lost its storage, or two nodes use one id.
    OtherBirth = "the node was met under another birth: it has lost its storage, or two nodes use one id",
    /// A participant was never met, and may not exist.
    NeverMet = "a participant was never met: has it been started, and does it connect to this node?",
    /// Too many transactions wait for a participant to finish them.
    ParticipantBehind = "too many transactions wait for a participant to finish them",
    /// The sender has too many open transactions.
    TooManyOfPeer = "the sender has too many open transactions",
    /// Too many nodes were met.
    TooManyNodes = "too many nodes were met",
    /// Transactions wait to be recovered, so no new one is begun.
    Overloaded = "transactions wait to be recovered, so no new one is begun",
    /// An invariant of this node is broken, so the node is silent about the transaction.
    Broken = "an invariant is broken, so this node is silent about the transaction",
    /// The resource reports what it holds prepared, but its votes are recorded here, so that nobody relies on it.
    VotesAreHere = "the votes of the resource are recorded here",
    /// Violation: the resource has carried out a commit, and yet it still finds the transaction prepared.
    CommitLost = "the resource has lost a commit that it had carried out",
    /// The outcomes that come with a range are not of it, out of order, or too many.
    MalformedOutcomes = "the outcomes are not of their range, out of order, or too many",
    /// An operator resolves a transaction in which the resource manager here is not in doubt.
    NotInDoubt = "the resource manager here is not in doubt",
    /// Names are given away one by one to [`MOST_NAMES`](crate::commit::MOST_NAMES) at once.
    BadCount = "no names, or too many at once, are asked for",
    /// The transaction or the message is of an epoch that is over here.
    OldEpoch = "its epoch is over",
    /// The transaction or the message is of an epoch that this node is not in yet.
    NewerEpoch = "this node is not in its epoch yet",
    /// The acceptors of the epoch are frozen, or about to be: the membership changes. Begin again in a moment.
    Changing = "the membership is about to change: begin again in a moment",
    /// Violation: another node in the same epoch has other members, or works in another way.
    OtherMembership = "another node in this epoch has other members: one of them was created with another configuration",
    /// The sender, or a participant, was written off for good.
    Departed = "the node was written off for good",
    /// An id that was a member's once is to be a member's again.
    FormerMember = "an id that was a member's once is never one again: start a new node under a new id",
    /// A membership that no cluster can have.
    MalformedMembership = "no cluster can have this membership",
    /// The sender, or this node, is neither an acceptor nor a transaction manager of the epoch.
    NotAMember = "the node is neither an acceptor nor a transaction manager",
    /// A page that does not follow the ones before it.
    OtherPage = "the page does not follow the ones before it",
    /// A node that is invited to be a member of the next epoch is not in the present one, and does not believe the sender.
    InvitedByStranger = "it is invited by a node that it does not believe: give it the present members",
}

impl Refusal {
    /// Whether this shows that a node broke the protocol or lost its storage. Correct nodes never cause it.
    pub fn is_violation(self) -> bool {
        matches!(
            self,
            Self::ContradictoryOutcome
                | Self::RetiredUnfinished
                | Self::SecondValue
                | Self::ImpossiblePromise
                | Self::NotNamedHere
                | Self::OtherBirth
                | Self::CommitLost
                | Self::OtherMembership
        )
    }
}

/// Which invariant of a node is broken. Correct code on correct storage never breaks one. When it happens, the node is
/// silent about the transaction, lists it, and never lets it be retired.
///
/// [`Status::Fenced`](crate::commit::Status::Fenced) carries it, and [`Metrics::fenced`](crate::commit::Metrics::fenced)
/// counts: see [`Node`](crate::commit::Node) for an example of both.
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
    /// The content of the transaction is not known where it must be.
    #[error("the content of the transaction is not known where it must be")]
    MetaLost,
    /// The roles of the node answered each other without end.
    #[error("the roles of the node answered each other without end")]
    EndlessExchange,
}

/// Why a machine cannot be restored from its records.
///
/// ```
/// # use synod::{NodeId, Quorums, RestoreError, commit::{Cluster, ClusterId, Config, Node}};
/// let me = NodeId(1);
/// let cluster = Cluster::new(ClusterId(*b"a cluster of one"), Quorums::majority([me])?, [me])?;
/// let lost = Node::restore(Config::new(cluster, me, 7), []);
/// assert_eq!(lost.err(), Some(RestoreError::NoIdentity));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum RestoreError {
    /// A value is accepted at a higher ballot than was promised.
    #[error("a value is accepted at a higher ballot than was promised")]
    AcceptedAbovePromise,
    /// An initial ballot was used by, or promised to, a node other than its owner.
    #[error("an initial ballot is held by a node other than its owner")]
    NotTheOwner,
    /// The identity record is missing: a node with a blank disk must not vote.
    #[error(
        "the storage is blank, or lacks its identity record: a node that was a member must not start without its records \
         (if they are lost, start a new node, under an id that was never used)"
    )]
    NoIdentity,
    /// The records belong to another cluster.
    #[error("the storage belongs to another cluster")]
    OtherCluster,
    /// The records belong to another node.
    #[error("the storage belongs to node {0}")]
    OtherNode(NodeId),
    /// There are two different identity records: of two nodes, or of two clusters.
    #[error("the storage holds two different identity records")]
    IdentityChanged,
    /// A later record gives this node, or one that it has met, another birth, or erases it.
    #[error("the storage holds two different births of one node")]
    BirthChanged,
    /// A later record reserves fewer numbers or rounds than an earlier one, counts less that an operator settled, or erases
    /// it.
    #[error(
        "the storage reserves fewer numbers or rounds, or counts less that an operator settled, than it did before"
    )]
    ReservationWentBack,
    /// A later record takes back that transactions are over.
    #[error("the storage takes back that the transactions from {0} on are over")]
    RetirementWentBack(TxId),
    /// There is an acceptor's record, but the node is not an acceptor of its epoch.
    #[error("the storage holds acceptor state of {0}, but the node is not an acceptor")]
    NotAnAcceptor(TxId),
    /// There is a resource manager's record, but the node is not a participant of the transaction.
    #[error("the storage holds a vote in {0}, but the node is not a participant")]
    NotAParticipant(TxId),
    /// The instances of an acceptor's record are malformed, or do not match the participants.
    #[error("the instances in the acceptor state of {0} are malformed, or do not match the participants")]
    WrongInstances(TxId),
    /// A resource manager's record holds a commit without a vote to commit, or neither a vote nor an outcome.
    #[error("the vote and the outcome of {0} contradict each other")]
    ContradictoryOutcome(TxId),
    /// A ballot belongs to a node that may not propose.
    #[error("a ballot in {0} belongs to a node that may not propose")]
    NotAProposer(TxId),
    /// A resource manager's record lacks the content of its transaction, or holds another.
    #[error("the record of {0} lacks the content of the transaction, or holds another")]
    OtherContent(TxId),
    /// A transaction number of this node that other records show to be used is not reserved.
    #[error("the storage holds {0}, but its number is not reserved: the record of reserved numbers is lost or old")]
    UnreservedNumber(TxId),
    /// A round of this node that other records show to be used is not reserved.
    #[error(
        "the storage holds ballot {0} of this node, but its round is not reserved: the record of reserved rounds is lost or old"
    )]
    UnreservedRound(crate::Ballot),
    /// A later record of a resource manager changes or erases its vote, or the node's own acceptor has accepted a vote
    /// of this node that its resource manager's record does not hold.
    #[error("the vote of this node in {0} has changed, or its record is lost")]
    VoteChanged(TxId),
    /// A later record of an acceptor takes back a promise or an acceptance of an earlier one.
    #[error("the acceptor state of {0} goes back on an earlier record")]
    AcceptorWentBack(TxId),
    /// There are more open transactions than can be counted.
    #[error("there are more open transactions than can be counted")]
    TooManyOpen,
    /// A later record of a history takes back how a transaction ended.
    #[error("the history of the block that begins with {0} goes back on an earlier record")]
    HistoryWentBack(TxId),
    /// Two records hold different transactions with the same name.
    #[error("two records hold different transactions with the name {0}")]
    OtherTransaction(TxId),
    /// There is state of an acceptor or of a handover, but no record of an epoch, or one of an epoch before.
    #[error("the storage holds state of an epoch that the node is not in: the record of its epoch is lost or old")]
    OtherEpoch,
    /// A later record of an epoch or of a handover goes back on an earlier one, or contradicts it.
    #[error("the record of the epoch, or of its handover, goes back on an earlier one")]
    EpochWentBack,
    /// The record of an epoch has members that no cluster can have.
    #[error("the record of the epoch has members that no cluster can have")]
    MalformedMembership,
    /// The node has recorded a vote to abort, but the votes of its resource are durable elsewhere: it never votes so.
    #[error("the storage holds a vote to abort {0}, which a node whose votes are durable elsewhere never gives")]
    VotedToAbort(TxId),
}
