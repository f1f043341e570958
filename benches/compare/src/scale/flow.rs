//! Transactions without end through a cluster that loses messages: memory must not grow with history.

use std::{collections::VecDeque, fs, time::Instant};

use anyhow::{Context, Result};
use synod::{
    Effect, Machine, NodeId, Quorums,
    commit::{self, Cluster, ClusterId, Config, Decision, Input, Message, Meta, Node, Participants, Time, Vote},
    sim::Rng,
};

use crate::{Args, alloc::Allocated, subject::value, table::Figures};

/// Every node is an acceptor, a transaction manager and a resource manager.
const NODES: [NodeId; 3] = [NodeId(0), NodeId(1), NodeId(2)];
const IN_FLIGHT: u64 = 1_000;
/// One message in so many is lost.
const LOST: u64 = 100;
/// How often the figures are read.
const READINGS: u64 = 10;

struct Cast {
    nodes: Vec<Node>,
    network: VecDeque<(NodeId, NodeId, Message)>,
    effects: Vec<commit::Effect>,
    rng: Rng,
    now: u64,
    begun: u64,
    completed: u64,
    aborted: u64,
    lost: u64,
}

/// Prints and writes the readings.
pub fn run(args: &Args) -> Result<()> {
    let numbers = ["resident MiB", "heap MiB", "open", "retired ranges", "unacknowledged", "aborted", "lost", "tx/s"];
    let mut table = Figures::new(&["transactions"], &numbers);
    let mut cast = Cast::new();
    for reading in 1..=READINGS {
        let (goal, started, before) = (args.transactions * reading / READINGS, Instant::now(), cast.completed);
        let mut most = [0usize; 3];
        while cast.completed < goal {
            cast.go_on(goal);
            let metrics = cast.nodes.iter().map(Node::metrics);
            for metrics in metrics {
                let now = [metrics.open, metrics.retired_ranges, metrics.unacknowledged_ranges];
                most = [0, 1, 2].map(|place| most[place].max(now[place]));
            }
        }
        let speed = (cast.completed - before) as f64 / started.elapsed().as_secs_f64();
        let [open, retired, unacknowledged] = most.map(|most| most as f64);
        let heap = Allocated::now().live as f64 / f64::from(1 << 20);
        let (aborted, lost) = (cast.aborted as f64, cast.lost as f64);
        let numbers = [resident()?, heap, open, retired, unacknowledged, aborted, lost, speed.round()];
        table.push(vec![cast.completed.to_string()], numbers.map(Some).to_vec());
    }
    table.print();
    println!(
        "\
Three nodes that play every role, 1,000 transactions in flight, one message in a hundred lost. open, retired ranges,
unacknowledged: the most that any node had since the line above."
    );
    table.write(&args.options.out, "flow")
}

impl Cast {
    fn new() -> Self {
        let quorums = Quorums::majority(NODES).expect("three");
        let cluster = Cluster::new(ClusterId::default(), quorums, NODES).expect("a plain cluster");
        Self {
            nodes: NODES.map(|id| Node::create(Config::new(cluster.clone(), id, id.0)).0).into(),
            network: VecDeque::new(),
            effects: Vec::new(),
            rng: Rng::new(1),
            now: 0,
            begun: 0,
            completed: 0,
            aborted: 0,
            lost: 0,
        }
    }

    /// Begins what may be in flight, delivers what is on its way, and lets time pass.
    fn go_on(&mut self, goal: u64) {
        while self.begun < goal && self.begun - self.completed < IN_FLIGHT {
            let at = NODES[(self.begun % 3) as usize];
            self.begun += 1;
            let participants = Participants::new(NODES).expect("three");
            self.step(at, Input::Begin { participants, meta: Meta::from(value(self.begun)) });
        }
        while let Some((from, to, message)) = self.network.pop_front() {
            if self.rng.below(LOST) == 0 {
                self.lost += 1;
            } else {
                self.step(to, Input::Receive { from, message });
            }
        }
        self.now += 1;
        NODES.into_iter().for_each(|node| self.step(node, Input::Tick(Time(self.now))));
        // A transaction is over when no node has it open.
        let open = self.nodes.iter().map(|node| node.metrics().open as u64).max().unwrap_or(0);
        self.completed = self.begun - open;
        let waiting = self.begun == goal || open >= IN_FLIGHT;
        if self.network.is_empty()
            && waiting
            && let Some(next) = self.nodes.iter().filter_map(Node::deadline).min()
        {
            // Nothing can happen before that.
            self.now = self.now.max(next.0);
        }
    }

    fn step(&mut self, at: NodeId, input: Input) {
        // What comes late is refused.
        let _ = self.nodes[at.0 as usize].step_into(input, &mut self.effects);
        let mut effects = std::mem::take(&mut self.effects);
        let mut answers = Vec::new();
        for effect in effects.drain(..) {
            match effect {
                Effect::Persist(_) => {}
                Effect::Send { to, message } => self.network.push_back((at, to, message)),
                Effect::Decide(Decision::Vote { transaction, .. }) => {
                    answers.push(Input::Vote { transaction, vote: Vote::Prepared });
                }
                Effect::Decide(Decision::Commit { transaction, .. }) => answers.push(Input::Finished(transaction.id())),
                Effect::Decide(Decision::Abort { transaction, .. }) => {
                    self.aborted += u64::from(transaction.id().origin == at);
                    answers.push(Input::Finished(transaction.id()));
                }
                Effect::Decide(
                    Decision::Begun(_)
                    | Decision::Named(_)
                    | Decision::Decided { .. }
                    | Decision::Completed { .. }
                    | Decision::Forget(_)
                    | Decision::Epoch { .. }
                    | Decision::Changed { .. },
                ) => {}
            }
        }
        self.effects = effects;
        answers.into_iter().for_each(|answer| self.step(at, answer));
    }
}

/// Resident memory of this process, in MiB.
fn resident() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is no number")?;
    Ok(kib / 1024.0)
}
