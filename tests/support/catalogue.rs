//! Every kind of input, right and wrong, and nodes in every state of some runs to give them to.

use std::collections::BTreeMap;

use synod::{
    Ballot, NodeId, TxId,
    commit::{Input, Learning, Message, Node, Outcome, Part, Time, Transaction, TxRange, Vote},
    paxos::Message::{Accept, Accepted, Prepare, Promise, Reject},
};

use super::{ACCEPTORS, Group, RMS, STRANGER, TMS, cluster, cluster_of, say, transaction, tx};

/// All that a node knows, its counters apart.
pub fn memory(node: &Node) -> String {
    let text = format!("{node:?}");
    let (before, counters) = text.split_once("metrics: Metrics {").expect("a node has counters");
    let (_, after) = counters.split_once('}').expect("the counters end");
    format!("{before}{after}")
}

/// Nodes of every role, in every state that they pass through in runs that commit, abort, recover and retire.
pub fn states() -> Vec<Node> {
    let mut states = BTreeMap::new();
    for mut group in
        [Group::apart(cluster()), Group::new(cluster_of(&RMS, &RMS[..2]).with_learning(Learning::Everyone), RMS)]
    {
        group.film = Some(Vec::new());
        let at = if group.nodes().contains(&TMS[0]) { TMS[0] } else { RMS[0] };
        // One commits, one is voted down, and the last one takes a third ballot.
        group.complete(at, &transaction(1));
        group.votes.insert(RMS[1], Vote::Aborted);
        group.begin(RMS[2], &transaction(2));
        group.run();
        group.votes.remove(&RMS[1]);
        group.begin(at, &transaction(3));
        group.run();
        for _ in 0..3 {
            group.step(at, Input::Inquire(tx(3)));
        }
        group.rest();
        states.extend(group.film.take().into_iter().flatten().map(|node| (memory(&node), node)));
    }
    states.into_values().collect()
}

/// Inputs of every kind, from everyone, about transactions that are known, unknown, over, or another's namesake.
pub fn inputs() -> Vec<Input> {
    let namesake = Transaction::new(tx(2), &RMS[..2], []).unwrap();
    let unknown = Transaction::new(tx(9), RMS, []).unwrap();
    let mut inputs = vec![Input::Tick(Time(0)), Input::Tick(Time(5_000)), Input::Tick(Time(u64::MAX))];
    for transaction in [transaction(2), transaction(3), namesake, unknown] {
        let id = transaction.id();
        inputs.extend([Input::Begin(transaction.clone()), Input::Finished(id), Input::Inquire(id)]);
        inputs.extend([Vote::Prepared, Vote::Aborted].map(|vote| Input::Vote { tx: id, vote }));
        for message in messages(&transaction) {
            for from in [RMS[0], ACCEPTORS[0], TMS[0], TMS[1], STRANGER] {
                inputs.push(say::from(from, message.clone()));
            }
        }
    }
    inputs
}

/// Messages of every kind about `transaction`.
pub fn messages(transaction: &Transaction) -> Vec<Message> {
    let mut messages = vec![say::begin(transaction), say::prepare(transaction), say::inquire(transaction)];
    for vote in [Vote::Prepared, Vote::Aborted] {
        messages.extend([TMS[0], TMS[1], STRANGER].map(|manager| say::vote(transaction, vote, manager)));
        messages.push(say::bundle(transaction, transaction.participants(), vote));
    }
    for outcome in [Outcome::Committed, Outcome::Aborted] {
        messages.extend([say::outcome(transaction, outcome), say::finished(transaction, outcome)]);
    }
    messages.extend(ranges(transaction.id()).map(|range| Message::Retired { range }));
    messages.extend(ranges(transaction.id()).map(|range| Message::RetiredNoted { range }));
    messages.extend(bundles().into_iter().map(|parts| Message::Paxos { transaction: transaction.clone(), parts }));
    messages
}

fn ranges(tx: TxId) -> [TxRange; 3] {
    let range = |first, last| TxRange::new(tx.origin, first, last).unwrap();
    [TxRange::only(tx), range(tx.seq, tx.seq + 2), range(0, u64::MAX)]
}

/// The Paxos messages of a transaction, well formed and not.
fn bundles() -> Vec<Vec<Part>> {
    let ballots = [
        Ballot::initial(RMS[0]),
        Ballot::new(1, TMS[0]),
        Ballot::new(1, TMS[1]),
        Ballot::new(1, RMS[0]),
        Ballot::new(7, TMS[1]),
        Ballot::new(u64::MAX, STRANGER),
    ];
    let mut bundles = vec![Vec::new()];
    for ballot in ballots {
        let above = ballot.next_above(TMS[0]).unwrap_or(ballot);
        for message in [
            Prepare { ballot },
            Promise { ballot, accepted: None },
            Promise { ballot, accepted: Some((Ballot::initial(RMS[0]), Vote::Prepared)) },
            Promise { ballot, accepted: Some((above, Vote::Aborted)) },
            Accept { ballot, value: Vote::Prepared },
            Accept { ballot, value: Vote::Aborted },
            Accepted { ballot, value: Vote::Prepared },
            Accepted { ballot, value: Vote::Aborted },
            Reject { ballot, promised: above },
            Reject { ballot, promised: Ballot::new(u64::MAX, TMS[1]) },
        ] {
            let of = |rms: &[NodeId]| rms.iter().map(|rm| Part { rm: *rm, message }).collect();
            bundles.extend([of(&RMS), of(&RMS[..1])]);
            if ballot == ballots[1] {
                bundles.extend([of(&[RMS[1], RMS[0]]), of(&[RMS[0], RMS[0]]), of(&[RMS[0], STRANGER])]);
                let mixed = [message, Prepare { ballot }].into_iter().zip(RMS);
                bundles.push(mixed.map(|(message, rm)| Part { rm, message }).collect());
            }
        }
    }
    bundles
}
