//! Between messages and protobuf.
//!
//! Every [`Message`] becomes a [`v1::Message`], and comes back as it was. The other way is strict: what is missing, is not
//! known, or makes no transaction is an error that says so, and whether it may be a newer node's. Protobuf has several
//! encodings of one value, so unlike with the codec, the bytes need not come back as they were.

mod epochs;
mod status;

pub(crate) use self::epochs::membership;

use synod::{
    Ballot, NodeId, QuorumError, TxId,
    commit::{
        Acceptance, ClusterId, EmptyRange, InDoubt, Limits, MalformedBlock, Message, Meta, Obstacle, Outcome,
        OutcomeBlock, Outcomes, Places, Promises, Transaction, TransactionError, TransactionSpec, TxRange, Vote, Votes,
        What,
    },
};

use crate::v1;

/// Why protobuf was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// What must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A message is of a kind that is not known here: a newer node's, or empty.
    #[error("{0} is of a kind that is not known here, or missing")]
    UnknownKind(&'static str),
    /// An enum has a value that is not known here. One of zero is said by nobody.
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
    /// A participant is prepared without having voted.
    #[error("a participant is in `prepared` and not in `cast`")]
    UncastVote,
    /// The last word of a set of places is zero, so that the set is shorter without it.
    #[error("the last word of `{0}` is zero")]
    IdleWord(&'static str),
    /// A transaction was rejected.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// A range of transactions is empty.
    #[error(transparent)]
    EmptyRange(#[from] EmptyRange),
    /// A quorum system was rejected.
    #[error(transparent)]
    Quorums(#[from] QuorumError),
    /// A list that should be in ascending order, each node once, is not.
    #[error("`{0}` is not in ascending order")]
    Unsorted(&'static str),
    /// A block of outcomes was rejected.
    #[error(transparent)]
    MalformedBlock(#[from] MalformedBlock),
}

impl WireError {
    /// Whether a newer node may say this, and mean something by it. Zero is the value of an enum that was left out.
    pub fn is_news(&self) -> bool {
        match self {
            Self::UnknownKind(_) => true,
            Self::UnknownValue { value, .. } => *value != 0,
            _ => false,
        }
    }
}

/// What must be there.
pub(crate) trait Needed<T> {
    /// The value, or an error that says `what` is missing.
    fn needed(self, what: &'static str) -> Result<T, WireError>;
}

impl<T> Needed<T> for Option<T> {
    fn needed(self, what: &'static str) -> Result<T, WireError> {
        self.ok_or(WireError::Missing(what))
    }
}

/// The versions of the protocol that are spoken here.
pub(crate) const VERSIONS: v1::Versions = v1::Versions { oldest: 1, newest: 1 };

/// The newest version that is spoken here and by a node that speaks `theirs`; an error that says what to do if there is
/// none. A node of the first release says nothing of versions, and speaks the first.
pub(crate) fn common_version(theirs: Option<v1::Versions>) -> Result<u32, String> {
    let theirs = theirs.unwrap_or(v1::Versions { oldest: 1, newest: 1 });
    let newest = VERSIONS.newest.min(theirs.newest);
    if newest >= VERSIONS.oldest.max(theirs.oldest) {
        return Ok(newest);
    }
    let (older, v1::Versions { oldest: from, newest: to }) =
        if theirs.newest < VERSIONS.oldest { ("the other node", VERSIONS) } else { ("this node", theirs) };
    Err(format!("no version of the protocol in common: upgrade {older} to one that speaks version {from} to {to}"))
}

/// A bound on the bytes of a packet's own, without its messages.
pub(crate) const PACKET_OVERHEAD: usize = 64;

/// A bound on the bytes that `message` takes in a packet.
pub(crate) fn size(message: &Message) -> usize {
    let (transaction, what) = match message {
        Message::About { transaction, what } => (transaction, what),
        Message::Retired { outcomes, .. } => return FIXED + outcomes.blocks().len() * BLOCK,
        Message::RetiredNoted { .. } => return FIXED,
        Message::Epoch { what, .. } => return epochs::size(what),
    };
    let sets = |sets: &[&Places]| sets.iter().map(|set| set.words().count() * WORD).sum::<usize>();
    let said = match what {
        What::Begin { meta } => meta.bytes().len(),
        What::Prepare { meta, acceptors } => meta.bytes().len() + sets(&[acceptors]),
        What::Phase1a { instances, .. } => sets(&[instances]),
        What::Phase1b { promises, .. } => {
            let Promises { instances, votes, higher } = &**promises;
            sets(&[instances, votes.cast(), votes.prepared()]) + higher.len() * PART
        }
        What::Phase2a { votes, .. } => sets(&[votes.cast(), votes.prepared()]),
        What::Phase2b { votes, higher } => sets(&[votes.cast(), votes.prepared()]) + higher.len() * PART,
        What::Reject { promised, .. } => promised.len() * PART,
        What::Vote { .. }
        | What::Inquire
        | What::Decline
        | What::Wait
        | What::OtherTransaction
        | What::Outcome(_)
        | What::Finished(_) => 0,
    };
    bound(transaction.participants().len()) + FIXED + said
}

/// A bound on the bytes that `in_doubt` takes in a list. That of a transaction within limits is below that of the
/// largest message.
pub(crate) fn size_in_doubt(in_doubt: &InDoubt) -> usize {
    bound(in_doubt.transaction.participants().len()) + FIXED
}

/// A bound on the bytes of the largest message within `limits`, with a packet's own: about a transaction, or about a
/// range with the outcomes of 16 blocks.
pub(crate) fn largest(limits: &Limits) -> usize {
    // Three sets of instances have less than a word for each participant, and some.
    let parts = limits.participants.saturating_mul(PART + NUMBER + WORD);
    let about = parts.saturating_add(limits.meta).saturating_add(FIXED + 3 * WORD);
    about.max(16 * BLOCK).saturating_add(FIXED + PACKET_OVERHEAD)
}

/// Enough for any message about an epoch: what is long is told in pages. With less room, the membership cannot change.
#[cfg(test)]
pub(crate) const EPOCH: usize = 1 << 19;

/// Enough for a number, a tag with it, or the tag and the length of what follows.
const NUMBER: usize = 11;

/// Enough for one word of a set.
const WORD: usize = 8;

/// Enough for one part: its own number, a ballot, a vote, and what surrounds them.
const PART: usize = 6 * NUMBER;

/// Enough for one block of outcomes.
const BLOCK: usize = 3 * NUMBER;

/// Enough for all that is neither a participant nor a part.
const FIXED: usize = 12 * NUMBER;

fn bound(participants: usize) -> usize {
    FIXED + participants * NUMBER
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
            content: transaction.content(),
            epoch: transaction.epoch(),
        }
    }
}

impl TryFrom<v1::Transaction> for Transaction {
    type Error = WireError;

    fn try_from(transaction: v1::Transaction) -> Result<Self, WireError> {
        let id = transaction.id.needed("the transaction's id")?.into();
        let participants = transaction.participants.into_iter().map(NodeId).collect();
        let (epoch, content) = (transaction.epoch, transaction.content);
        Ok(Self::try_from(TransactionSpec { id, epoch, participants, content })?)
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

pub(crate) fn outcome(value: i32) -> Result<Outcome, WireError> {
    match v1::Outcome::try_from(value) {
        Ok(v1::Outcome::Committed) => Ok(Outcome::Committed),
        Ok(v1::Outcome::Aborted) => Ok(Outcome::Aborted),
        Ok(v1::Outcome::Unspecified) | Err(_) => Err(WireError::UnknownValue { kind: "outcome", value }),
    }
}

/// A ballot that must be there.
fn ballot(ballot: Option<v1::Ballot>, what: &'static str) -> Result<Ballot, WireError> {
    ballot.map(Ballot::from).needed(what)
}

/// A transaction that must be there.
fn transaction(transaction: Option<v1::Transaction>) -> Result<Transaction, WireError> {
    transaction.needed("the transaction")?.try_into()
}

/// A range that must be there.
pub(crate) fn range(range: Option<v1::TxRange>) -> Result<TxRange, WireError> {
    range.needed("the range of transactions")?.try_into()
}

/// What is said about a transaction that must be there.
pub(crate) fn about(of: Option<v1::Transaction>, what: Result<What, WireError>) -> Result<Message, WireError> {
    Ok(Message::About { transaction: transaction(of)?, what: what? })
}

fn words(places: &Places) -> Vec<u64> {
    if places.is_empty() { Vec::new() } else { places.words().collect() }
}

/// The set of places whose words are in `field`.
fn places(words: Vec<u64>, field: &'static str) -> Result<Places, WireError> {
    if words.last() == Some(&0) { Err(WireError::IdleWord(field)) } else { Ok(Places::from_words(words)) }
}

impl From<&Votes> for v1::Votes {
    fn from(votes: &Votes) -> Self {
        Self { cast: words(votes.cast()), prepared: words(votes.prepared()) }
    }
}

/// Votes that must be there.
fn votes(votes: Option<v1::Votes>) -> Result<Votes, WireError> {
    let v1::Votes { cast, prepared } = votes.needed("the votes")?;
    Votes::new(places(cast, "cast")?, places(prepared, "prepared")?).ok_or(WireError::UncastVote)
}

impl From<&Acceptance> for v1::Acceptance {
    fn from(accepted: &Acceptance) -> Self {
        Self { rm: accepted.rm.0, ballot: Some(accepted.ballot.into()), vote: v1::Vote::from(accepted.vote).into() }
    }
}

fn acceptances(higher: Vec<v1::Acceptance>) -> Result<Box<[Acceptance]>, WireError> {
    let acceptance = |of: v1::Acceptance| {
        let ballot = ballot(of.ballot, "the ballot of an acceptance")?;
        Ok(Acceptance { rm: NodeId(of.rm), ballot, vote: vote(of.vote)? })
    };
    higher.into_iter().map(acceptance).collect()
}

impl From<&Obstacle> for v1::Obstacle {
    fn from(obstacle: &Obstacle) -> Self {
        Self { rm: obstacle.rm.0, promised: Some(obstacle.promised.into()) }
    }
}

impl From<&What> for v1::about::What {
    fn from(what: &What) -> Self {
        let all = |higher: &[Acceptance]| higher.iter().map(v1::Acceptance::from).collect();
        match what {
            What::Begin { meta } => Self::Begin(v1::Begin { meta: meta.bytes().to_vec() }),
            What::Prepare { meta, acceptors } => {
                Self::Prepare(v1::Prepare { meta: meta.bytes().to_vec(), acceptors: words(acceptors) })
            }
            What::Vote { vote, manager } => {
                Self::Vote(v1::InitialVote { vote: v1::Vote::from(*vote).into(), manager: manager.0 })
            }
            What::Phase1a { ballot, instances } => {
                Self::Phase1a(v1::Phase1a { ballot: Some((*ballot).into()), instances: words(instances) })
            }
            What::Phase1b { ballot, promises } => Self::Phase1b(v1::Phase1b {
                ballot: Some((*ballot).into()),
                instances: words(&promises.instances),
                votes: Some((&promises.votes).into()),
                higher: all(&promises.higher),
            }),
            What::Phase2a { ballot, votes } => {
                Self::Phase2a(v1::Phase2a { ballot: Some((*ballot).into()), votes: Some(votes.into()) })
            }
            What::Phase2b { votes, higher } => {
                Self::Phase2b(v1::Phase2b { votes: Some(votes.into()), higher: all(higher) })
            }
            What::Reject { ballot, promised } => Self::Reject(v1::Reject {
                ballot: Some((*ballot).into()),
                promised: promised.iter().map(v1::Obstacle::from).collect(),
            }),
            What::Inquire => Self::Inquire(v1::Inquire {}),
            What::Outcome(outcome) => Self::Outcome(v1::Outcome::from(*outcome).into()),
            What::Finished(outcome) => Self::Finished(v1::Outcome::from(*outcome).into()),
            What::Decline => Self::Decline(v1::Decline {}),
            What::Wait => Self::Wait(v1::Wait {}),
            What::OtherTransaction => Self::OtherTransaction(v1::OtherTransaction {}),
        }
    }
}

impl TryFrom<v1::InitialVote> for What {
    type Error = WireError;

    fn try_from(initial: v1::InitialVote) -> Result<Self, WireError> {
        Ok(Self::Vote { vote: vote(initial.vote)?, manager: NodeId(initial.manager) })
    }
}

impl TryFrom<v1::Phase1a> for What {
    type Error = WireError;

    fn try_from(phase: v1::Phase1a) -> Result<Self, WireError> {
        let ballot = ballot(phase.ballot, "the ballot")?;
        Ok(Self::Phase1a { ballot, instances: places(phase.instances, "instances")? })
    }
}

impl TryFrom<v1::Phase1b> for What {
    type Error = WireError;

    fn try_from(phase: v1::Phase1b) -> Result<Self, WireError> {
        let ballot = ballot(phase.ballot, "the ballot")?;
        let (instances, votes) = (places(phase.instances, "instances")?, votes(phase.votes)?);
        let promises = Promises { instances, votes, higher: acceptances(phase.higher)? };
        Ok(Self::Phase1b { ballot, promises: Box::new(promises) })
    }
}

impl TryFrom<v1::Phase2a> for What {
    type Error = WireError;

    fn try_from(phase: v1::Phase2a) -> Result<Self, WireError> {
        Ok(Self::Phase2a { ballot: ballot(phase.ballot, "the ballot")?, votes: votes(phase.votes)? })
    }
}

impl TryFrom<v1::Phase2b> for What {
    type Error = WireError;

    fn try_from(phase: v1::Phase2b) -> Result<Self, WireError> {
        Ok(Self::Phase2b { votes: votes(phase.votes)?, higher: acceptances(phase.higher)? })
    }
}

impl TryFrom<v1::Reject> for What {
    type Error = WireError;

    fn try_from(reject: v1::Reject) -> Result<Self, WireError> {
        let refused = ballot(reject.ballot, "the ballot")?;
        let obstacle = |of: v1::Obstacle| {
            Ok(Obstacle { rm: NodeId(of.rm), promised: ballot(of.promised, "the promised ballot")? })
        };
        let promised = reject.promised.into_iter().map(obstacle).collect::<Result<_, WireError>>()?;
        Ok(Self::Reject { ballot: refused, promised })
    }
}

impl TryFrom<v1::about::What> for What {
    type Error = WireError;

    fn try_from(what: v1::about::What) -> Result<Self, WireError> {
        use v1::about::What as Wire;
        match what {
            Wire::Begin(begin) => Ok(Self::Begin { meta: Meta::from(begin.meta) }),
            Wire::Prepare(prepare) => {
                let acceptors = places(prepare.acceptors, "the acceptors")?;
                Ok(Self::Prepare { meta: Meta::from(prepare.meta), acceptors })
            }
            Wire::Vote(vote) => vote.try_into(),
            Wire::Phase1a(phase) => phase.try_into(),
            Wire::Phase1b(phase) => phase.try_into(),
            Wire::Phase2a(phase) => phase.try_into(),
            Wire::Phase2b(phase) => phase.try_into(),
            Wire::Reject(reject) => reject.try_into(),
            Wire::Inquire(_) => Ok(Self::Inquire),
            Wire::Outcome(ended) => outcome(ended).map(Self::Outcome),
            Wire::Finished(ended) => outcome(ended).map(Self::Finished),
            Wire::Decline(_) => Ok(Self::Decline),
            Wire::Wait(_) => Ok(Self::Wait),
            Wire::OtherTransaction(_) => Ok(Self::OtherTransaction),
        }
    }
}

/// What a service's call says, which must be there.
pub(crate) fn what<W>(what: Option<W>) -> Result<What, WireError>
where
    What: TryFrom<W, Error = WireError>,
{
    what.ok_or(WireError::UnknownKind("what is said about the transaction"))?.try_into()
}

impl From<&Message> for v1::Message {
    fn from(message: &Message) -> Self {
        use v1::message::Message as Wire;
        Self {
            message: Some(match message {
                Message::About { transaction, what } => {
                    let about = v1::About { transaction: Some(transaction.into()), what: Some(what.into()) };
                    Wire::About(Box::new(about))
                }
                Message::Retired { range, outcomes } => Wire::Retired(Box::new(over(*range, outcomes))),
                Message::RetiredNoted { range } => Wire::RetiredNoted((*range).into()),
                Message::Epoch { number, what } => Wire::Epoch(Box::new(epochs::epoch(*number, what))),
            }),
        }
    }
}

impl TryFrom<v1::Message> for Message {
    type Error = WireError;

    fn try_from(message: v1::Message) -> Result<Self, WireError> {
        use v1::message::Message as Wire;
        match message.message.ok_or(WireError::UnknownKind("what a message says"))? {
            Wire::About(said) => about(said.transaction, what(said.what)),
            Wire::Retired(over) => {
                let v1::Over { origin, first, last, outcomes } = *over;
                let range = v1::TxRange { origin, first, last }.try_into()?;
                let block = |block: v1::OutcomeBlock| {
                    OutcomeBlock::new(NodeId(origin), block.number, block.known, block.committed)
                };
                let outcomes = outcomes.into_iter().map(block).collect::<Result<Vec<_>, _>>()?;
                Ok(Self::Retired { range, outcomes: outcomes.into() })
            }
            Wire::RetiredNoted(range) => Ok(Self::RetiredNoted { range: range.try_into()? }),
            Wire::Epoch(said) => epochs::message(*said),
        }
    }
}

/// That these are over, and how some of them ended.
fn over(range: TxRange, outcomes: &Outcomes) -> v1::Over {
    let block = |block: &OutcomeBlock| {
        let (_, number, known, committed): (NodeId, u64, u64, u64) = (*block).into();
        v1::OutcomeBlock { number, known, committed }
    };
    let v1::TxRange { origin, first, last } = range.into();
    v1::Over { origin, first, last, outcomes: outcomes.blocks().iter().map(block).collect() }
}

/// A cluster's id from its bytes.
pub(crate) fn cluster(bytes: &[u8]) -> Result<ClusterId, WireError> {
    bytes.try_into().map(ClusterId).map_err(|_| WireError::ClusterLength(bytes.len()))
}

#[cfg(test)]
mod tests;
