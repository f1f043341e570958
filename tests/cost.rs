//! The cost of one transaction, counted from the effects of real nodes, and equal to the paper's formulas.
//!
//! Gray and Lamport 2006, section 5. A message is one packet between two processes, until all resource managers know
//! the outcome. Writes are the records of votes and of bundles. `cargo test --test cost -- --nocapture` prints the table.

use std::collections::{BTreeMap, BTreeSet};

use synod::{
    NodeId, Outbox, Packet, Quorums, TxId,
    commit::{
        ClusterId, ClusterSpec, Config, Decision, Input, Learning, Message, Meta, Node, Record, Targets, Transaction,
        Vote, What,
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placement {
    /// Each resource manager and each acceptor is a process; the transaction manager sits on the first acceptor's.
    Apart,
    /// Acceptors sit on resource managers' processes, and the transaction manager on the first one's.
    Colocated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    delays: u64,
    packets: u64,
    writes: u64,
    write_delays: u64,
}

/// A message on its way, and how many writes it had to wait for, one after the other, from the Prepare messages on.
struct InFlight {
    from: NodeId,
    to: NodeId,
    message: Message,
    depth: u64,
}

/// One process, and how many writes each of its roles had to wait for, one after the other.
struct Process {
    node: Node,
    outbox: Outbox<Record, Message, Decision>,
    rm: u64,
    acceptor: u64,
    manager: u64,
}

/// One transaction of `n` resource managers on its way to the outcome.
struct Run {
    transaction: Transaction,
    processes: BTreeMap<NodeId, Process>,
    /// What arrives one delay from now.
    network: Vec<InFlight>,
    /// Who is asked to vote.
    asked: Vec<NodeId>,
    committed: BTreeSet<NodeId>,
    cost: Cost,
}

/// Packets of a moment are delivered before the resources answer; effects are released after every input.
fn measure(n: u64, f: u64, placement: Placement, learning: Learning) -> Cost {
    let rms: Vec<NodeId> = (1..=n).map(NodeId).collect();
    let beside = if placement == Placement::Colocated { f + 1 } else { 0 };
    let acceptors: Vec<NodeId> = (0..2 * f + 1).map(|a| NodeId(if a < beside { 1 + a } else { 100 + a })).collect();
    let spec = ClusterSpec::new(ClusterId::default(), Quorums::majority(&acceptors).unwrap(), [acceptors[0]]);
    let cluster = spec.with_learning(learning).with_targets(Targets::Quorum).build().unwrap();
    let ids: BTreeSet<NodeId> = rms.iter().chain(&acceptors).copied().collect();
    let process = |id| {
        let (node, _) = Node::create(Config::new(cluster.clone(), id, 0));
        (id, Process { node, outbox: Outbox::new(), rm: 0, acceptor: 0, manager: 0 })
    };
    let mut run = Run {
        // The client's name: to reserve names of a node's own is no part of a commit.
        transaction: Transaction::new(TxId { origin: NodeId(1_000), seq: 1 }, &rms, []).unwrap(),
        processes: ids.into_iter().map(process).collect(),
        network: Vec::new(),
        asked: Vec::new(),
        committed: BTreeSet::new(),
        cost: Cost { delays: 0, packets: 0, writes: 0, write_delays: 0 },
    };
    run.step(NodeId(1), Input::BeginAs { transaction: run.transaction.clone(), meta: Meta::default() });
    run.vote();
    while run.committed.len() < rms.len() {
        assert!(!run.network.is_empty(), "the transaction is stuck");
        run.cost.delays += 1;
        assert!(run.cost.delays < 100, "the nodes do not stop talking");
        for InFlight { from, to, message, depth } in std::mem::take(&mut run.network) {
            let process = run.processes.get_mut(&to).unwrap();
            process.hear(&message, depth);
            run.step(to, Input::Receive { from, message });
        }
        run.vote();
    }
    run.cost
}

fn said(message: &Message) -> &What {
    match message {
        Message::About { what, .. } => what,
        other => panic!("{other:?} is not part of a commit"),
    }
}

impl Process {
    fn hear(&mut self, message: &Message, depth: u64) {
        let role = match said(message) {
            What::Vote { .. } => &mut self.acceptor,
            What::Phase2b { .. } if self.node.config().cluster.learning() == Learning::Leader => &mut self.manager,
            What::Phase2b { .. } | What::Outcome(_) => &mut self.rm,
            // The count starts here.
            What::Begin { .. } | What::Prepare { .. } => return,
            other => panic!("{other:?} is not part of a commit"),
        };
        *role = depth.max(*role);
    }

    /// A vote waits for what its resource manager heard; a bundle for the votes in it, the local one among them.
    fn write(&mut self, record: &Record) {
        match record {
            Record::ResourceManager(_) => self.rm += 1,
            Record::Acceptor(_) => self.acceptor = self.acceptor.max(self.rm) + 1,
            other => panic!("{other:?} is neither a vote nor a bundle"),
        }
    }

    fn depth_of(&self, message: &Message) -> u64 {
        match said(message) {
            What::Vote { .. } | What::Begin { .. } => self.rm,
            What::Phase2b { .. } => self.acceptor,
            What::Outcome(_) => self.manager.max(self.acceptor),
            _ => 0,
        }
    }
}

impl Run {
    fn vote(&mut self) {
        for at in std::mem::take(&mut self.asked) {
            self.step(at, Input::Vote { transaction: self.transaction.clone(), vote: Vote::Prepared });
        }
    }

    fn step(&mut self, at: NodeId, input: Input) {
        let process = self.processes.get_mut(&at).unwrap();
        let taken = process.outbox.step(&mut process.node, input);
        assert_eq!(taken, Ok(()), "nothing is refused on the way to a commit");
        let Some(pending) = process.outbox.take() else { return };
        for record in pending.records() {
            self.cost.writes += 1;
            process.write(record);
        }
        let (packets, decisions) = pending.persisted().into_parts();
        for Packet { to, messages } in packets {
            self.cost.packets += 1;
            for message in messages {
                let depth = process.depth_of(&message);
                self.network.push(InFlight { from: at, to, message, depth });
            }
        }
        for decision in decisions {
            match decision {
                Decision::Vote { .. } => self.asked.push(at),
                Decision::Commit { .. } => {
                    self.committed.insert(at);
                    self.cost.write_delays =
                        self.cost.write_delays.max(process.rm).max(process.acceptor).max(process.manager);
                }
                Decision::Decided { .. } => {}
                other => panic!("{other:?} is not part of a commit"),
            }
        }
    }
}

/// The paper's figures, and the two that follow for the smallest co-located case: there the second acceptor completes
/// its bundle with its own resource manager's vote, and both travel in one packet.
fn formula(n: u64, f: u64, placement: Placement, learning: Learning) -> Cost {
    let (apart, faster) = (placement == Placement::Apart, learning == Learning::Everyone);
    let small = !apart && (n, f) == (2, 1);
    let packets = match (apart, faster) {
        _ if small => 4,
        (true, false) if f == 0 => 3 * n - 1,
        (true, false) => n * f + f + 3 * n - 1,
        (true, true) => 2 * n * f + 3 * n - 1,
        (false, false) => n * f + 3 * n - 3,
        (false, true) => 2 * n * f + 3 * n - 2 * f - 3,
    };
    let delays = match (apart, faster || f == 0 || small) {
        (true, false) => 5,
        (true, true) | (false, false) => 4,
        (false, true) => 3,
    };
    Cost { delays, packets, writes: n + f + 1, write_delays: 2 }
}

#[test]
fn every_cell_of_the_papers_cost_table_is_met_exactly() {
    println!("measured/formula        placement   mode          delays  packets   writes  write delays");
    for placement in [Placement::Apart, Placement::Colocated] {
        for learning in [Learning::Leader, Learning::Everyone] {
            for f in 0..=4 {
                for n in (2..=10).filter(|n| placement == Placement::Apart || *n > f) {
                    let (measured, formula) = (measure(n, f, placement, learning), formula(n, f, placement, learning));
                    let mode = match (learning, f) {
                        (Learning::Leader, 0) => "2PC",
                        (Learning::Leader, _) => "Paxos Commit",
                        (Learning::Everyone, _) => "Faster",
                    };
                    println!(
                        "N = {n:2}, F = {f}           {placement:<10?}  {mode:<12}  {:>2}/{:<2}   {:>3}/{:<3}    {:>2}/{:<2}     {}/{}",
                        measured.delays,
                        formula.delays,
                        measured.packets,
                        formula.packets,
                        measured.writes,
                        formula.writes,
                        measured.write_delays,
                        formula.write_delays,
                    );
                    assert_eq!(measured, formula, "N = {n}, F = {f}, {placement:?}, {mode}");
                }
            }
        }
    }
}
