//! Bytes: a frame of votes, and an acceptor's record.

#![allow(missing_docs, reason = "what criterion makes has none")]

use std::hint::black_box;

use compare::parties::{ACCEPTORS, RMS, cluster, vote};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use synod::{
    Effect, Machine,
    codec::{decode_frame, decode_record, encode_frame_into, encode_record},
    commit::{Config, Input, Message, Node},
};

const VOTES: u64 = 100;

fn frames(c: &mut Criterion) {
    let (cluster, from, to) = (cluster().id(), RMS[0], ACCEPTORS[1]);
    let messages: Vec<Message> = (0..VOTES).map(|number| message(vote(number, from))).collect();
    let mut bytes = Vec::new();
    encode_frame_into(&mut bytes, cluster, from, to, &messages);
    let (frame, mut group) = (bytes.clone(), c.benchmark_group("frame of 100 votes"));
    group.throughput(Throughput::Elements(VOTES));
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            bytes.clear();
            encode_frame_into(&mut bytes, cluster, from, to, black_box(&messages));
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter_with_large_drop(|| decode_frame(black_box(&frame), cluster, to).expect("a frame"));
    });
}

fn records(c: &mut Criterion) {
    let mut acceptor = Node::create(Config::new(cluster(), ACCEPTORS[1], 7)).0;
    let effects = RMS.into_iter().flat_map(|rm| acceptor.step(vote(1, rm)));
    let mut records = effects.filter_map(|effect| match effect {
        Effect::Persist(record) => Some(record),
        Effect::Send { .. } | Effect::Decide(_) => None,
    });
    let record = records.next().expect("a bundle");
    let (bytes, mut group) = (encode_record(&record), c.benchmark_group("acceptor's record"));
    group.bench_function("encode", |bencher| bencher.iter(|| encode_record(black_box(&record))));
    group.bench_function("decode", |bencher| bencher.iter(|| decode_record(black_box(&bytes))));
}

fn message(input: Input) -> Message {
    match input {
        Input::Receive { message, .. } => message,
        other => panic!("no message: {other:?}"),
    }
}

criterion_group!(benches, frames, records);
criterion_main!(benches);
