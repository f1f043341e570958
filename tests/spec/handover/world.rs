//! A world of the handover's specification: its quorums, and what they have chosen.

use std::ops::Range;

use synod::commit::Vote;

use super::{
    faults::Fault,
    state::{Ending, Extent, Set, State, Status},
};

/// The specification of one world.
pub(super) struct Handover {
    pub(super) extent: Extent,
    pub(super) read_quorums: Vec<Set>,
    pub(super) write_quorums: Vec<Set>,
    pub(super) new_majorities: Vec<Set>,
    pub(super) newest_majorities: Vec<Set>,
    pub(super) dead: [Set; 3],
}

fn majorities(of: usize) -> Vec<Set> {
    (0..1u16 << of).filter(|set| 2 * set.count_ones() as usize > of).map(|set| Set(set as u8)).collect()
}

pub(super) fn count(quorums: &[Set], within: Set) -> u64 {
    quorums.iter().filter(|quorum| quorum.within(within)).count() as u64
}

impl Handover {
    pub(super) fn new(extent: Extent) -> Self {
        let Extent { old, new, newest, .. } = extent;
        let (read_quorums, write_quorums) = if extent.flexible {
            (vec![Set::below(old)], (0..old).map(|acceptor| Set::EMPTY.with(acceptor)).collect())
        } else {
            (majorities(old), majorities(old))
        };
        let last = |of: usize, dead: usize| Set::below(of).minus(Set::below(of - dead));
        Self {
            extent,
            read_quorums,
            write_quorums,
            new_majorities: majorities(new),
            newest_majorities: majorities(newest),
            dead: [last(old, extent.dead[0]), last(new, extent.dead[1]), last(newest, extent.dead[2])],
        }
    }

    /// Can what is alive decide for a voter that is silent? That takes quorums, and a ballot above 0.
    pub(super) fn can_decide(&self) -> bool {
        let alive = |quorum: &Set| !quorum.meets(self.dead[0]);
        self.extent.top_ballot > 0 && self.read_quorums.iter().any(alive) && self.write_quorums.iter().any(alive)
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.extent.fault == Some(fault)
    }

    pub(super) fn rounds(&self) -> Range<usize> {
        0..self.extent.top_round
    }

    pub(super) fn old_where(&self, is: impl Fn(usize) -> bool) -> Set {
        (0..self.extent.old).filter(|acceptor| is(*acceptor)).collect()
    }

    /// How many witnesses there are that the instance of a participant chose a value.
    pub(super) fn chosen(&self, state: &State, participant: usize, value: Vote) -> u64 {
        if participant >= self.extent.voters {
            return u64::from(value == Vote::Prepared);
        }
        let at = (0..=self.extent.top_ballot).filter(|ballot| state.value_at(participant, *ballot) == Some(value));
        let by = |ballot| self.old_where(|acceptor| state.old[acceptor].accepted[participant].has(ballot));
        at.map(|ballot| count(&self.write_quorums, by(ballot))).sum()
    }

    pub(super) fn chosen_commit(&self, state: &State) -> u64 {
        (0..self.extent.participants()).map(|participant| self.chosen(state, participant, Vote::Prepared)).product()
    }

    pub(super) fn chosen_abort(&self, state: &State) -> u64 {
        (0..self.extent.participants()).map(|participant| self.chosen(state, participant, Vote::Aborted)).sum()
    }

    fn endings_chosen(&self, state: &State, is: impl Fn(Ending) -> bool) -> u64 {
        let proposed = self.rounds().filter(|round| state.ending[*round].is_some_and(&is));
        let by = |round| self.old_where(|acceptor| state.old[acceptor].endorsed.has(round));
        proposed.map(|round| count(&self.write_quorums, by(round))).sum()
    }

    pub(super) fn ending_chosen(&self, state: &State, ending: Ending) -> u64 {
        self.endings_chosen(state, |chosen| chosen == ending)
    }

    pub(super) fn some_ending_chosen(&self, state: &State) -> u64 {
        self.endings_chosen(state, |_| true)
    }

    pub(super) fn finished(&self, state: &State) -> bool {
        state.status[..self.extent.participants()].iter().all(|status| status.has_finished())
    }

    /// How many witnesses there are of an outcome that anybody can be told.
    pub(super) fn told(&self, state: &State, outcome: Status) -> u64 {
        let (chosen, ending) = match outcome {
            Status::Committed => (self.chosen_commit(state), Ending::Committed),
            _ => (self.chosen_abort(state), Ending::Neither),
        };
        let proposed = self.has(Fault::ActsOnProposal) && state.ending.contains(&Some(ending));
        chosen + self.ending_chosen(state, ending) + u64::from(proposed)
    }

    /// Does anybody run who can tell a participant its outcome?
    pub(super) fn hears(&self, state: &State) -> bool {
        let reachable = !state.old_gone
            || !state.new_gone && !state.new_knows.minus(self.dead[1]).is_empty()
            || state.new_gone && !state.newest_knows.minus(self.dead[2]).is_empty();
        let ended = [Ending::Committed, Ending::Neither].iter().any(|ending| self.ending_chosen(state, *ending) > 0);
        reachable && (!state.old_gone || ended)
    }
}
