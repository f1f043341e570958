//! Between messages and protobuf.
//!
//! Every [`Message`] becomes a [`v1::Message`], and comes back as it was. The other way is strict: what is missing, is not
//! known, or makes no transaction is an error that says so. Protobuf has several encodings of one value, so unlike with
//! the codec, the bytes need not come back as they were.

use alloc::vec::Vec;

use super::v1;
use crate::{
    Ballot, NodeId, TxId,
    commit::{
        ClusterId, EmptyRange, InDoubt, Limits, Message, Outcome, Part, ResourceManagerState, Status, Transaction,
        TransactionError, TransactionSpec, TxRange, Vote,
    },
    paxos,
};

/// Why protobuf makes no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// What must be there is not, or is of a kind that is not known here.
    #[error("{0} is missing, or not known here")]
    Missing(&'static str),
    /// An enum has a value that is not known here, or none.
    #[error("{value} is no {kind}")]
    UnknownValue {
        /// The enum.
        kind: &'static str,
        /// Its value.
        value: i32,
    },
    /// A cluster's id does not have 16 bytes.
    #[error("a cluster's id has 16 bytes, and not {0}")]
    ClusterLength(usize),
    /// A transaction is none.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// A range of transactions is empty.
    #[error(transparent)]
    EmptyRange(#[from] EmptyRange),
}

/// What must be there.
pub(super) trait Needed<T> {
    /// The value, or an error that says `what` is missing.
    fn needed(self, what: &'static str) -> Result<T, WireError>;
}

impl<T> Needed<T> for Option<T> {
    fn needed(self, what: &'static str) -> Result<T, WireError> {
        self.ok_or(WireError::Missing(what))
    }
}

/// A bound on the bytes of a packet's own, without its messages.
pub(super) const PACKET_OVERHEAD: usize = 64;

/// A bound on the bytes that `message` takes in a packet.
pub(super) fn size(message: &Message) -> usize {
    let parts = if let Message::Paxos { parts, .. } = message { parts.len() } else { 0 };
    message.transaction().map_or(0, |transaction| bound(transaction.participants().len(), transaction.meta().len()))
        + FIXED
        + parts * PART
}

/// A bound on the bytes that `in_doubt` takes in a list. That of a transaction within limits is below that of the
/// largest message.
pub(super) fn size_in_doubt(in_doubt: &InDoubt) -> usize {
    bound(in_doubt.transaction.participants().len(), in_doubt.transaction.meta().len()) + FIXED
}

/// A bound on the bytes of the largest message about a transaction within `limits`, with a packet's own.
pub(super) fn largest(limits: Limits) -> usize {
    let parts = limits.participants.saturating_mul(PART + NUMBER);
    parts.saturating_add(limits.meta).saturating_add(FIXED + FIXED + PACKET_OVERHEAD)
}

/// Enough for a number, a tag with it, or the tag and the length of what follows.
const NUMBER: usize = 11;

/// Enough for one part: its own number, two ballots, a vote, and what surrounds them.
const PART: usize = 8 * NUMBER;

/// Enough for all that is neither a participant nor a part.
const FIXED: usize = 8 * NUMBER;

fn bound(participants: usize, meta: usize) -> usize {
    FIXED + participants * NUMBER + meta
}

impl From<TxId> for v1::TxId {
    fn from(tx: TxId) -> Self {
        Self { origin: tx.origin.0, seq: tx.seq }
    }
}

impl From<v1::TxId> for TxId {
    fn from(tx: v1::TxId) -> Self {
        Self { origin: NodeId(tx.origin), seq: tx.seq }
    }
}

impl From<Ballot> for v1::Ballot {
    fn from(ballot: Ballot) -> Self {
        Self { round: ballot.round, node: ballot.node.0 }
    }
}

impl From<v1::Ballot> for Ballot {
    fn from(ballot: v1::Ballot) -> Self {
        Self { round: ballot.round, node: NodeId(ballot.node) }
    }
}

impl From<TxRange> for v1::TxRange {
    fn from(range: TxRange) -> Self {
        Self { origin: range.origin().0, first: range.first().seq, last: range.last().seq }
    }
}

impl TryFrom<v1::TxRange> for TxRange {
    type Error = WireError;

    fn try_from(range: v1::TxRange) -> Result<Self, WireError> {
        Ok(Self::new(NodeId(range.origin), range.first, range.last)?)
    }
}

impl From<&Transaction> for v1::Transaction {
    fn from(transaction: &Transaction) -> Self {
        Self {
            id: Some(transaction.id().into()),
            participants: transaction.participants().iter().map(|node| node.0).collect(),
            meta: transaction.meta().to_vec(),
        }
    }
}

impl TryFrom<v1::Transaction> for Transaction {
    type Error = WireError;

    fn try_from(transaction: v1::Transaction) -> Result<Self, WireError> {
        let id = transaction.id.needed("the transaction's id")?.into();
        let participants = transaction.participants.into_iter().map(NodeId).collect();
        Ok(Self::try_from(TransactionSpec { id, participants, meta: transaction.meta })?)
    }
}

impl From<Vote> for v1::Vote {
    fn from(vote: Vote) -> Self {
        match vote {
            Vote::Prepared => Self::Prepared,
            Vote::Aborted => Self::Aborted,
        }
    }
}

fn vote(value: i32) -> Result<Vote, WireError> {
    match v1::Vote::try_from(value) {
        Ok(v1::Vote::Prepared) => Ok(Vote::Prepared),
        Ok(v1::Vote::Aborted) => Ok(Vote::Aborted),
        Ok(v1::Vote::Unspecified) | Err(_) => Err(WireError::UnknownValue { kind: "vote", value }),
    }
}

impl From<Outcome> for v1::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Committed => Self::Committed,
            Outcome::Aborted => Self::Aborted,
        }
    }
}

