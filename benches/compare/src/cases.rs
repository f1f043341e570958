//! Every row of the table.

use crate::{floor, subject::Subject, synods};

/// One row.
pub struct Case {
    /// What is decided, by how many: rows of one group are compared with each other.
    pub group: String,
    /// Who decides it.
    pub who: &'static str,
    /// How many decisions are under way at a time.
    pub in_flight: usize,
    /// Whether what a decision leaves to be done counts.
    pub whole: bool,
    /// Makes the cluster.
    pub make: Box<dyn Fn() -> Box<dyn Subject>>,
}

impl Case {
    /// How many decisions are made in one go.
    pub fn batch(&self) -> usize {
        self.in_flight.max(OPEN)
    }

    /// The row's name, by which it can be asked for.
    pub fn name(&self) -> String {
        format!("{} | {} | {}", self.group, self.who, self.in_flight)
    }
}

/// How many transactions are decided one at a time before they are completed together, where completion is not measured.
const OPEN: usize = 256;

/// One at a time, and many.
const IN_FLIGHT: [usize; 2] = [1, 1_000];

/// All rows.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for in_flight in IN_FLIGHT {
        for full in [true, false] {
            decrees(&mut cases, in_flight, full);
        }
    }
    for in_flight in IN_FLIGHT {
        for faster in [false, true] {
            commits::<2, 1>(&mut cases, in_flight, faster);
            commits::<3, 1>(&mut cases, in_flight, faster);
            commits::<5, 1>(&mut cases, in_flight, faster);
            commits::<10, 1>(&mut cases, in_flight, faster);
            commits::<2, 3>(&mut cases, in_flight, faster);
            commits::<3, 3>(&mut cases, in_flight, faster);
            commits::<5, 3>(&mut cases, in_flight, faster);
            commits::<10, 3>(&mut cases, in_flight, faster);
            commits::<2, 5>(&mut cases, in_flight, faster);
            commits::<3, 5>(&mut cases, in_flight, faster);
            commits::<5, 5>(&mut cases, in_flight, faster);
            commits::<10, 5>(&mut cases, in_flight, faster);
        }
    }
    cases
}

fn decrees(cases: &mut Vec<Case>, in_flight: usize, full: bool) {
    let phases = if full { "both phases" } else { "phase 2 alone" };
    for acceptors in [3, 5] {
        let group = format!("one value, {acceptors} acceptors, {phases}");
        let mut add = |who, make: Box<dyn Fn() -> Box<dyn Subject>>| {
            cases.push(Case { group: group.clone(), who, in_flight, whole: false, make });
        };
        match acceptors {
            3 => add("floor", Box::new(move || Box::new(floor::decree::Floor::<3>::new(in_flight, full)))),
            _ => add("floor", Box::new(move || Box::new(floor::decree::Floor::<5>::new(in_flight, full)))),
        }
        add("synod", Box::new(move || Box::new(synods::decree::Synod::new(acceptors, in_flight, full))));
    }
}

fn commits<const N: usize, const A: usize>(cases: &mut Vec<Case>, in_flight: usize, faster: bool) {
    let mode = if faster { "Faster" } else { "Paxos Commit" };
    let f = A / 2;
    for whole in [false, true] {
        let end = if whole { ", to the end" } else { "" };
        let group = format!("{mode}, N={N}, F={f}{end}");
        let mut add = |who, make: Box<dyn Fn() -> Box<dyn Subject>>| {
            cases.push(Case { group: group.clone(), who, in_flight, whole, make });
        };
        let open = in_flight.max(OPEN);
        add("floor", Box::new(move || Box::new(floor::commit::Floor::<N, A>::new(in_flight, open, faster))));
        add("synod", Box::new(move || Box::new(synods::commit::Synod::new(N, f, in_flight, faster))));
    }
}
