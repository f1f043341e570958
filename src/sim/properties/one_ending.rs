//! A handover chooses one ending, and all nodes of an epoch have the membership of the one that was chosen before it. *Paxos
//! Made Simple*, section 2: only a single value is chosen.

use std::collections::BTreeMap;

use super::{Acceptors, Observation, Property, Violation, require};
use crate::{
    Ballot, Members, NodeId, Phase,
    commit::{Cluster, Ending, Membership, Record},
};

pub(super) struct OneEnding {
    acceptors: Acceptors,
    /// Who has accepted what, durably, in which epoch and ballot.
    accepted: BTreeMap<(u64, Ballot), (Ending, Members)>,
    chosen: BTreeMap<u64, Ending>,
    /// What nodes hold the membership of an epoch to be, and who was a member before.
    known: BTreeMap<u64, (Membership, Box<[NodeId]>)>,
}

const NAME: &str = "one ending";

impl OneEnding {
    pub(super) fn new(cluster: &Cluster) -> Self {
        let (accepted, chosen) = (BTreeMap::new(), BTreeMap::new());
        let known = BTreeMap::from([(0, (cluster.membership(), Box::default()))]);
        Self { acceptors: Acceptors::new(cluster), accepted, chosen, known }
    }

    fn accepts(&mut self, at: NodeId, epoch: u64, ballot: Ballot, ending: &Ending) -> Result<(), Violation> {
        let (value, members) =
            self.accepted.entry((epoch, ballot)).or_insert_with(|| (ending.clone(), Members::default()));
        require(NAME, value == ending, || {
            format!("ballot {ballot} of epoch {epoch} has both {value:?} and {ending:?}")
        })?;
        let Some(acceptors) = self.acceptors.of(epoch) else { return Ok(()) };
        *members = acceptors.position(at).map_or(*members, |place| members.with(place));
        if !acceptors.is_quorum(Phase::Accept, *members) {
            return Ok(());
        }
        let known = self.chosen.entry(epoch).or_insert_with(|| ending.clone());
        require(NAME, known == ending, || format!("epoch {epoch} ends both as {known:?} and as {ending:?}"))
    }

    fn enters(&mut self, at: NodeId, number: u64, membership: &Membership, former: &[NodeId]) -> Result<(), Violation> {
        let known = self.known.entry(number).or_insert_with(|| (membership.clone(), former.into()));
        require(NAME, known.0 == *membership && *known.1 == *former, || {
            format!("{at} holds {membership:?} after {former:?} to be epoch {number}, and another one {known:?}")
        })?;
        let Some(before) = number.checked_sub(1) else { return Ok(()) };
        let chosen = self.chosen.get(&before);
        require(NAME, chosen.is_some_and(|ending| ending.membership == *membership), || {
            format!("{at} enters epoch {number} of {membership:?}, with {chosen:?} chosen")
        })
    }
}

impl Property for OneEnding {
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        let Observation::Durable { at, record } = observation else { return Ok(()) };
        self.acceptors.note(record);
        match record {
            Record::Handover { epoch, state } => match &state.accepted {
                Some((ballot, ending)) => self.accepts(*at, *epoch, *ballot, ending),
                None => Ok(()),
            },
            Record::Epoch { number, membership, former, .. } => self.enters(*at, *number, membership, former),
            _ => Ok(()),
        }
    }
}
