//! Every kind of input, right and wrong, and nodes in every state of some runs to give them to.

use std::{collections::BTreeMap, fmt::Debug};

use synod::{
    Ballot, NodeId, TxId,
    commit::{
        Acceptance, Input, Learning, Message, Meta, Node, Obstacle, Outcome, Participants, Places, Promises, Time,
        Transaction, TxRange, Vote, Votes, What,
    },
    paxos::Message::{Accept, Accepted, Prepare, Promise, Reject},
};

use super::{ACCEPTORS, Group, RMS, STRANGER, TMS, cluster, say, spec_of, transaction, tx};

/// All that a node or a role knows, apart from its counters and from what it lists as violated. What a node had in hand in
/// its last step is no part of that, nor is the memory that it keeps of roles that are over.
pub fn memory(node: &impl Debug) -> String {
    // What shows that an assumption was broken is listed, and nothing else.
    let mut text = format!("{node:?}");
    for reason in ["OverElsewhere", "SecondVote"] {
        text = text.replace(&format!("violation: Some({reason})"), "violation: None");
    }
    // A role that is driven alone has no counters.
    let memory = match text.split_once("metrics: Metrics {") {
        None => text,
        Some((before, counters)) => {
            let (_, after) = counters.split_once('}').expect("the counters end");
            format!("{before}{after}")
        }
    };
    match (memory.find(", tx: TxId {"), memory.find(", open: Table {")) {
        (Some(start), Some(end)) if start < end => format!("{}{}", &memory[..start], &memory[end..]),
        _ => memory,
    }
}

/// Nodes of every role, in every state that they pass through in runs that commit, abort, recover and retire.
pub fn states() -> Vec<Node> {
    let mut states = BTreeMap::new();
    for mut group in [
        Group::apart(cluster()),
        Group::new(spec_of(&RMS, &RMS[..2]).with_learning(Learning::Everyone).build().unwrap(), RMS),
    ] {
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

/// Inputs of every kind, from everyone, about transactions that are known, unknown, over, or another's namesake, and by
/// names that the node itself would give.
pub fn inputs() -> Vec<Input> {
    let namesake = Transaction::new(tx(2), &RMS[..2], []).unwrap();
    let unknown = Transaction::new(tx(9), RMS, []).unwrap();
    let mut inputs = vec![Input::Tick(Time(0)), Input::Tick(Time(5_000)), Input::Tick(Time(u64::MAX))];
    for participants in [&RMS[..], &RMS[1..]] {
        inputs.push(Input::Begin { participants: Participants::new(participants).unwrap(), meta: Meta::default() });
    }
    for transaction in [transaction(2), transaction(3), namesake, unknown] {
        let id = transaction.id();
        inputs.extend([say::begins(&transaction), Input::Finished(id), Input::Inquire(id)]);
        inputs.push(Input::BeginAs { transaction: transaction.clone(), meta: Meta::from(b"not this") });
        inputs
            .extend([Vote::Prepared, Vote::Aborted].map(|vote| Input::Vote { transaction: transaction.clone(), vote }));
        for message in messages(&transaction) {
            for from in [RMS[0], ACCEPTORS[0], TMS[0], TMS[1], STRANGER] {
                inputs.push(say::from(from, message.clone()));
            }
        }
    }
    for origin in [RMS[0], ACCEPTORS[0], TMS[0]] {
        let id = TxId { origin, seq: 5 };
        let own = Transaction::new(id, RMS, []).unwrap();
        for from in [RMS[0], RMS[1], ACCEPTORS[0], TMS[0], TMS[1]] {
            let said = [say::begin(&own), say::prepare(&own), say::inquire(&own), say::retired(id)];
            inputs.extend(said.map(|message| say::from(from, message)));
            inputs.push(say::from(from, say::vote(&own, Vote::Aborted, TMS[0])));
        }
    }
    inputs
}

/// Messages of every kind about `transaction`.
pub fn messages(transaction: &Transaction) -> Vec<Message> {
    let mut messages = vec![say::begin(transaction), say::prepare(transaction), say::inquire(transaction)];
    let meta = Meta::from(b"not this");
    messages.push(Message::about(transaction, What::Begin { meta: meta.clone() }));
    messages.push(Message::about(transaction, What::prepare(meta)));
    for vote in [Vote::Prepared, Vote::Aborted] {
        messages.extend([TMS[0], TMS[1], STRANGER].map(|manager| say::vote(transaction, vote, manager)));
        messages.push(say::bundle(transaction, transaction.participants(), vote));
    }
    for outcome in [Outcome::Committed, Outcome::Aborted] {
        messages.extend([say::outcome(transaction, outcome), say::finished(transaction, outcome)]);
    }
    messages.extend(ranges(transaction.id()).map(Message::retired));
    messages.extend(ranges(transaction.id()).map(|range| Message::RetiredNoted { range }));
    messages.extend(bundles(transaction));
    messages
}

fn ranges(tx: TxId) -> [TxRange; 3] {
    let range = |first, last| TxRange::new(tx.origin, first, last).unwrap();
    [TxRange::only(tx), range(tx.seq, tx.seq + 2), range(0, u64::MAX)]
}

/// The Paxos messages of a transaction, well formed and not.
fn bundles(transaction: &Transaction) -> Vec<Message> {
    let ballots = [
        Ballot::initial(RMS[0]),
        Ballot::new(1, TMS[0]),
        Ballot::new(1, TMS[1]),
        Ballot::new(1, RMS[0]),
        Ballot::new(7, TMS[1]),
        Ballot::new(u64::MAX, STRANGER),
    ];
    let mut bundles = Vec::new();
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
            bundles.extend([&RMS[..], &RMS[..1]].map(|rms| say::paxos(transaction, rms, message)));
            if ballot == ballots[1] {
                for rms in [[RMS[1], RMS[0]], [RMS[0], RMS[0]], [RMS[0], STRANGER]] {
                    bundles.push(say::paxos(transaction, &rms, message));
                }
            }
        }
        bundles.extend(malformed(ballot).into_iter().map(|what| Message::about(transaction, what)));
    }
    bundles
}

