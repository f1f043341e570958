//! What a resource has promised, and what becomes of a promise that comes too late.

use synod::{
    Effect, Machine,
    commit::{Input, Node, Outcome, Promised, Record, ResourceManagerRecord, Status, Vote},
};

use super::{
    prepared,
    support::{RMS, TMS, aborts, aborts_unknown, cluster, config, founding, node, say, transaction, tx},
};

fn late(seq: u64) -> Input {
    Input::Vote { transaction: transaction(seq), vote: Vote::Prepared }
}

/// A resource manager that was asked, and told to abort before its resource answered.
fn aborted() -> Node {
    let mut rm = node(RMS[0]);
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    rm.step(say::from(TMS[0], say::outcome(&transaction(1), Outcome::Aborted)));
    rm
}

#[test]
fn a_vote_to_commit_that_comes_after_the_abort_is_answered_with_the_abort() {
    let mut rm = aborted();
    let again = [Effect::Decide(aborts(&transaction(1)))];
    assert_eq!(rm.step(late(1)), again, "while it is carried out");
    rm.step(Input::Finished(tx(1)));
    assert_eq!(rm.step(late(1)), again, "once it is carried out");
    rm.step(say::from(TMS[0], say::retired(tx(1))));
    assert!(rm.status(tx(1)).is_retired());
    assert_eq!(rm.step(late(1)), [Effect::Decide(aborts_unknown(&transaction(1)))], "once it is over everywhere");
}

#[test]
fn a_vote_to_commit_in_what_the_node_has_never_heard_of_is_answered_with_an_abort() {
    // It crashed after it had asked, and its resource did not.
    let mut rm = node(RMS[0]);
    assert_eq!(rm.step(late(1)), [Effect::Decide(aborts_unknown(&transaction(1)))]);
    assert_eq!(rm.status(tx(1)), Status::Unknown);
    assert_eq!(rm.snapshot(), founding(&cluster(), RMS[0]));
}

#[test]
fn what_was_voted_to_be_committed_is_promised_until_it_is_carried_out() {
    let promised = |rm: &Node| rm.promised().into_iter().map(|promised| promised.transaction.id()).collect::<Vec<_>>();
    let restored = |rm: &Node| Node::restore(config(&cluster(), RMS[0]), rm.snapshot()).unwrap();
    for outcome in [Outcome::Committed, Outcome::Aborted] {
        let mut rm = prepared(RMS[0]);
        let [Promised { transaction: kept, meta, .. }] = &rm.promised()[..] else { panic!("{:?}", rm.promised()) };
        assert_eq!((kept, meta), (&transaction(1), &say::meta(&transaction(1))));
        rm.step(say::from(TMS[0], say::outcome(&transaction(1), outcome)));
        assert_eq!((promised(&rm), promised(&restored(&rm))), (vec![tx(1)], vec![tx(1)]));
        rm.step(Input::Finished(tx(1)));
        assert_eq!((promised(&rm), promised(&restored(&rm))), (vec![], vec![]));
    }
    // Who has not voted, or voted to abort, has promised nothing.
    assert_eq!(promised(&aborted()), []);
    let mut rm = node(RMS[0]);
    rm.step(say::from(TMS[0], say::prepare(&transaction(1))));
    assert_eq!(promised(&rm), []);
    rm.step(Input::Vote { transaction: transaction(1), vote: Vote::Aborted });
    assert_eq!((promised(&rm), promised(&restored(&rm))), (vec![], vec![]));
}

#[test]
fn a_prepared_transaction_whose_vote_was_never_written_is_not_promised() {
    let rm = Node::restore(config(&cluster(), RMS[0]), node(RMS[0]).snapshot()).unwrap();
    assert_eq!(rm.promised(), []);
    let record = ResourceManagerRecord {
        transaction: transaction(2),
        meta: Some(say::meta(&transaction(2))),
        vote: Some(Vote::Prepared),
        finished: None,
    };
    let mut records = node(RMS[0]).snapshot();
    records.push(Record::ResourceManager(record));
    let rm = Node::restore(config(&cluster(), RMS[0]), records).unwrap();
    assert_eq!(rm.promised().len(), 1);
}