pub(super) fn outcome(value: i32) -> Result<Outcome, WireError> {
    match v1::Outcome::try_from(value) {
        Ok(v1::Outcome::Committed) => Ok(Outcome::Committed),
        Ok(v1::Outcome::Aborted) => Ok(Outcome::Aborted),
        Ok(v1::Outcome::Unspecified) | Err(_) => Err(WireError::UnknownValue { kind: "outcome", value }),
    }
}

impl From<&Part> for v1::Part {
    fn from(part: &Part) -> Self {
        use paxos::Message;
        use v1::part::Part;
        let rm = part.rm.0;
        Self {
            part: Some(match part.message {
                Message::Prepare { ballot } => Part::Prepare(v1::Prepare { rm, ballot: Some(ballot.into()) }),
                Message::Promise { ballot, accepted } => Part::Promise(v1::Promise {
                    rm,
                    ballot: Some(ballot.into()),
                    accepted: accepted.map(|(ballot, vote)| v1::Acceptance {
                        ballot: Some(ballot.into()),
                        vote: v1::Vote::from(vote).into(),
                    }),
                }),
                Message::Accept { ballot, value } => {
                    Part::Accept(v1::Accept { rm, ballot: Some(ballot.into()), vote: v1::Vote::from(value).into() })
                }
                Message::Accepted { ballot, value } => {
                    Part::Accepted(v1::Accepted { rm, ballot: Some(ballot.into()), vote: v1::Vote::from(value).into() })
                }
                Message::Reject { ballot, promised } => {
                    Part::Reject(v1::Reject { rm, ballot: Some(ballot.into()), promised: Some(promised.into()) })
                }
            }),
        }
    }
}

impl TryFrom<v1::Part> for Part {
    type Error = WireError;

    fn try_from(part: v1::Part) -> Result<Self, WireError> {
        use v1::part::Part;
        match part.part.needed("the part of a bundle")? {
            Part::Prepare(part) => part.try_into(),
            Part::Promise(part) => part.try_into(),
            Part::Accept(part) => part.try_into(),
            Part::Accepted(part) => part.try_into(),
            Part::Reject(part) => part.try_into(),
        }
    }
}

