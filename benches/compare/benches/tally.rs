//! Counting acceptors.

#![allow(missing_docs, reason = "what criterion makes has none")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use synod::{Ballot, NodeId, Phase, Quorums, Standing, Tally};

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
        c.bench_function(&format!("{name}, a tally of five"), |bencher| {
            bencher.iter(|| {
                let (quorums, mut tally) = (black_box(&quorums), Tally::new(ballot));
                let won = |from| {
                    tally.grant(quorums, from, ballot);
                    tally.standing(quorums, Phase::Accept) == Standing::Won
                };
                nodes().map(won).filter(|won| *won).count()
            });
        });
    }
}

criterion_group!(benches, counting);
criterion_main!(benches);
