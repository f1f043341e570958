//! Lamport's specification *PaxosCommit* (Gray and Lamport 2006, appendix), restated: its actions, and what must hold in
//! every state.

use std::{
    fmt::{self, Display, Formatter},
    ops::Range,
};

use synod::commit::Vote;

use super::layout::{Cell, Layout, Rm, Size, State, VOTES};

pub(crate) struct Specification {
    pub(crate) layout: Layout,
    /// The minimal ones.
    pub(crate) majorities: Vec<Vec<usize>>,
    asks: Asks,
    decides: Decides,
    /// Whether there is *RMChooseToAbort*.
    chooses_to_abort: bool,
}

/// Who takes *Decide*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decides {
    /// Anyone, as published.
    Anyone,
    /// A resource manager without an outcome, who takes it at once; and anyone on acceptances of one ballot above 0.
    Learners,
}

/// For which instances *Phase1a* is taken together, in one ballot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// One at a time, as published.
    One,
    /// All.
    All,
    /// All, but for any that are known to have chosen Prepared; and no others later.
    Unknown,
}

impl Display for Asks {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One => "one instance at a time",
            Self::All => "all instances together",
            Self::Unknown => "all instances together that are not known to have chosen Prepared",
        })
    }
}

impl Display for Decides {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anyone => "anyone",
            Self::Learners => "a resource manager that takes it at once, or in one ballot above 0",
        })
    }
}

impl Specification {
    pub(crate) fn new(size: Size) -> Self {
        Self::restricted(size, Asks::One, Decides::Anyone)
    }

    /// The specification, with less freedom in *Phase1a* and *Decide*.
    pub(crate) fn restricted(size: Size, asks: Asks, decides: Decides) -> Self {
        let majorities = majorities(size.acceptors);
        Self { layout: Layout::new(size), majorities, asks, decides, chooses_to_abort: true }
    }

    /// The same, but nobody takes *RMChooseToAbort*.
    pub(crate) fn without_choosing_to_abort(self) -> Self {
        Self { chooses_to_abort: false, ..self }
    }

    pub(crate) fn initial<const W: usize>(&self) -> State<W> {
        self.layout.initial()
    }

    /// Appends what any one action leads to, one state for each way to take it. *Decide* is appended once for Commit and
    /// once for Abort; returned is how many further witnesses it has, which TLC counts as states generated, too.
    pub(crate) fn successors<const W: usize>(&self, state: &State<W>, next: &mut Vec<State<W>>) -> u64 {
        for bal in 1..self.layout.size.ballots {
            self.phase_1a(state, bal, next);
        }
        for rm in 0..self.layout.size.rms {
            self.resource_manager(state, rm, next);
            for bal in 1..self.layout.size.ballots {
                self.phase_2a(state, rm, bal, next);
            }
            for acc in 0..self.layout.size.acceptors {
                self.phase_1b(state, rm, acc, next);
                self.phase_2b(state, rm, acc, next);
            }
        }
        self.decide(state, next)
    }

    /// *RMPrepare*, *RMChooseToAbort*, *RMRcvCommitMsg*, *RMRcvAbortMsg*.
    fn resource_manager<const W: usize>(&self, state: &State<W>, rm: usize, next: &mut Vec<State<W>>) {
        let layout = &self.layout;
        if layout.rm(state, rm) == Rm::Working {
            let choices = [(Rm::Prepared, Vote::Prepared), (Rm::Aborted, Vote::Aborted)];
            for (to, val) in choices.into_iter().take(1 + usize::from(self.chooses_to_abort)) {
                next.push(layout.with_rm(*state, rm, to).with(layout.two_a(rm, 0, val)));
            }
        }
        for (message, to) in [(layout.commit, Rm::Committed), (layout.abort, Rm::Aborted)] {
            if state.has(message) {
                next.push(layout.with_rm(*state, rm, to));
            }
        }
    }

    fn phase_1a<const W: usize>(&self, state: &State<W>, bal: usize, next: &mut Vec<State<W>>) {
        let rms = 0..self.layout.size.rms;
        let ask = |state: State<W>, rm| state.with(self.layout.one_a(rm, bal));
        match self.asks {
            Asks::One => next.extend(rms.map(|rm| ask(*state, rm))),
            Asks::All => next.push(rms.fold(*state, ask)),
            Asks::Unknown if rms.clone().any(|rm| state.has(self.layout.one_a(rm, bal))) => {}
            Asks::Unknown => {
                let chosen = |rm| self.witnesses(state, rm, Vote::Prepared) > 0;
                let asked =
                    (1u32..1 << rms.len()).filter(|asked| rms.clone().all(|rm| asked >> rm & 1 == 1 || chosen(rm)));
                next.extend(asked.map(|asked| rms.clone().filter(|rm| asked >> rm & 1 == 1).fold(*state, ask)));
            }
        }
    }

