//! Names, ballots and ranges, and the reasons of refusals.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
};

use synod::{
    Ballot, InstanceId, NodeId, Refusal, TxId,
    commit::{EmptyRange, Transaction, TxRange},
};

#[test]
fn names_are_printed_short_and_tell_all() {
    let tx = TxId { origin: NodeId(7), seq: 42 };
    assert_eq!(NodeId(3).to_string(), "n3");
    assert_eq!(tx.to_string(), "n7#42");
    assert_eq!(InstanceId { tx, rm: NodeId(3) }.to_string(), "n7#42/n3");
    assert_eq!(Ballot::new(5, NodeId(2)).to_string(), "5.n2");
}

#[test]
fn a_ballot_is_ordered_by_round_and_then_by_node() {
    let ballots = [(0, 9), (1, 1), (1, 2), (2, 0)].map(|(round, node)| Ballot::new(round, NodeId(node)));
    assert!(ballots.is_sorted());
    assert!(ballots[0].is_initial() && !ballots[1].is_initial());
    assert_eq!(Ballot::initial(NodeId(9)), ballots[0]);
}

#[test]
fn a_range_has_what_is_between_its_ends_of_one_origin() {
    let tx = |origin, seq| TxId { origin: NodeId(origin), seq };
    let range = TxRange::new(NodeId(7), 3, 5).unwrap();
    assert_eq!((range.origin(), range.first(), range.last()), (NodeId(7), tx(7, 3), tx(7, 5)));
    assert_eq!([2, 3, 4, 5, 6].map(|seq| range.contains(tx(7, seq))), [false, true, true, true, false]);
    assert!(!range.contains(tx(6, 4)) && !range.contains(tx(8, 4)));
    assert!(!range.is_single() && TxRange::only(tx(7, 3)).is_single());
    assert_eq!(TxRange::new(NodeId(7), 3, 2), Err(EmptyRange));
}

#[test]
fn every_refusal_has_words_of_its_own() {
    let words: BTreeSet<String> = Refusal::ALL.iter().map(Refusal::to_string).collect();
    assert_eq!(words.len(), Refusal::ALL.len());
    assert!(Refusal::ALL.is_sorted());
}

#[test]
fn only_what_a_correct_node_never_causes_is_a_violation() {
    let violations: Vec<Refusal> = Refusal::ALL.iter().copied().filter(|refusal| refusal.is_violation()).collect();
    let expected = [
        Refusal::SecondValue,
        Refusal::ImpossiblePromise,
        Refusal::ContradictoryOutcome,
        Refusal::RetiredUnfinished,
        Refusal::NotNamedHere,
    ];
    assert_eq!(violations, expected);
}

#[test]
fn transactions_that_differ_in_anything_have_different_hashes() {
    let transactions = [
        Transaction::new(TxId::default(), [NodeId(1), NodeId(2)], []),
        Transaction::new(TxId::default(), [NodeId(1)], []),
        Transaction::new(TxId::default(), [NodeId(2)], []),
        Transaction::new(TxId::default(), [NodeId(1)], *b"content"),
        Transaction::new(TxId { seq: 1, ..TxId::default() }, [NodeId(1)], []),
    ];
    let hasher = BuildHasherDefault::<DefaultHasher>::new();
    let hashes: BTreeSet<u64> =
        transactions.iter().map(|transaction| hasher.hash_one(transaction.as_ref().unwrap())).collect();
    assert_eq!(hashes.len(), transactions.len());
}
