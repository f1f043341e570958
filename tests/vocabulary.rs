//! Names, ballots and ranges, and the reasons of refusals.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
};

use proptest::prelude::*;
use synod::{
    Ballot, InstanceId, NodeId, ParseIdError, Refusal, TxId,
    commit::{ClusterId, EmptyRange, Meta, Transaction, TxRange},
};

#[test]
fn names_are_printed_short_and_tell_all() {
    let tx = TxId { origin: NodeId(7), seq: 42 };
    assert_eq!(NodeId(3).to_string(), "n3");
    assert_eq!(tx.to_string(), "n7#42");
    assert_eq!(InstanceId { tx, rm: NodeId(3) }.to_string(), "n7#42/n3");
    assert_eq!(Ballot::new(5, NodeId(2)).to_string(), "5.n2");
}

proptest! {
    #[test]
    fn what_is_printed_of_a_name_is_read_as_the_name(
        origin in any::<u64>(),
        seq in any::<u64>(),
        bytes in any::<[u8; 16]>(),
    ) {
        let (node, cluster) = (NodeId(origin), ClusterId(bytes));
        let tx = TxId { origin: node, seq };
        prop_assert_eq!(node.to_string().parse(), Ok(node));
        prop_assert_eq!(origin.to_string().parse(), Ok(NodeId::from(origin)));
        prop_assert_eq!(tx.to_string().parse(), Ok(tx));
        prop_assert_eq!(format!("{origin}#{seq}").parse(), Ok(tx));
        prop_assert_eq!(cluster.to_string().parse(), Ok(cluster));
        prop_assert_eq!(cluster.to_string().to_uppercase().parse(), Ok(cluster));
        prop_assert_eq!(format!("{cluster:?}"), format!("ClusterId({cluster})"));
    }

    #[test]
    fn whatever_is_read_as_a_name_is_printed_as_itself(text in "[n0-9a-f#+]{0,8}|n?[0-9]{1,22}(#[0-9]{1,22})?") {
        let plain = |text: &str| text.trim_start_matches('n').trim_start_matches('0').to_owned();
        if let Ok(node) = text.parse::<NodeId>() {
            prop_assert_eq!(plain(&node.to_string()), plain(&text));
        }
        if let Ok(tx) = text.parse::<TxId>() {
            let (origin, seq) = text.split_once('#').unwrap();
            prop_assert_eq!((Ok(tx.origin), tx.seq), (origin.parse(), seq.parse().unwrap()));
        }
    }
}

#[test]
fn what_is_no_name_is_refused_with_the_reason() {
    use ParseIdError::*;
    for (text, why) in
        [("", NotANumber), ("n", NotANumber), ("nn1", NotANumber), ("+1", NotANumber), ("-1", NotANumber)]
    {
        assert_eq!(text.parse::<NodeId>(), Err(why), "{text}");
    }
    assert_eq!("n18446744073709551615".parse(), Ok(NodeId(u64::MAX)));
    assert_eq!("n18446744073709551616".parse::<NodeId>(), Err(TooLarge));
    for (text, why) in [
        ("n1", NoSeparator),
        ("n1#", NotANumber),
        ("#1", NotANumber),
        ("n1#n2", NotANumber),
        ("n1#2#3", NotANumber),
        ("n1#+2", NotANumber),
        ("n1#18446744073709551616", TooLarge),
    ] {
        assert_eq!(text.parse::<TxId>(), Err(why), "{text}");
    }
    let digits = "0".repeat(32);
    assert_eq!(digits.parse(), Ok(ClusterId::default()));
    for text in ["", &digits[1..], &format!("{digits}0"), &format!("+{}", &digits[1..]), &format!("g{}", &digits[1..])]
    {
        assert_eq!(text.parse::<ClusterId>(), Err(NotHexadecimal), "{text}");
    }
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
        Refusal::OtherBirth,
        Refusal::CommitLost,
        Refusal::OtherMembership,
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

#[test]
fn content_is_made_of_whatever_has_bytes() {
    let meta = Meta::from(b"ann 30");
    assert_eq!(meta.bytes(), b"ann 30");
    assert_eq!(
        [Meta::from("ann 30"), Meta::from(String::from("ann 30")), Meta::from(&b"ann 30"[..])],
        [(); 3].map(|()| meta.clone())
    );
    assert_eq!(AsRef::<[u8]>::as_ref(&meta), b"ann 30");
}
