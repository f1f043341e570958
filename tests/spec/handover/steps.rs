//! The steps of the handover's specification, in the order of `docs/spec/Handover.tla`.

use synod::commit::Vote;

use super::{
    faults::Fault,
    state::{Acceptor, Ending, Extent, Report, Set, State, Status, VOTERS},
    world::{Handover, count},
};

/// The outcomes that a participant can be told.
const OUTCOMES: [Status; 2] = [Status::Committed, Status::Aborted];

/// The states that follow a state.
pub(super) struct Steps<'a> {
    next: &'a mut Vec<State>,
    /// A step that can be taken for several reasons, say because several quorums bear witness, is here once. TLC generates
    /// a state for each reason; so many more there are.
    further: u64,
}

impl<'a> Steps<'a> {
    pub(super) fn new(next: &'a mut Vec<State>) -> Self {
        Self { next, further: 0 }
    }

    pub(super) fn further(&self) -> u64 {
        self.further
    }

    pub(super) fn are_none(&self) -> bool {
        self.next.is_empty()
    }

    fn take(&mut self, witnesses: u64, from: &State, change: impl FnOnce(&mut State)) {
        if witnesses > 0 {
            let mut state = *from;
            change(&mut state);
            self.next.push(state);
            self.further += witnesses - 1;
        }
    }
}

impl Handover {
    /// Appends what every step leads to. Returns how many further states TLC generates.
    pub(super) fn successors(&self, state: &State, next: &mut Vec<State>) -> u64 {
        let steps = &mut Steps::new(next);
        let Extent { voters, old, top_ballot, .. } = self.extent;
        for voter in 0..voters {
            self.vote(state, voter, steps);
            (1..=top_ballot).for_each(|ballot| self.propose(state, voter, ballot, steps));
        }
        for acceptor in 0..old {
            for voter in 0..voters {
                self.take_vote(state, acceptor, voter, steps);
                (1..=top_ballot).for_each(|ballot| self.accept(state, acceptor, voter, ballot, steps));
            }
            (1..=top_ballot).for_each(|ballot| self.promise(state, acceptor, ballot, steps));
            for round in self.rounds() {
                self.promise_round(state, acceptor, round, steps);
                self.accept_ending(state, acceptor, round, steps);
            }
            self.thaw(state, acceptor, steps);
            self.retire(state, acceptor, steps);
            self.join(state, acceptor, steps);
            self.lose_disk(state, acceptor, steps);
        }
        self.rounds().for_each(|round| self.propose_ending(state, round, steps));
        (0..self.extent.participants()).for_each(|participant| self.obey(state, participant, steps));
        (0..self.extent.new).for_each(|acceptor| self.learn_new(state, acceptor, steps));
        (0..self.extent.newest).for_each(|acceptor| self.learn_newest(state, acceptor, steps));
        self.switch_off(state, steps);
        steps.further()
    }

    /// Appends what the steps lead to that are taken some time if they stay possible: of ballots and rounds only the
    /// highest, so that all others can be abandoned.
    pub(super) fn fair_successors(&self, state: &State, steps: &mut Steps<'_>) {
        let Extent { voters, old, new, top_ballot, top_round, .. } = self.extent;
        if self.hears(state) {
            (0..self.extent.participants()).for_each(|participant| self.obey(state, participant, steps));
        }
        if top_ballot > 0 {
            for voter in 0..voters {
                self.propose(state, voter, top_ballot, steps);
                (0..old).for_each(|acceptor| self.accept(state, acceptor, voter, top_ballot, steps));
            }
            (0..old).for_each(|acceptor| self.promise(state, acceptor, top_ballot, steps));
        }
        if let Some(last) = top_round.checked_sub(1) {
            let renewed = !self.has(Fault::NobodyRenews) && state.old[..old].iter().any(|other| other.round > 0);
            for acceptor in 0..old {
                if renewed {
                    self.promise_round(state, acceptor, last, steps);
                }
                self.accept_ending(state, acceptor, last, steps);
            }
            self.propose_ending(state, last, steps);
        }
        (0..old).for_each(|acceptor| self.join(state, acceptor, steps));
        (0..new).for_each(|acceptor| self.learn_new(state, acceptor, steps));
    }

    fn may_take(&self, state: &State, acceptor: usize) -> bool {
        let Acceptor { retired, joined, .. } = state.old[acceptor];
        !state.old_gone
            && (joined || self.has(Fault::ActsBeforeJoining))
            && !retired
            && (!state.old[acceptor].frozen() || self.has(Fault::FrozenTakes))
            && !self.dead[0].has(acceptor)
    }

    fn may_end(&self, state: &State, acceptor: usize) -> bool {
        !state.old_gone && state.old[acceptor].joined && !self.dead[0].has(acceptor)
    }

