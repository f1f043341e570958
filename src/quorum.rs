//! Quorum systems as values, and the tallies that are compared with them.

use alloc::{sync::Arc, vec::Vec};
use core::borrow::Borrow;

use crate::NodeId;

/// The most acceptors that a quorum system may have.
pub const MAX_ACCEPTORS: usize = 128;

/// The acceptors of an instance, in configured order, and which sets of them are quorums.
///
/// Validated on construction: every phase-1 quorum intersects every phase-2 quorum, which is all that Paxos requires
/// (Howard, Malkhi and Spiegelman, *Flexible Paxos*, 2016). Clones share memory.
///
/// ```
/// use synod::{NodeId, Phase, Quorums};
///
/// let quorums = Quorums::majority([NodeId(1), NodeId(2), NodeId(3)])?;
/// assert!(quorums.is_quorum(Phase::Accept, quorums.members([NodeId(1), NodeId(3)])));
/// // All promises, so that one acceptance is enough:
/// let flexible = Quorums::flexible(quorums.nodes(), 3, 1)?;
/// assert!(flexible.is_quorum(Phase::Accept, flexible.members([NodeId(2)])));
/// # Ok::<(), synod::QuorumError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "QuorumSpec", into = "QuorumSpec"))]
pub struct Quorums(Arc<System>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct System {
    spec: QuorumSpec,
    /// For each member, the first phase-2 quorum in configured order that contains it.
    first_with: Vec<Members>,
}

/// A quorum system as plain data, not yet validated; `try_into` makes it a [`Quorums`].
///
/// ```
/// # use synod::{NodeId, QuorumSpec, Quorums};
/// let spec = QuorumSpec { members: vec![(NodeId(1), 2), (NodeId(2), 1)], prepare: 2, accept: 2 };
/// assert_eq!(Quorums::try_from(spec.clone())?, Quorums::weighted(spec.members, 2, 2)?);
/// # Ok::<(), synod::QuorumError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct QuorumSpec {
    /// The acceptors and their weights, in configured order.
    pub members: Vec<(NodeId, u64)>,
    /// The least weight of a phase-1 quorum.
    pub prepare: u64,
    /// The least weight of a phase-2 quorum.
    pub accept: u64,
}

/// Why a quorum system was rejected.
///
/// ```
/// # use synod::{NodeId, QuorumError, Quorums};
/// let one_of_three = Quorums::flexible([NodeId(1), NodeId(2), NodeId(3)], 1, 1);
/// assert_eq!(one_of_three, Err(QuorumError::NeedNotIntersect { prepare: 1, accept: 1, total: 3 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum QuorumError {
    /// There is no acceptor.
    #[error("a quorum system needs at least one acceptor")]
    Empty,
    /// There are more than [`MAX_ACCEPTORS`].
    #[error("more than {MAX_ACCEPTORS} acceptors")]
    TooMany,
    /// An acceptor is named twice.
    #[error("acceptor {0} is named twice")]
    Repeated(NodeId),
    /// An acceptor has weight zero.
    #[error("acceptor {0} has weight zero")]
    Weightless(NodeId),
    /// The sum of the weights does not fit in 64 bits.
    #[error("the sum of the weights does not fit in 64 bits")]
    TooHeavy,
    /// The weight of a quorum is zero, or more than that of all acceptors together.
    #[error("no quorum can have weight {quorum} out of {total}")]
    Impossible {
        /// The weight asked for.
        quorum: u64,
        /// The weight of all acceptors.
        total: u64,
    },
    /// Some phase-1 quorum might not intersect some phase-2 quorum.
    #[error("quorums of {prepare} and {accept} out of {total} need not intersect")]
    NeedNotIntersect {
        /// The least weight of a phase-1 quorum.
        prepare: u64,
        /// The least weight of a phase-2 quorum.
        accept: u64,
        /// The weight of all acceptors.
        total: u64,
    },
}

/// The two phases of Paxos; each has its own quorums.
///
/// See [`Quorums`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Phase {
    /// Phase 1: promises.
    Prepare,
    /// Phase 2: acceptances.
    Accept,
}

/// A set of acceptors, by place in the configured order.
///
/// See [`Quorums`] for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Members(u128);

impl Quorums {
    /// Any majority of `nodes`, in both phases.
    pub fn majority(nodes: impl IntoIterator<Item = impl Borrow<NodeId>>) -> Result<Self, QuorumError> {
        let members = evenly(nodes);
        let most = members.len() as u64 / 2 + 1;
        Self::new(QuorumSpec { members, prepare: most, accept: most })
    }

