//! Counting acceptors.

#![allow(missing_docs, reason = "what criterion makes has none")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use synod::{
    Ballot, Machine, NodeId, Phase, Quorums,
    paxos::{Input, Learner, Message},
};

fn counting(c: &mut Criterion) {
    let nodes = || (0..5).map(NodeId);
    let weights = [3, 1, 1, 1, 1];
    let systems = [
        ("majority", Quorums::majority(nodes())),
        ("flexible", Quorums::flexible(nodes(), 4, 2)),
        ("weighted", Quorums::weighted(nodes().zip(weights), 5, 3)),
    ];
    let ballot = Ballot { round: 1, node: NodeId(0) };
    for (name, quorums) in systems {
        let quorums = quorums.expect("five that intersect");
        let members = quorums.members(nodes().skip(1));
        c.bench_function(&format!("{name}, is a quorum"), |bencher| {
            bencher.iter(|| black_box(&quorums).is_quorum(Phase::Accept, black_box(members)));
        });
        let fresh = Learner::new(quorums);
        let mut effects = Vec::with_capacity(1);
        c.bench_function(&format!("{name}, a learner that hears five"), |bencher| {
            bencher.iter(|| {
                let mut learner = black_box(&fresh).clone();
                effects.clear();
                for from in nodes() {
                    let message = Message::Accepted { ballot, value: 7 };
                    _ = learner.step_into(Input::Receive { from, message }, &mut effects);
                }
                effects.len()
            });
        });
    }
}

criterion_group!(benches, counting);
criterion_main!(benches);
