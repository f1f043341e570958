//! A change with very many transactions that have all their votes, and of which nobody has heard how they ended.

use std::time::Instant;

use synod::{
    Machine, NodeId, TxId, codec,
    commit::{Cluster, Config, EpochMessage, Fingerprint, Input, Limits, Message, Node, Transaction, Vote, What},
};

use super::world::World;
use crate::{
    alloc::Allocated,
    parties::{ACCEPTORS, MANAGER, RMS, cluster},
    subject::value,
};

/// Who comes in the place of the last acceptor.
const NEWCOMER: NodeId = NodeId(14);

/// What such a change took.
pub struct Many {
    /// Messages with a page of them.
    pub pages: u64,
    /// The bytes of the longest one.
    pub longest: u64,
    /// How much more memory was in use than before, at its most and at the end, beside the ending; per node.
    pub peak: f64,
    pub after: f64,
    pub milliseconds: f64,
}

/// Hands over `count` transactions whose names are `step` apart.
pub fn measure(count: u64, step: u64) -> Many {
    let limits = Limits::default().with_open(count as usize + 8);
    let cluster = cluster().spec().clone().with_limits(limits).build().expect("a plain cluster");
    let mut world = World::new(1, 1);
    for id in ACCEPTORS {
        let node = acceptor(&cluster, id, count, step);
        world.add((node, Vec::new()));
    }
    world.add(Node::join(Config::new(cluster.clone(), NEWCOMER, 1)));
    let next = cluster.membership().replace(ACCEPTORS[2], NEWCOMER);
    let (before, started) = (Allocated::now().live, Instant::now());
    Allocated::take_peak();
    let mut many = Many { pages: 0, longest: 0, peak: 0.0, after: 0.0, milliseconds: 0.0 };
    assert!(world.step(MANAGER, Input::Change(next.into())), "the change is refused");
    let mut longest = None;
    let nodes = [ACCEPTORS[0], ACCEPTORS[1], ACCEPTORS[2], NEWCOMER];
    let is_over = |world: &World| {
        nodes.iter().all(|at| world.node(*at).and_then(Node::epoch).is_some_and(|epoch| epoch.number == 1))
    };
    while !is_over(&world) && world.go_on() {
        world.news.clear();
        for message in world.told.drain(..) {
            many.pages += 1;
            let length = entries(&message);
            if longest.as_ref().is_none_or(|(most, _)| length > *most) {
                longest = Some((length, message));
            }
        }
    }
    assert!(is_over(&world), "the change has not come about");
    many.milliseconds = started.elapsed().as_secs_f64() * 1e3;
    let ending = (count as usize * size_of::<Fingerprint>() * nodes.len()) as f64;
    many.peak = (Allocated::take_peak() - before) as f64 / ending;
    many.after = (Allocated::now().live - before) as f64 / ending;
    if let Some((_, message)) = longest {
        let frame = codec::encode_frame(cluster.id(), MANAGER, NEWCOMER, &[message]);
        many.longest = frame.len() as u64;
    }
    many
}

/// How many entries a page has; none if it is no page.
fn entries(message: &Message) -> usize {
    let Message::Epoch { what, .. } = message else { return 0 };
    match &**what {
        EpochMessage::Promise { page, .. } | EpochMessage::Accept { page, .. } | EpochMessage::Told { page, .. } => {
            page.entries.len()
        }
        _ => 0,
    }
}

/// An acceptor that has the votes of `count` transactions.
fn acceptor(cluster: &Cluster, id: NodeId, count: u64, step: u64) -> Node {
    let mut node = Node::create(Config::new(cluster.clone(), id, id.0)).0;
    let mut effects = Vec::new();
    for number in 0..count {
        let tx = TxId { origin: RMS[0], seq: number * step };
        let transaction = Transaction::new(tx, RMS, value(number)).expect("a plain transaction");
        for from in RMS {
            let message = Message::about(&transaction, What::Vote { vote: Vote::Prepared, manager: MANAGER });
            node.step_into(Input::Receive { from, message }, &mut effects).expect("a first vote");
            effects.clear();
        }
    }
    node
}