    /// Any `prepare` of `nodes` in phase 1 and any `accept` of them in phase 2.
    pub fn flexible(
        nodes: impl IntoIterator<Item = impl Borrow<NodeId>>,
        prepare: usize,
        accept: usize,
    ) -> Result<Self, QuorumError> {
        Self::new(QuorumSpec { members: evenly(nodes), prepare: prepare as u64, accept: accept as u64 })
    }

    /// Any acceptors that together weigh at least `prepare` in phase 1, and at least `accept` in phase 2.
    ///
    /// The two must add up to more than the weight of all acceptors. (With uneven weights, quorums may always intersect
    /// although the two add up to no more. Such a system is refused; higher thresholds accept the same quorums.)
    pub fn weighted(
        members: impl IntoIterator<Item = (NodeId, u64)>,
        prepare: u64,
        accept: u64,
    ) -> Result<Self, QuorumError> {
        let members = members.into_iter().take(MAX_ACCEPTORS + 1).collect();
        Self::new(QuorumSpec { members, prepare, accept })
    }

    fn new(spec: QuorumSpec) -> Result<Self, QuorumError> {
        if spec.members.is_empty() {
            return Err(QuorumError::Empty);
        }
        if spec.members.len() > MAX_ACCEPTORS {
            return Err(QuorumError::TooMany);
        }
        let mut total = 0u64;
        for (place, &(node, weight)) in spec.members.iter().enumerate() {
            if spec.members.iter().take(place).any(|&(other, _)| other == node) {
                return Err(QuorumError::Repeated(node));
            }
            if weight == 0 {
                return Err(QuorumError::Weightless(node));
            }
            total = total.checked_add(weight).ok_or(QuorumError::TooHeavy)?;
        }
        let (prepare, accept) = (spec.prepare, spec.accept);
        for quorum in [prepare, accept] {
            if quorum == 0 || quorum > total {
                return Err(QuorumError::Impossible { quorum, total });
            }
        }
        if u128::from(prepare) + u128::from(accept) <= u128::from(total) {
            return Err(QuorumError::NeedNotIntersect { prepare, accept, total });
        }
        let first_with =
            (0..spec.members.len()).map(|place| first_accept_quorum(&spec, Some(place), Members::default())).collect();
        Ok(Self(Arc::new(System { spec, first_with })))
    }

    /// The acceptors, in configured order.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = NodeId> + Clone + '_ {
        self.0.spec.members.iter().map(|&(node, _)| node)
    }

    /// How many acceptors there are.
    #[allow(clippy::len_without_is_empty, reason = "a quorum system is never empty")]
    pub fn len(&self) -> usize {
        self.0.spec.members.len()
    }

    /// Whether `node` is an acceptor.
    #[inline]
    pub fn contains(&self, node: NodeId) -> bool {
        self.position(node).is_some()
    }

    /// The place of `node` in the configured order, if it is an acceptor.
    #[inline]
    pub fn position(&self, node: NodeId) -> Option<usize> {
        self.voice(node).map(|voice| voice.place)
    }

    /// The acceptors among `nodes`, as a set. Other nodes are ignored.
    pub fn members(&self, nodes: impl IntoIterator<Item = NodeId>) -> Members {
        nodes.into_iter().filter_map(|node| self.position(node)).fold(Members::default(), Members::with)
    }

    /// The voice of `node`, if it is an acceptor.
    #[inline]
    pub(crate) fn voice(&self, node: NodeId) -> Option<Voice> {
        let mut members = self.0.spec.members.iter().enumerate();
        let (place, &(_, weight)) = members.find(|(_, (member, _))| *member == node)?;
        Some(Voice { place, weight })
    }

    /// Whether these voices are a quorum of `phase`.
    #[inline]
    pub(crate) fn carries(&self, phase: Phase, voices: Voices) -> bool {
        voices.weight >= self.threshold(phase)
    }

    /// Whether `members` are a quorum of `phase`.
    pub fn is_quorum(&self, phase: Phase, members: Members) -> bool {
        // The sum of all weights was checked on construction, so no partial sum overflows.
        let (mut weight, mut rest) = (0, members.0);
        for &(_, voice) in &self.0.spec.members {
            if rest & 1 == 1 {
                weight += voice;
            }
            rest >>= 1;
        }
        weight >= self.threshold(phase)
    }

    /// The first phase-2 quorum in configured order; if `node` is an acceptor, the first that contains it.
    ///
    /// This is the one quorum that the paper's costs assume: F+1 of 2F+1 acceptors.
    pub fn first_accept_quorum(&self, node: Option<NodeId>) -> Members {
        let place = node.and_then(|node| self.position(node));
        let known = place.and_then(|place| self.0.first_with.get(place)).copied();
        known.unwrap_or_else(|| first_accept_quorum(&self.0.spec, None, Members::default()))
    }

    /// The same without some members; `None` if there is none.
    pub(crate) fn accept_quorum_without(&self, node: NodeId, without: Members) -> Option<Members> {
        let quorum = first_accept_quorum(&self.0.spec, self.position(node), without);
        self.is_quorum(Phase::Accept, quorum).then_some(quorum)
    }

    /// The nodes of a set of members, in configured order.
    pub fn nodes_of(&self, members: Members) -> impl Iterator<Item = NodeId> + Clone + '_ {
        let mut rest = members.0;
        self.nodes().filter(move |_| {
            let has = rest & 1 == 1;
            rest >>= 1;
            has
        })
    }

    #[inline]
    fn threshold(&self, phase: Phase) -> u64 {
        match phase {
            Phase::Prepare => self.0.spec.prepare,
            Phase::Accept => self.0.spec.accept,
        }
    }
}