impl TryFrom<v1::Prepare> for Part {
    type Error = WireError;

    fn try_from(part: v1::Prepare) -> Result<Self, WireError> {
        let message = paxos::Message::Prepare { ballot: ballot(part.ballot)? };
        Ok(Self { rm: NodeId(part.rm), message })
    }
}

impl TryFrom<v1::Promise> for Part {
    type Error = WireError;

    fn try_from(part: v1::Promise) -> Result<Self, WireError> {
        let accepted =
            part.accepted.map(|accepted| Ok::<_, WireError>((ballot(accepted.ballot)?, vote(accepted.vote)?)));
        let message = paxos::Message::Promise { ballot: ballot(part.ballot)?, accepted: accepted.transpose()? };
        Ok(Self { rm: NodeId(part.rm), message })
    }
}

impl TryFrom<v1::Accept> for Part {
    type Error = WireError;

    fn try_from(part: v1::Accept) -> Result<Self, WireError> {
        let message = paxos::Message::Accept { ballot: ballot(part.ballot)?, value: vote(part.vote)? };
        Ok(Self { rm: NodeId(part.rm), message })
    }
}

impl TryFrom<v1::Accepted> for Part {
    type Error = WireError;

    fn try_from(part: v1::Accepted) -> Result<Self, WireError> {
        let message = paxos::Message::Accepted { ballot: ballot(part.ballot)?, value: vote(part.vote)? };
        Ok(Self { rm: NodeId(part.rm), message })
    }
}

impl TryFrom<v1::Reject> for Part {
    type Error = WireError;

    fn try_from(part: v1::Reject) -> Result<Self, WireError> {
        let message = paxos::Message::Reject { ballot: ballot(part.ballot)?, promised: ballot(part.promised)? };
        Ok(Self { rm: NodeId(part.rm), message })
    }
}

fn ballot(ballot: Option<v1::Ballot>) -> Result<Ballot, WireError> {
    ballot.map(Ballot::from).needed("a ballot")
}

/// A transaction that must be there.
pub(super) fn transaction(transaction: Option<v1::Transaction>) -> Result<Transaction, WireError> {
    transaction.needed("the transaction")?.try_into()
}

/// A range that must be there.
pub(super) fn range(range: Option<v1::TxRange>) -> Result<TxRange, WireError> {
    range.needed("the range of transactions")?.try_into()
}

/// Parts of one kind as a bundle.
pub(super) fn bundle<P>(of: Option<v1::Transaction>, instances: Vec<P>) -> Result<Message, WireError>
where
    Part: TryFrom<P, Error = WireError>,
{
    let parts = instances.into_iter().map(Part::try_from).collect::<Result<_, _>>()?;
    Ok(Message::Paxos { transaction: transaction(of)?, parts })
}

impl TryFrom<v1::InitialVote> for Message {
    type Error = WireError;

    fn try_from(initial: v1::InitialVote) -> Result<Self, WireError> {
        let (transaction, vote) = (transaction(initial.transaction)?, vote(initial.vote)?);
        Ok(Self::Vote { transaction, vote, manager: NodeId(initial.manager) })
    }
}

impl TryFrom<v1::Ending> for (Transaction, Outcome) {
    type Error = WireError;

    fn try_from(ending: v1::Ending) -> Result<Self, WireError> {
        Ok((transaction(ending.transaction)?, outcome(ending.outcome)?))
    }
}

/// A vote that must be there.
pub(super) fn initial_vote(vote: Option<v1::InitialVote>) -> Result<Message, WireError> {
    vote.needed("the vote")?.try_into()
}

/// An outcome carried out, that must be there.
pub(super) fn finished(ending: Option<v1::Ending>) -> Result<Message, WireError> {
    let (transaction, outcome) = ending.needed("the ending")?.try_into()?;
    Ok(Message::Finished { transaction, outcome })
}

