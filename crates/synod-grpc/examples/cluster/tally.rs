//! What changes of the members did to transfers.

use std::time::{Duration, Instant};

use synod::commit::Outcome;

use crate::{
    audit::Audit,
    counter::{Cut, Errand},
    say,
};

/// What changes did to transfers, one by one.
#[derive(Default)]
pub(crate) struct Tally {
    refused: u64,
    aborted: Vec<u64>,
    again: u64,
    held_back: u64,
}

/// When transfers were committed, in order.
pub(crate) struct Commits(Vec<Instant>);

impl Tally {
    pub(crate) fn note(&mut self, errand: &Errand, is_made_again: bool) {
        match errand.cut {
            Some(Cut::Refused) => self.refused += 1,
            Some(Cut::Aborted) => self.aborted.push(errand.tx.seq),
            None => {}
        }
        self.again += u64::from(is_made_again);
        self.held_back += u64::from(errand.was_held_back);
    }

    pub(crate) fn print(&self, audit: &Audit) {
        let aborted = self.aborted.iter().filter(|id| !audit.refused.contains_key(id)).count();
        say::out!(
            "because of changes: {aborted} transfers aborted, {} refused as of an old epoch\n  \
             ({} of all these were begun again), {} held back for a moment",
            self.refused,
            self.again,
            self.held_back
        );
    }
}

impl Commits {
    pub(crate) fn of(ended: &[(Instant, Errand)]) -> Self {
        let commits = ended.iter().filter(|(_, errand)| errand.outcome == Outcome::Committed);
        Self(commits.map(|(ended, _)| *ended).collect())
    }

    /// For how many seconds at most nothing was committed between the two.
    pub(crate) fn pause(&self, from: Instant, to: Instant) -> f64 {
        let within = self.0.iter().copied().filter(|commit| (from..to).contains(commit));
        let (longest, last) =
            within.fold((Duration::ZERO, from), |(longest, last), commit| (longest.max(commit - last), commit));
        longest.max(to - last).as_secs_f64()
    }

    /// The same, between the first commit and the last.
    pub(crate) fn longest_pause(&self) -> f64 {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else { return 0.0 };
        self.pause(*first, *last)
    }
}
