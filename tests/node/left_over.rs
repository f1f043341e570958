//! What becomes of what a node has, once the next epoch has begun: transactions that are open, names, and news of what is over.

use synod::{
    Effect, Machine, NodeId,
    commit::{
        self, Decision, Entry, EpochMessage, Input, Limits, Membership, Message, Node, Outcome, Page, Record, TxRange,
        Vote, What,
    },
};

use super::{
    completed, prepared,
    support::{
        ACCEPTORS, CLIENT, KEEPERS, RMS, TMS, aborts, cluster, commits, config, founding, node, say, spec, transaction,
        tx,
    },
};

/// Nodes that come later: an acceptor, and a manager.
const NEW: [NodeId; 2] = [NodeId(14), NodeId(24)];

/// What `from` tells of epoch 1.
fn told(from: NodeId, membership: Membership, page: Page) -> Input {
    let former = cluster().membership().members().into_iter().collect();
    say::from(from, say::of_epoch(1, EpochMessage::Told { membership: membership.into(), former, page }))
}

/// An acceptor and the second manager are replaced.
fn next() -> Membership {
    cluster().membership().replace(ACCEPTORS[2], NEW[0]).replace(TMS[1], NEW[1])
}

/// `node` hears that epoch 1 has begun, and that nothing was open or over.
fn begins_epoch_1(node: &mut Node) -> Vec<commit::Effect> {
    node.step(told(TMS[0], next(), Page::alone([])))
}

/// A resource manager that has carried out how these ended, each on behalf of `manager`, and waits for that to be noted.
fn finished(limits: Limits, manager: NodeId, seqs: std::ops::RangeInclusive<u64>) -> Node {
    let mut rm = Node::create(config(&spec().with_limits(limits).build().unwrap(), RMS[0])).0;
    for seq in seqs {
        rm.step(say::from(manager, say::prepare(&transaction(seq))));
        rm.step(Input::Vote { transaction: transaction(seq), vote: Vote::Prepared });
        rm.step(say::from(manager, say::outcome(&transaction(seq), Outcome::Committed)));
        rm.step(Input::Finished(tx(seq)));
    }
    rm
}

/// Whom `effects` tell that the resource here has finished something, and what.
fn finishes(effects: &[commit::Effect]) -> Vec<(NodeId, u64)> {
    let finish = |(to, message): (NodeId, &Message)| match message {
        Message::About { transaction, what: What::Finished(_) } => Some((to, transaction.id().seq)),
        _ => None,
    };
    say::sends(effects).into_iter().filter_map(finish).collect()
}

#[test]
fn a_participant_that_has_finished_says_so_at_once_to_a_manager_of_the_next_epoch() {
    for seq in [1, 2] {
        let mut rm = finished(Limits::default(), TMS[0], seq..=seq);
        assert_eq!(finishes(&begins_epoch_1(&mut rm)), [(TMS[0], seq)], "its manager is still there");
        let mut rm = finished(Limits::default(), TMS[1], seq..=seq);
        let said = finishes(&begins_epoch_1(&mut rm));
        assert!(matches!(said[..], [(to, of)] if of == seq && (to == TMS[0] || to == NEW[1])), "{said:?}");
    }
    // However many there are: each of them may hold something up.
    let mut rm = finished(Limits::default().with_page(8), TMS[0], 1..=5);
    assert_eq!(finishes(&begins_epoch_1(&mut rm)), [1, 2, 3, 4, 5].map(|seq| (TMS[0], seq)));
    // Nobody hears of what an operator has resolved.
    let mut rm = prepared(RMS[0]);
    rm.step(Input::Resolve { tx: tx(1), outcome: Outcome::Committed });
    rm.step(Input::Finished(tx(1)));
    assert_eq!(finishes(&begins_epoch_1(&mut rm)), []);
}

#[test]
fn what_was_in_doubt_ends_as_the_epoch_says_and_a_manager_of_the_next_one_hears_of_that() {
    let second = transaction(2);
    for (manager, hears) in [(TMS[0], TMS[0]), (TMS[1], NEW[1])] {
        for (page, decision) in [
            (Page::alone([]), aborts(&second)),
            (Page::alone([Entry::Committed(second.fingerprint())]), commits(&second)),
        ] {
            let mut rm = node(RMS[0]);
            rm.step(say::from(manager, say::prepare(&second)));
            rm.step(Input::Vote { transaction: second.clone(), vote: Vote::Prepared });
            assert!(rm.step(told(TMS[0], next(), page)).contains(&Effect::Decide(decision)));
            assert_eq!(finishes(&rm.step(Input::Finished(tx(2)))), [(hears, 2)]);
        }
    }
}

