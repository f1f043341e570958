//! What it costs that a process stands still.

use std::time::{Duration, Instant};

use synod::commit::Outcome;

use crate::{
    counter::Errand,
    plan::{Phase, Schedule},
    say,
};

/// So long after it a transfer is begun by those who know.
const KNOWN: Duration = Duration::from_secs(1);

/// So long after the end all must be as before.
const HEALED: Duration = Duration::from_secs(10);

/// When a process stood still.
#[derive(Debug, Default)]
pub(crate) struct Stopped {
    calm: Option<Instant>,
    from: Option<Instant>,
    to: Option<Instant>,
    end: Option<Instant>,
}

impl Stopped {
    pub(crate) fn note(&mut self, schedule: &Schedule) {
        let place = match schedule.phase() {
            Phase::Warm => return,
            Phase::Before => &mut self.calm,
            Phase::Chaos => &mut self.from,
            Phase::After => &mut self.to,
            Phase::Drain => &mut self.end,
        };
        place.get_or_insert(schedule.began());
    }

    pub(crate) fn print(&self, ended: &[(Instant, Errand)]) {
        let Self { calm: Some(calm), from: Some(from), to: Some(to), end: Some(end) } = *self else { return };
        let parts = [
            ("before", calm, from - KNOWN),
            ("in the last second before", from - KNOWN, from),
            ("in the first second", from, from + KNOWN),
            ("later, while it stands still", from + KNOWN, to),
            ("afterwards", to, end),
        ];
        for (name, from, to) in parts {
            let mut waits: Vec<Duration> = ended
                .iter()
                .filter(|(ended, errand)| (from..to).contains(&(*ended - errand.waited)))
                .map(|(_, errand)| errand.waited)
                .collect();
            waits.sort();
            let millis = |place: usize| waits.get(place).map_or(0.0, |wait| wait.as_secs_f64() * 1_000.0);
            let (median, most, longest) = (waits.len() / 2, waits.len() * 99 / 100, waits.len().saturating_sub(1));
            let (p50, p99, longest) = (millis(median), millis(most), millis(longest));
            say::out!("begun {name}: {}; ms p50 {p50:.0}, p99 {p99:.0}, longest {longest:.0}", waits.len());
        }
        let goodput = |from: Instant, to: Instant| {
            let is_good = |(ended, errand): &&(Instant, Errand)| {
                (from..to).contains(ended) && errand.outcome == Outcome::Committed
            };
            ended.iter().filter(is_good).count() as f64 / (to - from).as_secs_f64()
        };
        let (before, healed) = (goodput(calm, from), to + HEALED);
        say::out!("committed/s: before {before:.0}");
        if healed < end {
            let after = goodput(healed, end);
            say::out!("{} s afterwards: {after:.0}, {:.0} %", HEALED.as_secs(), 100.0 * after / before);
        }
    }
}