impl From<&Message> for v1::Message {
    fn from(message: &Message) -> Self {
        use v1::message::Message as Wire;
        let ending = |transaction: &Transaction, outcome: Outcome| v1::Ending {
            transaction: Some(transaction.into()),
            outcome: v1::Outcome::from(outcome).into(),
        };
        Self {
            message: Some(match message {
                Message::Begin { transaction } => Wire::Begin(transaction.into()),
                Message::Prepare { transaction } => Wire::Prepare(transaction.into()),
                Message::Vote { transaction, vote, manager } => Wire::Vote(v1::InitialVote {
                    transaction: Some(transaction.into()),
                    vote: v1::Vote::from(*vote).into(),
                    manager: manager.0,
                }),
                Message::Paxos { transaction, parts } => Wire::Paxos(v1::Bundle {
                    transaction: Some(transaction.into()),
                    parts: parts.iter().map(v1::Part::from).collect(),
                }),
                Message::Inquire { transaction } => Wire::Inquire(transaction.into()),
                Message::Outcome { transaction, outcome } => Wire::Outcome(ending(transaction, *outcome)),
                Message::Finished { transaction, outcome } => Wire::Finished(ending(transaction, *outcome)),
                Message::Retired { range } => Wire::Retired((*range).into()),
                Message::RetiredNoted { range } => Wire::RetiredNoted((*range).into()),
            }),
        }
    }
}

impl TryFrom<v1::Message> for Message {
    type Error = WireError;

    fn try_from(message: v1::Message) -> Result<Self, WireError> {
        use v1::message::Message as Wire;
        Ok(match message.message.needed("what a message says")? {
            Wire::Begin(transaction) => Self::Begin { transaction: transaction.try_into()? },
            Wire::Prepare(transaction) => Self::Prepare { transaction: transaction.try_into()? },
            Wire::Vote(initial) => initial.try_into()?,
            Wire::Paxos(wire) => bundle(wire.transaction, wire.parts)?,
            Wire::Inquire(transaction) => Self::Inquire { transaction: transaction.try_into()? },
            Wire::Outcome(ending) => {
                let (transaction, outcome) = ending.try_into()?;
                Self::Outcome { transaction, outcome }
            }
            Wire::Finished(ending) => {
                let (transaction, outcome) = ending.try_into()?;
                Self::Finished { transaction, outcome }
            }
            Wire::Retired(range) => Self::Retired { range: range.try_into()? },
            Wire::RetiredNoted(range) => Self::RetiredNoted { range: range.try_into()? },
        })
    }
}

/// A cluster's id from its bytes.
pub(super) fn cluster(bytes: &[u8]) -> Result<ClusterId, WireError> {
    bytes.try_into().map(ClusterId).map_err(|_| WireError::ClusterLength(bytes.len()))
}

impl From<Status> for v1::StatusReply {
    fn from(status: Status) -> Self {
        let (phase, state, outcome) = match status {
            Status::Unknown => (v1::Phase::Unknown, None, None),
            Status::Open { state, outcome } => (v1::Phase::Open, state, outcome),
            Status::Retired => (v1::Phase::Retired, None, None),
        };
        let state = state.map_or(v1::ResourceState::Unspecified, v1::ResourceState::from);
        let outcome = outcome.map_or(v1::Outcome::Unspecified, v1::Outcome::from);
        Self { phase: phase.into(), state: state.into(), outcome: outcome.into() }
    }
}

impl TryFrom<v1::StatusReply> for Status {
    type Error = WireError;

    fn try_from(reply: v1::StatusReply) -> Result<Self, WireError> {
        match v1::Phase::try_from(reply.phase) {
            Ok(v1::Phase::Unknown) => Ok(Self::Unknown),
            Ok(v1::Phase::Retired) => Ok(Self::Retired),
            Ok(v1::Phase::Open) => {
                let known = reply.outcome != i32::from(v1::Outcome::Unspecified);
                let outcome = known.then(|| outcome(reply.outcome)).transpose()?;
                Ok(Self::Open { state: state(reply.state)?, outcome })
            }
            Ok(v1::Phase::Unspecified) | Err(_) => Err(WireError::UnknownValue { kind: "phase", value: reply.phase }),
        }
    }
}