    fn vote(&self, state: &State, voter: usize, steps: &mut Steps<'_>) {
        for (status, vote) in [(Status::Prepared, Vote::Prepared), (Status::Aborted, Vote::Aborted)] {
            steps.take(u64::from(state.status[voter] == Status::Working), state, |next| {
                next.status[voter] = status;
                next.vote[voter] = Some(vote);
            });
        }
    }

    fn take_vote(&self, state: &State, acceptor: usize, voter: usize, steps: &mut Steps<'_>) {
        let Acceptor { promised, accepted, .. } = state.old[acceptor];
        let may = self.may_take(state, acceptor) && state.vote[voter].is_some();
        let takes = may && promised[voter] == 0 && !accepted[voter].has(0);
        steps.take(u64::from(takes), state, |next| {
            next.old[acceptor].accepted[voter] = accepted[voter].with(0);
        });
    }

    fn promise(&self, state: &State, acceptor: usize, ballot: usize, steps: &mut Steps<'_>) {
        let promised = &state.old[acceptor].promised[..self.extent.voters];
        let lower = promised.iter().filter(|promised| usize::from(**promised) < ballot).count() as u64;
        steps.take(if self.may_take(state, acceptor) { lower } else { 0 }, state, |next| {
            for promised in &mut next.old[acceptor].promised[..self.extent.voters] {
                *promised = (*promised).max(ballot as u8);
            }
        });
    }

    fn propose(&self, state: &State, voter: usize, ballot: usize, steps: &mut Steps<'_>) {
        if state.proposal[voter][ballot].is_some() {
            return;
        }
        let promised = self.old_where(|acceptor| usize::from(state.old[acceptor].promised[voter]) >= ballot);
        for quorum in self.read_quorums.iter().filter(|quorum| quorum.within(promised)) {
            let held = quorum.iter().fold(0, |held, acceptor| held | state.old[acceptor].remembers(voter).0);
            let below = Set(held & Set::below(ballot).0);
            let value = below.highest().map_or(Some(Vote::Aborted), |highest| state.value_at(voter, highest));
            steps.take(1, state, |next| next.proposal[voter][ballot] = value);
        }
    }

    fn accept(&self, state: &State, acceptor: usize, voter: usize, ballot: usize, steps: &mut Steps<'_>) {
        let Acceptor { promised, accepted, .. } = state.old[acceptor];
        let may = self.may_take(state, acceptor) && state.proposal[voter][ballot].is_some();
        let takes = may && usize::from(promised[voter]) <= ballot && !accepted[voter].has(ballot);
        steps.take(u64::from(takes), state, |next| {
            next.old[acceptor].promised[voter] = ballot as u8;
            next.old[acceptor].accepted[voter] = accepted[voter].with(ballot);
        });
    }

    pub(super) fn report(&self, acceptor: &Acceptor) -> Report {
        if acceptor.retired {
            return Report::Retired;
        }
        let mut ballots = [None; VOTERS];
        for (voter, ballot) in ballots.iter_mut().enumerate().take(self.extent.voters) {
            let held = match acceptor.remembers(voter) {
                Set(0b1) if self.has(Fault::ReportLeavesOut) => Set::EMPTY,
                held => held,
            };
            let told = if self.has(Fault::LowestReported) { held.lowest() } else { held.highest() };
            *ballot = told.map(|ballot| ballot as u8);
        }
        Report::Ballots(ballots)
    }

    fn promise_round(&self, state: &State, acceptor: usize, round: usize, steps: &mut Steps<'_>) {
        let Acceptor { round: promised, endorsed, report, .. } = state.old[acceptor];
        let answer = self.report(&state.old[acceptor]);
        let is_repeat = usize::from(promised) == round + 1 && !endorsed.has(round) && report[round] != answer;
        let promises = usize::from(promised) < round + 1 || self.extent.repeats && is_repeat;
        steps.take(u64::from(promises && self.may_end(state, acceptor)), state, |next| {
            next.old[acceptor].round = round as u8 + 1;
            next.old[acceptor].report[round] = answer;
        });
    }

    /// The ending that follows from the reports of `telling` in a round.
    fn follows(&self, state: &State, telling: Set, round: usize) -> Ending {
        let reports = || telling.iter().map(|acceptor| state.old[acceptor].report[round]);
        if !self.has(Fault::RetiredLeftOut) && reports().any(|report| report == Report::Retired) {
            return Ending::Retired;
        }
        let is_prepared = |voter: usize| {
            let reported = reports().filter_map(|report| match report {
                Report::Ballots(ballots) => ballots[voter],
                Report::Nothing | Report::Retired => None,
            });
            reported.max().is_some_and(|top| state.value_at(voter, top.into()) == Some(Vote::Prepared))
        };
        let mut voters = 0..self.extent.voters;
        let enough =
            if self.has(Fault::OnePreparedIsEnough) { voters.any(is_prepared) } else { voters.all(is_prepared) };
        if enough { Ending::Committed } else { Ending::Neither }
    }