#[test]
fn numbers_of_its_own_that_others_have_used_are_reserved_before_anything_of_them_is_written() {
    let mut tm = node(TMS[0]);
    let own = |first, last| TxRange::new(TMS[0], first, last).unwrap();
    let committed = commit::Transaction::new(synod::TxId { origin: TMS[0], seq: 9 }, RMS, []).unwrap();
    let page = Page::alone([
        Entry::Committed(committed.fingerprint()),
        Entry::Retired(own(2, 5)),
        Entry::Retired(TxRange::new(CLIENT, 2_000, 3_000).unwrap()),
    ]);
    let effects = tm.step(told(TMS[1], next(), page));
    let records: Vec<Record> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Persist(record) => Some(record.clone()),
            _ => None,
        })
        .collect();
    let place = |is_it: &dyn Fn(&Record) -> bool| records.iter().position(is_it).expect("it is written");
    let reserved = place(&|record| matches!(record, Record::Sequence { reserved: 10..2_000 }));
    assert!(reserved < place(&|record| *record == Record::Retired(own(2, 5))));
    let all = founding(&cluster(), TMS[0]).into_iter().chain(records.iter().cloned());
    assert!(Node::restore(config(&cluster(), TMS[0]), all).is_ok());
    let given = tm.step(Input::Names { count: 1 }).into_iter().find_map(|effect| match effect {
        Effect::Decide(Decision::Named(given)) => Some(given.names),
        _ => None,
    });
    assert_eq!(given, Some(own(10, 10)));
}

#[test]
fn whom_others_have_met_is_written_once_and_is_never_this_node_itself() {
    let mut acceptor = node(ACCEPTORS[0]);
    acceptor.step(Input::Met { node: RMS[1], birth: 3, epoch: None });
    acceptor.step(Input::Met { node: RMS[2], birth: 3, epoch: None });
    let peer = |node, birth| Entry::Peer { node, birth };
    let page = Page::alone([peer(RMS[0], 7), peer(RMS[1], 3), peer(RMS[2], 4), peer(ACCEPTORS[0], 9)]);
    let effects = acceptor.step(told(TMS[0], next(), page));
    let written: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Persist(Record::Peer { node, birth }) => Some((*node, *birth)),
            _ => None,
        })
        .collect();
    assert_eq!(written, [(RMS[0], 7)]);
    assert_eq!(acceptor.met().collect::<Vec<_>>(), [(RMS[0], 7), (RMS[1], 3), (RMS[2], 3)]);
}

#[test]
fn who_comes_hears_of_all_that_is_over_and_who_becomes_a_manager_tells_everyone() {
    let over = || Page::alone([Entry::Retired(TxRange::only(tx(1))), Entry::Retired(TxRange::only(tx(3)))]);
    let unacknowledged = |node: &Node| {
        let all = [ACCEPTORS[0], ACCEPTORS[1], ACCEPTORS[2], NEW[0], TMS[0], TMS[1], NEW[1], RMS[0]];
        all.into_iter()
            .map(|keeper| (keeper, node.unacknowledged_by(keeper)))
            .filter(|(_, ranges)| *ranges > 0)
            .collect::<Vec<_>>()
    };
    // A manager of both epochs, to whom another one has said that something is over.
    let mut tm = node(TMS[0]);
    for seq in [1, 3] {
        tm.step(say::from(TMS[1], say::retired(tx(seq))));
    }
    assert_eq!(unacknowledged(&tm), []);
    tm.step(told(TMS[1], next(), Page::alone([])));
    assert_eq!(unacknowledged(&tm), [(NEW[0], 2), (NEW[1], 2)]);
    // A member that was only a participant before.
    let membership = cluster().membership().replace(TMS[1], RMS[0]);
    let mut rm = node(RMS[0]);
    rm.step(told(TMS[0], membership.clone(), over()));
    assert_eq!(unacknowledged(&rm), [ACCEPTORS[0], ACCEPTORS[1], ACCEPTORS[2], TMS[0]].map(|keeper| (keeper, 2)));
    // Nothing is over, so that there is nothing to tell.
    let mut rm = node(RMS[0]);
    rm.step(told(TMS[0], membership, Page::alone([])));
    assert_eq!((unacknowledged(&rm), rm.metrics().unacknowledged_ranges), (vec![], 0));
    let mut tm = node(TMS[0]);
    tm.step(told(TMS[1], next(), Page::alone([])));
    assert_eq!(unacknowledged(&tm), []);
    // Who leaves is told nothing more, and tells nothing more.
    for (membership, left) in [
        (cluster().membership().replace(TMS[0], NEW[1]), &[][..]),
        (next(), &[ACCEPTORS[0], ACCEPTORS[1], NEW[0], NEW[1]]),
    ] {
        let mut tm = completed(Outcome::Committed).0;
        assert_eq!(unacknowledged(&tm), KEEPERS.map(|keeper| (keeper, 1)));
        tm.step(told(TMS[1], membership, Page::alone([])));
        assert_eq!(unacknowledged(&tm), left.iter().map(|keeper| (*keeper, 1)).collect::<Vec<_>>());
    }
}
