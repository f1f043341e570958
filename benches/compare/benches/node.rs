//! Whole nodes: a transaction among them, and a vote at an acceptor with many open transactions.

#![allow(missing_docs, reason = "what criterion makes has none")]

use std::cell::RefCell;

use compare::{
    parties::{ACCEPTORS, MANAGER, RMS, cluster, tx, vote},
    subject::Subject,
    synods::commit::Synod,
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use synod::{
    Machine,
    commit::{self, Config, Input, Message, Node, TxRange},
    sim::Rng,
};

/// From the beginning until it is retired everywhere.
fn transaction(c: &mut Criterion) {
    for (name, faster) in [("Paxos Commit", false), ("Faster Paxos Commit", true)] {
        let mut nodes = Synod::new(3, 1, 1, faster);
        c.bench_function(&format!("a transaction, {name}, N=3, F=1"), |bencher| {
            bencher.iter(|| nodes.decide(1) + nodes.complete());
        });
    }
}

/// The second of three votes, which is gathered.
fn votes(c: &mut Criterion) {
    for open in [1_000, 100_000] {
        let acceptor = RefCell::new(Acceptor::new(open));
        c.bench_function(&format!("a vote, {open} open"), |bencher| {
            bencher.iter_batched(
                || acceptor.borrow_mut().next_vote(),
                |vote| acceptor.borrow_mut().step(vote),
                BatchSize::NumIterations(BATCH),
            );
        });
    }
}

const BATCH: u64 = 256;

/// An acceptor that always has the same number of transactions open.
struct Acceptor {
    node: Node,
    effects: Vec<commit::Effect>,
    /// The open transactions, in random order. They get a second vote one after the other, round and round.
    open: Vec<u64>,
    at: usize,
    opened: u64,
}

impl Acceptor {
    fn new(count: usize) -> Self {
        let node = Node::create(Config::new(cluster(), ACCEPTORS[1], 7)).0;
        let mut acceptor = Self { node, effects: Vec::with_capacity(64), open: vec![0; count], at: 0, opened: 0 };
        (0..count).for_each(|place| acceptor.open_at(place));
        let mut rng = Rng::new(count as u64);
        for place in (1..count).rev() {
            acceptor.open.swap(place, rng.below(place as u64 + 1) as usize);
        }
        acceptor
    }

    /// A second vote for one of them. The one that got it half a round ago gives its place to a new one: not lately, so
    /// that what is measured finds no memory warm that would not be.
    fn next_vote(&mut self) -> Input {
        let count = self.open.len();
        let old = (self.at + count / 2) % count;
        let over = Message::retired(TxRange::only(tx(self.open[old])));
        self.step(Input::Receive { from: MANAGER, message: over });
        self.open_at(old);
        let vote = vote(self.open[self.at], RMS[1]);
        self.at = (self.at + 1) % count;
        vote
    }

    fn open_at(&mut self, place: usize) {
        self.opened += 1;
        self.open[place] = self.opened;
        self.step(vote(self.opened, RMS[0]));
    }

    fn step(&mut self, input: Input) {
        let _ = self.node.step_into(input, &mut self.effects);
        self.effects.clear();
    }
}

criterion_group!(benches, transaction, votes);
criterion_main!(benches);