    fn propose_ending(&self, state: &State, round: usize, steps: &mut Steps<'_>) {
        if state.ending[round].is_some() {
            return;
        }
        let told = self.old_where(|acceptor| state.old[acceptor].report[round] != Report::Nothing);
        for quorum in self.read_quorums.iter().filter(|quorum| quorum.within(told)) {
            let held = quorum.iter().fold(0, |held, acceptor| held | state.old[acceptor].endorsed.0);
            let highest = Set(held & Set::below(round).0).highest();
            let mut propose = |telling| {
                let held = highest.filter(|_| !self.has(Fault::HeldEndingIgnored));
                let ending = held.map_or_else(|| Some(self.follows(state, telling, round)), |held| state.ending[held]);
                steps.take(1, state, |next| next.ending[round] = ending);
            };
            if self.has(Fault::TooFewReports) {
                quorum.iter().for_each(|acceptor| propose(Set::EMPTY.with(acceptor)));
            } else {
                propose(*quorum);
            }
        }
    }

    fn accept_ending(&self, state: &State, acceptor: usize, round: usize, steps: &mut Steps<'_>) {
        let Acceptor { round: promised, endorsed, .. } = state.old[acceptor];
        let may = self.may_end(state, acceptor) && state.ending[round].is_some();
        let takes = may && usize::from(promised) <= round + 1 && !endorsed.has(round);
        steps.take(u64::from(takes), state, |next| {
            next.old[acceptor].round = round as u8 + 1;
            next.old[acceptor].endorsed = endorsed.with(round);
        });
    }

    fn thaw(&self, state: &State, acceptor: usize, steps: &mut Steps<'_>) {
        let early = self.has(Fault::FreezeEndsEarly) && self.some_ending_chosen(state) > 0;
        let thaws = state.old[acceptor].frozen() && (early || self.has(Fault::FreezeForgotten));
        steps.take(u64::from(thaws), state, |next| next.old[acceptor].thawed = true);
    }

    fn learn_new(&self, state: &State, acceptor: usize, steps: &mut Steps<'_>) {
        let may = !self.dead[1].has(acceptor) && !state.new_knows.has(acceptor) && !state.new_gone;
        let witnesses = if may { self.some_ending_chosen(state) } else { 0 };
        steps.take(witnesses, state, |next| next.new_knows = state.new_knows.with(acceptor));
    }

    fn learn_newest(&self, state: &State, acceptor: usize, steps: &mut Steps<'_>) {
        let may = !self.dead[2].has(acceptor) && !state.newest_knows.has(acceptor);
        let witnesses = if may { count(&self.new_majorities, state.new_knows) } else { 0 };
        steps.take(witnesses, state, |next| next.newest_knows = state.newest_knows.with(acceptor));
    }

    fn switch_off(&self, state: &State, steps: &mut Steps<'_>) {
        let notes = if self.has(Fault::OffAfterOneNote) {
            u64::from(state.new_knows.0.count_ones())
        } else {
            count(&self.new_majorities, state.new_knows)
        };
        steps.take(if state.old_gone { 0 } else { notes }, state, |next| next.old_gone = true);
        let may = self.extent.newest > 0 && state.old_gone && !state.new_gone;
        let notes = if may { count(&self.newest_majorities, state.newest_knows) } else { 0 };
        steps.take(notes, state, |next| next.new_gone = true);
    }

    fn retire(&self, state: &State, acceptor: usize, steps: &mut Steps<'_>) {
        let over = self.finished(state) || self.has(Fault::RetiresEarly);
        let may = !state.old_gone && over && !state.old[acceptor].retired;
        steps.take(u64::from(may), state, |next| next.old[acceptor].retired = true);
    }

    fn obey(&self, state: &State, participant: usize, steps: &mut Steps<'_>) {
        for outcome in OUTCOMES {
            let may = match state.status[participant] {
                Status::Working => outcome == Status::Aborted,
                Status::Prepared => true,
                Status::Committed | Status::Aborted => false,
            };
            let witnesses = if may { self.told(state, outcome) } else { 0 };
            steps.take(witnesses, state, |next| next.status[participant] = outcome);
        }
    }

    fn join(&self, state: &State, acceptor: usize, steps: &mut Steps<'_>) {
        steps.take(u64::from(!state.old[acceptor].joined), state, |next| {
            next.old[acceptor].joined = true;
            if self.has(Fault::ActsBeforeJoining) {
                next.old[acceptor].lost = state.old[acceptor].accepted;
            }
        });
    }

    fn lose_disk(&self, state: &State, acceptor: usize, steps: &mut Steps<'_>) {
        let Acceptor { accepted, lost, joined, .. } = state.old[acceptor];
        let may = self.has(Fault::BlankDisk) && joined && lost != accepted;
        steps.take(u64::from(may), state, |next| next.old[acceptor].lost = accepted);
    }
}