    fn phase_2a<const W: usize>(&self, state: &State<W>, rm: usize, bal: usize, next: &mut Vec<State<W>>) {
        let layout = &self.layout;
        if VOTES.iter().any(|val| state.has(layout.two_a(rm, bal, *val))) {
            return;
        }
        for majority in &self.majorities {
            let sent = |acc, told| state.has(layout.one_b(rm, acc, bal, told));
            if majority.iter().all(|acc| layout.acceptances().any(|told| sent(*acc, told))) {
                let mset = layout.acceptances().filter(|told| majority.iter().any(|acc| sent(*acc, *told)));
                let highest = mset.flatten().max_by_key(|(bal, _)| *bal);
                let val = highest.map_or(Vote::Aborted, |(_, val)| val);
                next.push(state.with(layout.two_a(rm, bal, val)));
            }
        }
    }

    fn phase_1b<const W: usize>(&self, state: &State<W>, rm: usize, acc: usize, next: &mut Vec<State<W>>) {
        let layout = &self.layout;
        let cell = layout.cell(state, rm, acc);
        for bal in cell.mbal + 1..layout.size.ballots {
            if state.has(layout.one_a(rm, bal)) {
                let promised = layout.with_cell(*state, rm, acc, Cell { mbal: bal, ..cell });
                next.push(promised.with(layout.one_b(rm, acc, bal, cell.accepted)));
            }
        }
    }

    fn phase_2b<const W: usize>(&self, state: &State<W>, rm: usize, acc: usize, next: &mut Vec<State<W>>) {
        let layout = &self.layout;
        for bal in layout.cell(state, rm, acc).mbal..layout.size.ballots {
            for val in VOTES {
                if state.has(layout.two_a(rm, bal, val)) {
                    let cell = Cell { mbal: bal, accepted: Some((bal, val)) };
                    next.push(layout.with_cell(*state, rm, acc, cell).with(layout.two_b(rm, acc, bal, val)));
                }
            }
        }
    }

    fn decide<const W: usize>(&self, state: &State<W>, next: &mut Vec<State<W>>) -> u64 {
        let mut further = 0;
        for (message, to, witnesses) in self.decisions(state, 0..self.layout.size.ballots) {
            match self.decides {
                _ if witnesses == 0 => continue,
                Decides::Anyone => next.push(state.with(message)),
                Decides::Learners => self.take(state, message, to, next),
            }
            further += witnesses - 1;
        }
        if self.decides == Decides::Learners {
            for bal in 1..self.layout.size.ballots {
                let decisions = self.decisions(state, bal..bal + 1).into_iter();
                next.extend(
                    decisions.filter(|(.., witnesses)| *witnesses > 0).map(|(message, ..)| state.with(message)),
                );
            }
        }
        further
    }

    /// *Decide* and *RMRcv* as one.
    fn take<const W: usize>(&self, state: &State<W>, message: usize, to: Rm, next: &mut Vec<State<W>>) {
        let waits = |rm: &usize| matches!(self.layout.rm(state, *rm), Rm::Working | Rm::Prepared);
        let takers = (0..self.layout.size.rms).filter(waits);
        next.extend(takers.map(|rm| self.layout.with_rm(*state, rm, to).with(message)));
    }

    /// Commit and Abort, what becomes of those who are told, and how many witnesses there are in these ballots.
    fn decisions<const W: usize>(&self, state: &State<W>, ballots: Range<usize>) -> [(usize, Rm, u64); 2] {
        let witnesses = |val| (0..self.layout.size.rms).map(move |rm| (rm, val));
        let count = |(rm, val)| self.witnesses_in(state, rm, val, ballots.clone());
        let commit = witnesses(Vote::Prepared).map(count).product();
        let abort = witnesses(Vote::Aborted).map(count).sum();
        [(self.layout.commit, Rm::Committed, commit), (self.layout.abort, Rm::Aborted, abort)]
    }

    /// How many ballots and majorities bear witness that `val` is chosen.
    pub(crate) fn witnesses<const W: usize>(&self, state: &State<W>, rm: usize, val: Vote) -> u64 {
        self.witnesses_in(state, rm, val, 0..self.layout.size.ballots)
    }

