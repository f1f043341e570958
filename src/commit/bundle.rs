//! Messages about several instances of a transaction: how they are checked, and how their votes are learned.

use super::{Acceptance, Places, Vote, Votes, context::Context};
use crate::{Ballot, NodeId, Refusal, paxos::Lesson, quorum::Voice};

/// The voice of acceptor `from`, or why its message is refused. A message must name at least one instance, and only
/// instances of the transaction; those named by resource manager must be in ascending order.
#[inline]
pub(crate) fn check(
    cx: &Context<'_>,
    from: NodeId,
    places: &Places,
    mut rms: impl ExactSizeIterator<Item = NodeId>,
) -> Result<Voice, Refusal> {
    let voice = cx.cluster.acceptors().voice(from).ok_or(Refusal::NotAnAcceptor)?;
    // Participants are sorted, so each name must be found among those after the previous one.
    let participants = cx.transaction.participants();
    let (named, mut left) = (rms.len(), participants.iter());
    let known = places.is_within(participants.len()) && rms.all(|rm| left.any(|known| *known == rm));
    if known && (named > 0 || !places.is_empty()) { Ok(voice) } else { Err(Refusal::MalformedBundle) }
}

/// Learns from a phase 2b that `acceptor` sent. `Ok` if any part was taken; otherwise the first refusal.
#[inline]
pub(crate) fn learn<I>(
    cx: &Context<'_>,
    instances: &mut [I],
    lesson: impl Fn(&mut I) -> &mut Lesson<Vote>,
    acceptor: Voice,
    votes: &Votes,
    higher: &[Acceptance],
) -> Result<(), Refusal> {
    let (acceptors, participants) = (cx.cluster.acceptors(), cx.transaction.participants());
    let mut all = AnyOf::default();
    for (place, vote) in votes.iter() {
        if let (Some(rm), Some(instance)) = (participants.get(place), instances.get_mut(place)) {
            all.add(lesson(instance).learn(acceptors, acceptor, Ballot::initial(*rm), vote).map(drop));
        }
    }
    for Acceptance { rm, ballot, vote } in higher {
        if let Some(instance) = cx.transaction.place(*rm).and_then(|place| instances.get_mut(place)) {
            all.add(lesson(instance).learn(acceptors, acceptor, *ballot, *vote).map(drop));
        }
    }
    all.result()
}

/// Combines the results of the parts of a message.
#[derive(Default)]
pub(crate) struct AnyOf {
    taken: bool,
    refused: Option<Refusal>,
}

impl AnyOf {
    #[inline]
    pub(crate) fn add(&mut self, result: Result<(), Refusal>) {
        match result {
            Ok(()) => self.taken = true,
            Err(refusal) => self.refused = self.refused.or(Some(refusal)),
        }
    }

    /// `Ok` if any part was taken; otherwise the first refusal.
    #[inline]
    pub(crate) fn result(self) -> Result<(), Refusal> {
        if self.taken { Ok(()) } else { Err(self.refused.unwrap_or(Refusal::MalformedBundle)) }
    }
}
