//! How far a resource manager has come, and where it may go from there.

use super::{Outcome, ResourceKind, Vote};

/// The progress of a resource manager. *TLA+*: `rmState[rm]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) enum Phase {
    /// It has not voted. `asked` is volatile: whether the resource was asked to vote.
    Working { asked: bool },
    /// Its resource cannot prepare. Volatile, and only where votes are durable elsewhere.
    Declined,
    /// It has voted to commit, and does not know the outcome.
    Prepared,
    /// It knows the outcome. Until that is carried out, only the vote is durable; the outcome can be learned again.
    Settled(End),
    /// The outcome is carried out.
    Finished(End),
}

/// An outcome, with the vote that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) enum End {
    /// The vote was [`Vote::Prepared`].
    Committed,
    /// There may have been any vote, or none.
    Aborted { vote: Option<Vote> },
}

impl Phase {
    /// Whether a resource manager may go from here to `next`: it votes once, and learns one outcome, once. One whose votes
    /// are durable elsewhere never votes to abort, and may be working only because it has forgotten its vote to commit.
    #[inline]
    pub(super) fn may_become(self, next: Self, resource: ResourceKind) -> bool {
        let elsewhere = resource == ResourceKind::VotesElsewhere;
        match (self, next) {
            (Self::Working { asked: true }, Self::Prepared) => true,
            (Self::Working { asked: true }, Self::Declined) => elsewhere,
            (Self::Working { .. } | Self::Declined, Self::Prepared | Self::Settled(End::Committed)) => elsewhere,
            (Self::Working { .. } | Self::Declined, Self::Settled(End::Aborted { vote })) => {
                vote.is_none() || vote == Some(Vote::Aborted) && !elsewhere
            }
            (Self::Prepared, Self::Settled(end)) => end.is_of_prepared(),
            (Self::Settled(end), Self::Finished(same)) => end == same,
            _ => false,
        }
    }
}

impl End {
    /// `outcome`, after a vote to commit.
    pub(super) fn of_prepared(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Committed => Self::Committed,
            Outcome::Aborted => Self::Aborted { vote: Some(Vote::Prepared) },
        }
    }

    /// Whether it follows a vote to commit.
    pub(super) fn is_of_prepared(self) -> bool {
        matches!(self, Self::Committed | Self::Aborted { vote: Some(Vote::Prepared) })
    }

    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Committed => Outcome::Committed,
            Self::Aborted { .. } => Outcome::Aborted,
        }
    }
}