/// What is said of no instance, of one that no transaction here has, or of one instance twice; and promises that tell of
/// an instance which they do not promise.
fn malformed(ballot: Ballot) -> Vec<What> {
    let (first, far): (Places, Places) = (Places::first(1), [0, 70].into_iter().collect());
    let accepted = |rm| Acceptance { rm, ballot, vote: Vote::Prepared };
    let votes = |places: &[usize]| places.iter().map(|place| (*place, Vote::Aborted)).collect::<Votes>();
    let (none, one, twice) = (Votes::default(), votes(&[0]), Box::from([accepted(RMS[0]), accepted(RMS[1])]));
    let promises = |instances: &Places, votes: &Votes, higher: &[Acceptance]| What::Phase1b {
        ballot,
        promises: Promises { instances: instances.clone(), votes: votes.clone(), higher: higher.into() }.into(),
    };
    vec![
        What::Phase1a { ballot, instances: Places::default() },
        What::Phase1a { ballot, instances: far.clone() },
        What::Phase2a { ballot, votes: none.clone() },
        What::Phase2a { ballot, votes: votes(&[1, 70]) },
        What::Phase2b { votes: none.clone(), higher: Box::default() },
        What::Phase2b { votes: votes(&[1, 70]), higher: Box::default() },
        What::Phase2b { votes: one.clone(), higher: twice },
        What::Reject { ballot, promised: Box::default() },
        What::Reject { ballot, promised: [Obstacle { rm: STRANGER, promised: ballot }].into() },
        promises(&Places::default(), &none, &[]),
        promises(&far, &none, &[]),
        promises(&first, &votes(&[1]), &[]),
        promises(&first, &none, &[accepted(RMS[1])]),
        promises(&first, &one, &[accepted(RMS[0])]),
    ]
}
