//! A packet is its messages, one after the other.

use proptest::{collection::vec, prelude::*};
use synod::{
    Machine, NodeId,
    codec::{encode_frame, encode_record},
    commit::{Effect, Input, Learning, Message, Node, Transaction, Vote},
    sim::Rng,
};

use super::support::{
    ACCEPTORS, CLUSTER, Group, RMS, STRANGER, TMS, catalogue, cluster, config, say, spec_of, transaction, tx,
};

/// All that `effects` would put on a disk and on a wire, or tell the caller.
fn bytes(at: NodeId, effects: &[Effect]) -> Vec<u8> {
    effects
        .iter()
        .flat_map(|effect| match effect {
            Effect::Persist(record) => encode_record(record),
            Effect::Send { to, message } => encode_frame(CLUSTER, at, *to, std::slice::from_ref(message)),
            Effect::Decide(decision) => serde_json::to_vec(decision).unwrap(),
        })
        .collect()
}

/// Gives the same messages to `node` and to a copy of it, as one packet and one by one, and compares all that follows.
fn compare(node: &Node, from: NodeId, messages: &[Message]) -> Vec<Effect> {
    let (mut together, mut apart) = (node.clone(), node.clone());
    let (mut packet, mut steps) = (Vec::new(), Vec::new());
    together.receive(from, messages, &mut packet);
    for message in messages {
        let _ = apart.step_into(say::from(from, message.clone()), &mut steps);
    }
    assert_eq!(packet, steps, "{messages:?} from {from}");
    let at = node.config().id;
    assert_eq!(bytes(at, &packet), bytes(at, &steps));
    assert_eq!(together.metrics(), apart.metrics());
    assert_eq!(catalogue::memory(&together), catalogue::memory(&apart), "{messages:?} from {from}");
    assert_eq!((together.snapshot(), together.deadline()), (apart.snapshot(), apart.deadline()));
    packet
}

#[test]
fn a_packet_of_any_messages_in_any_state_is_the_same_as_one_step_for_each() {
    let states = catalogue::states();
    let (one, two) = (transaction(2), transaction(3));
    let unknown = Transaction::new(tx(9), RMS, []).unwrap();
    let all: Vec<Message> = [one, two, unknown].iter().flat_map(catalogue::messages).collect();
    let mut rng = Rng::new(7);
    for node in &states {
        for from in [RMS[0], RMS[1], ACCEPTORS[0], TMS[0], TMS[1], STRANGER] {
            for length in [0, 1, 2, 7, 8, 9, 20] {
                let messages: Vec<Message> = (0..length).filter_map(|_| rng.pick(&all).cloned()).collect();
                compare(node, from, &messages);
            }
        }
    }
}

/// Where a transaction ends within a packet, another one may take its place in memory at once.
#[test]
fn a_packet_may_end_or_begin_a_transaction_that_a_later_message_of_it_is_about() {
    let mut rm = Node::create(config(&cluster(), RMS[0])).0;
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    let (first, second, third) = (transaction(1), transaction(2), transaction(3));
    let aborted = synod::commit::Outcome::Aborted;
    // The first ends; what comes about it then is late. The second begins in its place, ends, and a third one begins there.
    let messages = [
        say::prepare(&first),
        say::retired(first.id()),
        say::prepare(&second),
        say::prepare(&first),
        say::outcome(&first, aborted),
        say::retired(second.id()),
        say::prepare(&third),
        say::outcome(&second, aborted),
        say::outcome(&third, aborted),
        say::prepare(&third),
    ];
    for length in 0..=messages.len() {
        for start in 0..=length {
            compare(&rm, TMS[0], &messages[start..length]);
        }
    }
    let effects = compare(&rm, TMS[0], &messages);
    let late = say::sends(&effects).into_iter().filter(|(_, message)| matches!(message, Message::Retired { .. }));
    assert_eq!(late.count(), 3, "two about the first, one about the second");

    // At a transaction manager, the last word of a resource manager ends it, and the packet goes on.
    let mut tm = Node::create(config(&cluster(), TMS[0])).0;
    for seq in [1, 2] {
        tm.step(say::begins(&transaction(seq)));
        for rm in &RMS[1..] {
            tm.step(say::from(*rm, say::finished(&transaction(seq), aborted)));
        }
    }
    let finished = |seq| say::finished(&transaction(seq), aborted);
    let begin = |seq| say::begin(&transaction(seq));
    let messages =
        [finished(1), finished(1), begin(3), begin(1), finished(2), begin(4), begin(2), finished(3), begin(3)];
    let effects = compare(&tm, RMS[0], &messages);
    assert!(!effects.is_empty());
}

proptest! {
    #[test]
    fn a_run_whose_messages_come_in_packets_is_the_run_whose_messages_come_one_by_one(
        seed in any::<u64>(),
        aborts in vec(any::<bool>(), 1..6),
        together in any::<bool>(),
    ) {
        let cluster = match together {
            true => spec_of(&RMS, &RMS[..2]).with_learning(Learning::Everyone).build().unwrap(),
            false => cluster(),
        };
        let first = cluster.managers()[0];
        let mut group = Group::apart(cluster);
        let mut rng = Rng::new(seed);
        for (seq, aborts) in (1..).zip(aborts) {
            group.votes.insert(RMS[1], if aborts { Vote::Aborted } else { Vote::Prepared });
            group.begin(first, &transaction(seq));
            for _ in 0..rng.below(12) {
                group.answer_all();
                let Some(next) = group.wire.front().cloned() else { break };
                // All that is under way on this link comes as one packet; some of it twice.
                let mut messages = Vec::new();
                group.lose(|sent| {
                    let goes = (sent.from, sent.to) == (next.from, next.to);
                    if goes {
                        messages.extend(vec![sent.message.clone(); 1 + rng.below(2) as usize]);
                    }
                    goes
                });
                compare(group.node(next.to), next.from, &messages);
                for message in messages {
                    group.step(next.to, Input::Receive { from: next.from, message });
                }
            }
        }
    }
}
