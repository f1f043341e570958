//! An acceptor with many open transactions.

use std::time::Instant;

use synod::{
    Machine, NodeId,
    commit::{self, Config, Input, Limits, Message, Node, Time},
    sim::Rng,
};

use crate::{
    alloc::Allocated,
    parties::{ACCEPTORS, RMS, cluster, prepared, vote},
};

/// How many messages are made ready before they are delivered under the clock.
const CHUNK: usize = 256;
/// How many votes of a kind are delivered under the clock, at most.
const VOTES: usize = 400_000;
/// How many of them come in one packet.
const PACKET: usize = 64;
const TICKS: u64 = 10_000;
/// How many transactions are opened for one line of the table, about.
const OPENED: usize = 8_000_000;

/// What it is like.
#[derive(Clone, Copy)]
pub struct At {
    /// Votes that come one by one.
    pub alone: Votes,
    /// Votes that come in packets.
    pub ahead: Votes,
    /// Live heap per transaction, at its most.
    pub bytes: f64,
    /// Nanoseconds for a tick at which nothing is due.
    pub tick: f64,
}

/// Nanoseconds for a vote.
#[derive(Clone, Copy)]
pub struct Votes {
    /// For a second one, which is gathered.
    pub second: f64,
    /// For a third one, which completes the bundle.
    pub third: f64,
}

impl At {
    /// The least of each: what else the machine does can only add to them.
    fn least(self, other: Self) -> Self {
        let Self { alone, ahead, bytes, tick } = other;
        Self {
            alone: self.alone.least(alone),
            ahead: self.ahead.least(ahead),
            bytes: self.bytes.min(bytes),
            tick: self.tick.min(tick),
        }
    }
}

impl Votes {
    fn least(self, other: Self) -> Self {
        Self { second: self.second.min(other.second), third: self.third.min(other.third) }
    }

    /// For either.
    pub fn mean(&self) -> f64 {
        (self.second + self.third) / 2.0
    }
}

struct Acceptor {
    node: Node,
    effects: Vec<commit::Effect>,
}

/// Opens `count` transactions at an acceptor and measures, several times where that is quickly done.
pub fn measure(count: usize) -> At {
    let times = (OPENED / count).clamp(1, 100);
    let once = measure_once(count);
    (1..times).map(|_| measure_once(count)).fold(once, At::least)
}

fn measure_once(count: usize) -> At {
    let limits = Limits::default().with_open(count + 1);
    let cluster = cluster().spec().clone().with_limits(limits).build().expect("a plain cluster");
    let before = Allocated::now();
    let node = Node::create(Config::new(cluster, ACCEPTORS[1], 7)).0;
    let mut acceptor = Acceptor { node, effects: Vec::with_capacity(64) };
    let bytes = |acceptor: &Acceptor| {
        let lists = acceptor.effects.capacity() * size_of::<commit::Effect>();
        ((Allocated::now() - before).live as f64 - lists as f64) / count as f64
    };

    for number in 0..count {
        acceptor.vote(number, RMS[0]);
        if number % 1_000 == 0 {
            acceptor.tick(0);
        }
    }
    acceptor.tick(0);
    let opened = bytes(&acceptor);
    let started = Instant::now();
    for now in 1..=TICKS {
        // Nothing is due before the flush time-out of 200.
        acceptor.tick(now.min(100));
    }
    let tick = started.elapsed().as_nanos() as f64 / TICKS as f64;

    let second = acceptor.all_vote(&shuffled(count), RMS[1]);
    let gathered = bytes(&acceptor);
    let third = acceptor.all_vote(&shuffled(count), RMS[2]);
    let written = bytes(&acceptor);
    assert_eq!(acceptor.node.metrics().writes, count as u64, "every bundle is written");
    let votes = |way: usize| Votes { second: second[way], third: third[way] };
    At { alone: votes(0), ahead: votes(1), bytes: opened.max(gathered).max(written), tick }
}

impl Acceptor {
    fn vote(&mut self, number: usize, from: NodeId) {
        self.node.step_into(vote(number as u64, from), &mut self.effects).expect("a first vote");
        self.effects.clear();
    }

    fn tick(&mut self, now: u64) {
        self.node.step_into(Input::Tick(Time(now)), &mut self.effects).expect("time goes on");
        self.effects.clear();
    }

    /// Delivers the votes of `from` and returns how long one takes: one by one, and in packets.
    fn all_vote(&mut self, numbers: &[u32], from: NodeId) -> [f64; 2] {
        let (sample, rest) = numbers.split_at(numbers.len().min(VOTES));
        let (alone, ahead) = sample.split_at(sample.len() / 2);
        let times = [self.votes(alone, from, 1), self.votes(ahead, from, PACKET)];
        for numbers in rest.chunks(1_000) {
            self.tick(100);
            numbers.iter().for_each(|number| self.vote(*number as usize, from));
        }
        self.tick(100);
        times
    }

    /// Delivers votes of `from`, so many in each packet, and returns how long one takes.
    fn votes(&mut self, numbers: &[u32], from: NodeId, packet: usize) -> f64 {
        let mut times = Vec::new();
        for numbers in numbers.chunks(CHUNK) {
            let votes: Vec<Message> = numbers.iter().map(|number| prepared((*number).into())).collect();
            let started = Instant::now();
            for messages in votes.chunks(packet) {
                self.node.receive(from, messages, &mut self.effects);
                self.effects.clear();
            }
            times.push(started.elapsed().as_nanos() as f64 / numbers.len() as f64);
        }
        times.sort_by(f64::total_cmp);
        // Not the mean: what else the machine does would count. Not the best: few chunks miss so few caches.
        times[times.len() / 4]
    }
}

/// All numbers below `count`, in random order.
fn shuffled(count: usize) -> Vec<u32> {
    let mut rng = Rng::new(count as u64);
    let mut order: Vec<u32> = (0..count as u32).collect();
    for place in (1..count).rev() {
        order.swap(place, rng.below(place as u64 + 1) as usize);
    }
    order
}