impl TryFrom<QuorumSpec> for Quorums {
    type Error = QuorumError;

    fn try_from(spec: QuorumSpec) -> Result<Self, QuorumError> {
        Self::new(spec)
    }
}

impl From<Quorums> for QuorumSpec {
    fn from(quorums: Quorums) -> Self {
        Arc::unwrap_or_clone(quorums.0).spec
    }
}

/// See [`Quorums::first_accept_quorum`]; `first` is the place of a member that it must contain.
fn first_accept_quorum(spec: &QuorumSpec, first: Option<usize>, without: Members) -> Members {
    let (mut chosen, mut weight) = (Members::default(), 0);
    let others = || spec.members.iter().enumerate().filter(|&(place, _)| Some(place) != first);
    let preferred = first.and_then(|place| Some((place, spec.members.get(place)?)));
    for (place, &(_, voice)) in preferred.into_iter().chain(others()).filter(|(place, _)| !without.has(*place)) {
        if weight >= spec.accept {
            break;
        }
        chosen = chosen.with(place);
        weight += voice;
    }
    // With unequal weights, later members may have made an earlier one redundant.
    for (place, &(_, voice)) in others().rev() {
        if chosen.has(place) && weight - voice >= spec.accept {
            chosen = chosen.without(place);
            weight -= voice;
        }
    }
    chosen
}

/// Gives every node weight 1. One node more than allowed is enough to be refused.
fn evenly(nodes: impl IntoIterator<Item = impl Borrow<NodeId>>) -> Vec<(NodeId, u64)> {
    nodes.into_iter().take(MAX_ACCEPTORS + 1).map(|node| (*node.borrow(), 1)).collect()
}

impl Members {
    /// This set with the member at `place`. A place that no acceptor can have changes nothing.
    #[must_use]
    pub fn with(self, place: usize) -> Self {
        Self(self.0 | bit(place))
    }

    /// This set without the member at `place`.
    #[must_use]
    pub fn without(self, place: usize) -> Self {
        Self(self.0 & !bit(place))
    }

    /// Whether the member at `place` is in the set.
    pub fn has(self, place: usize) -> bool {
        self.0 & bit(place) != 0
    }

    /// How many members the set has.
    pub fn count(self) -> usize {
        self.0.count_ones() as usize
    }
}

fn bit(place: usize) -> u128 {
    u32::try_from(place).ok().and_then(|place| 1u128.checked_shl(place)).unwrap_or(0)
}

/// One acceptor's place and weight.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Voice {
    place: usize,
    weight: u64,
}

/// The distinct acceptors that granted one thing, and their total weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Voices {
    /// Bits by place; smaller than [`Members`], because of its alignment.
    members: [u64; MAX_ACCEPTORS / 64],
    weight: u64,
}

impl Voices {
    /// Adds a voice. Returns whether it was new.
    #[inline]
    pub(crate) fn add(&mut self, Voice { place, weight }: Voice) -> bool {
        let Some(word) = self.members.get_mut(place / 64) else { return false };
        let bit = 1 << (place % 64);
        let new = *word & bit == 0;
        if new {
            *word |= bit;
            // The sum of all weights was checked on construction, so no partial sum overflows.
            self.weight += weight;
        }
        new
    }
}
