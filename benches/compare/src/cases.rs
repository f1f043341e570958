//! Every row of the table.

use crate::{floor, peers, subject::Subject, synods};

/// One row.
pub struct Case {
    /// What is decided, by how many: rows of one group are compared with each other.
    pub group: String,
    /// Who decides it.
    pub who: &'static str,
    /// How many decisions are under way at a time.
    pub in_flight: usize,
    /// What of a decision counts.
    pub extent: Extent,
    /// Makes the cluster.
    pub make: Box<dyn Fn() -> Box<dyn Subject>>,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// A decision, and what it leaves to be done, if it does.
    Whole,
    /// Up to the decision. What it leaves to be done is done, but not measured.
    Decision,
}

impl Case {
    /// The row's name, by which it can be asked for.
    pub fn name(&self) -> String {
        format!("{} | {} | {}", self.group, self.who, self.in_flight)
    }
}

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
    for faster in [false, true] {
        commits::<2, 1>(&mut cases, faster);
        commits::<3, 1>(&mut cases, faster);
        commits::<5, 1>(&mut cases, faster);
        commits::<10, 1>(&mut cases, faster);
        commits::<2, 3>(&mut cases, faster);
        commits::<3, 3>(&mut cases, faster);
        commits::<5, 3>(&mut cases, faster);
        commits::<10, 3>(&mut cases, faster);
        commits::<2, 5>(&mut cases, faster);
        commits::<3, 5>(&mut cases, faster);
        commits::<5, 5>(&mut cases, faster);
        commits::<10, 5>(&mut cases, faster);
    }
    cases
}

fn decrees(cases: &mut Vec<Case>, in_flight: usize, full: bool) {
    let phases = if full { "both phases" } else { "phase 2 alone" };
    for acceptors in [3, 5] {
        let group = format!("one value, {acceptors} nodes, {phases}");
        let mut add_to = |extent, who, make: Box<dyn Fn() -> Box<dyn Subject>>| {
            cases.push(Case { group: group.clone(), who, in_flight, extent, make });
        };
        let mut add = |who, make| add_to(Extent::Whole, who, make);
        match acceptors {
            3 => add("floor", Box::new(move || Box::new(floor::decree::Floor::<3>::new(in_flight, full)))),
            _ => add("floor", Box::new(move || Box::new(floor::decree::Floor::<5>::new(in_flight, full)))),
        }
        add("synod", Box::new(move || Box::new(synods::decree::Synod::new(acceptors, in_flight, full))));
        if full {
            let nodes = acceptors as usize;
            add("paxos-rust", Box::new(move || Box::new(peers::paxos_rust::Peer::new(nodes, in_flight))));
            continue;
        }
        // Logs, whose cutting is left out of what is measured.
        let mut add = |who, make| add_to(Extent::Decision, who, make);
        add("omnipaxos", Box::new(move || Box::new(peers::omnipaxos::Peer::new(acceptors, in_flight))));
        add("raft", Box::new(move || Box::new(peers::raft::Peer::new(acceptors, in_flight))));
        add("raftbare", Box::new(move || Box::new(peers::raftbare::Peer::new(acceptors, in_flight))));
        let nodes = acceptors as u32;
        add("quepaxa", Box::new(move || Box::new(peers::quepaxa::Peer::new(nodes, in_flight))));
    }
}

/// Every cell of the paper's table one at a time; those of three resource managers also many at a time, to the end, and
/// with packets as bytes.
fn commits<const N: usize, const A: usize>(cases: &mut Vec<Case>, faster: bool) {
    let mode = if faster { "Faster" } else { "Paxos Commit" };
    let f = A / 2;
    let [one, many] = IN_FLIGHT;
    let variants = [(one, Extent::Decision), (many, Extent::Decision), (one, Extent::Whole), (many, Extent::Whole)];
    for (in_flight, extent) in variants.into_iter().take(if N == 3 { 4 } else { 1 }) {
        let end = if extent == Extent::Whole { ", to the end" } else { "" };
        let group = format!("{mode}, N={N}, F={f}{end}");
        let mut add = |who, make: Box<dyn Fn() -> Box<dyn Subject>>| {
            cases.push(Case { group: group.clone(), who, in_flight, extent, make });
        };
        add("floor", Box::new(move || Box::new(floor::commit::Floor::<N, A>::new(in_flight, faster))));
        add("synod", Box::new(move || Box::new(synods::commit::Synod::new(N, f, in_flight, faster))));
    }
    if N == 3 && A == 3 {
        let group = format!("{mode}, N={N}, F={f}, as bytes");
        let mut add = |who, make: Box<dyn Fn() -> Box<dyn Subject>>| {
            cases.push(Case { group: group.clone(), who, in_flight: one, extent: Extent::Decision, make });
        };
        add("floor", Box::new(move || Box::new(floor::commit::Floor::<N, A, true>::new(one, faster))));
        add("synod", Box::new(move || Box::new(synods::wire::Encoded::new(N, f, one, faster))));
    }
}