impl From<ResourceManagerState> for v1::ResourceState {
    fn from(state: ResourceManagerState) -> Self {
        match state {
            ResourceManagerState::Working => Self::Working,
            ResourceManagerState::Prepared => Self::Prepared,
            ResourceManagerState::Committed => Self::Committed,
            ResourceManagerState::Aborted => Self::Aborted,
        }
    }
}

fn state(value: i32) -> Result<Option<ResourceManagerState>, WireError> {
    match v1::ResourceState::try_from(value) {
        Ok(v1::ResourceState::Unspecified) => Ok(None),
        Ok(v1::ResourceState::Working) => Ok(Some(ResourceManagerState::Working)),
        Ok(v1::ResourceState::Prepared) => Ok(Some(ResourceManagerState::Prepared)),
        Ok(v1::ResourceState::Committed) => Ok(Some(ResourceManagerState::Committed)),
        Ok(v1::ResourceState::Aborted) => Ok(Some(ResourceManagerState::Aborted)),
        Err(_) => Err(WireError::UnknownValue { kind: "state of a resource", value }),
    }
}

impl From<&InDoubt> for v1::InDoubt {
    fn from(in_doubt: &InDoubt) -> Self {
        Self {
            transaction: Some((&in_doubt.transaction).into()),
            state: v1::ResourceState::from(in_doubt.state).into(),
            age: in_doubt.age,
        }
    }
}

impl TryFrom<v1::InDoubt> for InDoubt {
    type Error = WireError;

    fn try_from(in_doubt: v1::InDoubt) -> Result<Self, WireError> {
        let transaction = transaction(in_doubt.transaction)?;
        Ok(Self { transaction, state: state(in_doubt.state)?.needed("the state")?, age: in_doubt.age })
    }
}

#[cfg(all(test, feature = "proptest"))]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use prost::Message as _;

    use super::*;
    use crate::strategies;

    /// Any message, perhaps much longer than usual.
    fn long_message() -> impl Strategy<Value = Message> {
        let long = (0..100_000_usize, 1..300_u64, strategies::any_message()).prop_map(|(meta, nodes, message)| {
            let highest = (0..nodes).map(|less| NodeId(u64::MAX - less));
            let transaction = Transaction::new(
                TxId { origin: NodeId(u64::MAX), seq: u64::MAX },
                highest.collect::<Vec<_>>(),
                alloc::vec![0; meta],
            );
            match (message, transaction) {
                (Message::Paxos { parts, .. }, Ok(transaction)) => {
                    Message::Paxos { parts: parts.into_iter().cycle().take(nodes as usize).collect(), transaction }
                }
                (Message::Vote { vote, manager, .. }, Ok(transaction)) => Message::Vote { transaction, vote, manager },
                (message, _) => message,
            }
        });
        prop_oneof![strategies::any_message(), long]
    }

    proptest! {
        #[test]
        fn a_packet_is_no_larger_than_its_bound(messages in vec(long_message(), 0..4)) {
            let route = v1::Route { cluster: alloc::vec![255; 16], from: u64::MAX, to: u64::MAX };
            let bound = PACKET_OVERHEAD + messages.iter().map(size).sum::<usize>();
            let packet = v1::Packet { route: Some(route), messages: messages.iter().map(v1::Message::from).collect() };
            prop_assert!(packet.encoded_len() <= bound, "{} > {bound}", packet.encoded_len());
        }

        #[test]
        fn no_message_within_limits_is_larger_than_the_largest(message in long_message()) {
            let (participants, meta) = message.transaction().map_or((0, 0), |transaction| {
                (transaction.participants().len(), transaction.meta().len())
            });
            let parts = if let Message::Paxos { parts, .. } = &message { parts.len() } else { 0 };
            prop_assume!(parts <= participants);
            let limits = Limits { open: 1, participants, meta };
            prop_assert!(size(&message) + PACKET_OVERHEAD <= largest(limits));
        }
    }
}
