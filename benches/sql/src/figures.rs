//! The figures as a table, as CSV and as a plot.

use std::{path::Path, time::Duration};

use anyhow::Result;
use compare::{
    chart::{
        axis::Axis::{Linear, Log},
        curves::{self, Curve, Panel},
        style::colour,
    },
    table::Figures,
};

use crate::load::Took;

/// What was measured of one contestant with so many clients.
pub struct Case {
    who: &'static str,
    clients: usize,
    pub rounds: Vec<Took>,
}

const NOTES: &str = "\
Transfers between two PostgreSQL servers on one machine, over loopback, with fsync, everything on one disk. tx/s: the median
of the rounds, with the slowest and the fastest one beside it; p50, p99: of all transfers of all rounds;
others: what others had of the processors just before or after, the median. By hand: PREPARE in both, then COMMIT
PREPARED in both, and no record of the outcome anywhere, so a crash leaves locks behind. synod: a cluster of 3 acceptors in
this process, with fjall, and an agent beside each database; synod, 1: the same with one acceptor. dtmrs: its coordinator
in this process, its records in SQLite with synchronous=NORMAL, which it chooses. Plain: one transaction in one server, with
a row in a fence; alone: that, through synod.";

impl Case {
    pub fn new(who: &'static str, clients: usize) -> Self {
        Self { who, clients, rounds: Vec::new() }
    }

    /// Transfers in a second of every round, the slowest first.
    fn speeds(&self) -> Vec<f64> {
        let mut speeds: Vec<_> =
            self.rounds.iter().map(|took| (took.transfers.len() as f64 / took.seconds).round()).collect();
        speeds.sort_by(f64::total_cmp);
        speeds
    }

    /// How many percent of the processors others had, in the middle of the rounds.
    fn others(&self) -> f64 {
        let mut others: Vec<_> = self.rounds.iter().map(|took| took.others).collect();
        others.sort_by(f64::total_cmp);
        at(&others, 0.5).unwrap_or_default().round()
    }

    /// How long transfers took, the shortest first.
    fn times(&self) -> Vec<Duration> {
        let mut times: Vec<_> = self.rounds.iter().flat_map(|took| took.transfers.iter().copied()).collect();
        times.sort_unstable();
        times
    }
}

/// The entry that `share` of all are below.
fn at<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    sorted.get(((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1))).copied()
}

/// Prints a table, and writes it and its plot to `out`.
pub fn show(cases: &[Case], out: &Path) -> Result<()> {
    let mut table = Figures::new(&["clients", "who"], &["tx/s", "slowest", "fastest", "p50 us", "p99 us", "others %"]);
    let names = ["tx/s", "p50 ms", "p99 ms"];
    let mut curves: [Vec<Curve>; 3] = Default::default();
    for case in cases {
        let (speeds, times) = (case.speeds(), case.times());
        let micros = |share| at(&times, share).map(|time| time.as_secs_f64() * 1e6);
        let (speed, [p50, p99]) = (at(&speeds, 0.5), [0.5, 0.99].map(micros));
        let numbers = vec![
            speed,
            at(&speeds, 0.0),
            at(&speeds, 1.0),
            p50.map(f64::round),
            p99.map(f64::round),
            Some(case.others()),
        ];
        table.push(vec![case.clients.to_string(), case.who.into()], numbers);
        let millis = |micros: Option<f64>| micros.map(|micros| micros / 1e3);
        for (curves, figure) in curves.iter_mut().zip([speed, millis(p50), millis(p99)]) {
            let point = figure.map(|figure| (case.clients as f64, figure));
            match curves.iter_mut().find(|curve| curve.name == case.who) {
                Some(curve) => curve.points.extend(point),
                None => curves.push(Curve::new(case.who, colour(case.who), point)),
            }
        }
    }
    table.print();
    println!("{NOTES}");
    table.write(out, "sql")?;
    let titles = [
        "Transfers between two PostgreSQL servers",
        "How long half of them take at most",
        "How long 99 % of them take at most",
    ];
    let axes = [Linear, Log, Log];
    let panels = titles.into_iter().zip(axes).zip(names).zip(curves).map(|(((title, axis), name), curves)| Panel {
        title: title.into(),
        across: (Log, "clients"),
        up: (axis, name),
        curves,
    });
    let path = out.join("sql.svg");
    curves::draw(&path, &panels.collect::<Vec<_>>())?;
    println!("and as a plot in {}", path.display());
    Ok(())
}