    fn witnesses_in<const W: usize>(&self, state: &State<W>, rm: usize, val: Vote, ballots: Range<usize>) -> u64 {
        let sent = |acc: &usize, bal| state.has(self.layout.two_b(rm, *acc, bal, val));
        let of = |bal| self.majorities.iter().filter(|majority| majority.iter().all(|acc| sent(acc, bal))).count();
        ballots.map(|bal| of(bal) as u64).sum()
    }

    /// An error unless each of `next` is `state` itself, or one step of the specification away.
    pub(crate) fn allows<'a, const W: usize>(
        &self,
        state: &State<W>,
        next: impl IntoIterator<Item = &'a State<W>>,
    ) -> Result<(), String> {
        let mut allowed = Vec::with_capacity(32);
        self.successors(state, &mut allowed);
        match next.into_iter().find(|to| **to != *state && !allowed.contains(to)) {
            Some(to) => Err(format!("the specification has no step that leads to{}", self.layout.describe(to))),
            None => Ok(()),
        }
    }

    /// The least number of steps, at most `limit`, that lead from one state to another.
    pub(crate) fn distance<const W: usize>(&self, from: &State<W>, to: &State<W>, limit: usize) -> Option<usize> {
        let (mut reached, mut next) = (vec![*from], Vec::with_capacity(32));
        for steps in 0..limit {
            if reached.contains(to) {
                return Some(steps);
            }
            for state in reached.drain(..) {
                self.successors(&state, &mut next);
            }
            for state in next.drain(..) {
                // What was sent stays sent.
                if self.layout.sent_within(&state, to) && !reached.contains(&state) {
                    reached.push(state);
                }
            }
        }
        reached.contains(to).then_some(limit)
    }

    /// What must hold in every state.
    pub(crate) fn check<const W: usize>(&self, state: &State<W>) -> Result<(), String> {
        let Size { rms, acceptors, ballots } = self.layout.size;
        let mut chosen = Vec::with_capacity(rms);
        for rm in 0..rms {
            let two_a = |bal, val| state.has(self.layout.two_a(rm, bal, val));
            if (0..ballots).any(|bal| VOTES.iter().all(|val| two_a(bal, *val))) {
                return Err(format!("one value per ballot: instance {rm} has a ballot with two"));
            }
            for acc in 0..acceptors {
                let Cell { mbal, accepted } = self.layout.cell(state, rm, acc);
                if accepted.is_some_and(|(bal, _)| bal > mbal) {
                    return Err(format!("promised >= accepted: not so in instance {rm}, acceptor {acc}"));
                }
                let two_b = |bal, val| state.has(self.layout.two_b(rm, acc, bal, val));
                if (0..ballots).any(|bal| VOTES.iter().any(|val| two_b(bal, *val) && !two_a(bal, *val))) {
                    return Err(format!("validity: acceptor {acc} took what nobody proposed in instance {rm}"));
                }
            }
            let [prepared, aborted] = VOTES.map(|val| self.witnesses(state, rm, val) > 0);
            if prepared && aborted {
                return Err(format!("agreement: instance {rm} chose both votes"));
            }
            if prepared && !two_a(0, Vote::Prepared) {
                return Err(format!("validity: instance {rm} chose Prepared, which its owner never was"));
            }
            chosen.push((prepared, aborted));
        }
        self.check_outcome(state, &chosen)
    }

    fn check_outcome<const W: usize>(&self, state: &State<W>, chosen: &[(bool, bool)]) -> Result<(), String> {
        let (commit, abort) = (state.has(self.layout.commit), state.has(self.layout.abort));
        let any = |rm_state| (0..chosen.len()).any(|rm| self.layout.rm(state, rm) == rm_state);
        if commit && abort || any(Rm::Committed) && any(Rm::Aborted) {
            return Err("agreement: committed and aborted".into());
        }
        if commit && !chosen.iter().all(|(prepared, _)| *prepared) {
            return Err("validity: Commit, and not every instance chose Prepared".into());
        }
        if abort && !chosen.iter().any(|(_, aborted)| *aborted) {
            return Err("validity: Abort, and no instance chose Aborted".into());
        }
        if any(Rm::Committed) && !commit {
            return Err("validity: a resource manager committed without being told".into());
        }
        Ok(())
    }
}

fn majorities(acceptors: usize) -> Vec<Vec<usize>> {
    let sets = (0u32..1 << acceptors).filter(|set| set.count_ones() as usize == acceptors / 2 + 1);
    sets.map(|set| (0..acceptors).filter(|acc| set >> acc & 1 == 1).collect()).collect()
}
