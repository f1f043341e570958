//! The strategies and generators yield what they say: valid and invalid, and what has to do with each other.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use synod::{
    Machine, NodeId, Quorums, TxId,
    commit::{Cluster, Config, Input, Message, Record, Transaction, Vote},
    paxos, strategies,
};

/// A thousand values, the same ones every time.
fn sample<S: Strategy>(strategy: S) -> impl Iterator<Item = S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..1000).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}

/// A thousand values made of noise.
fn fuzzed<T: for<'a> Arbitrary<'a>>() -> impl Iterator<Item = T> {
    let noise = sample(proptest::collection::vec(any::<u8>(), 512));
    noise.map(|noise| T::arbitrary(&mut Unstructured::new(&noise)).expect("noise makes any value"))
}

/// How many of a thousand `values` are as they should.
fn count<T>(values: impl Iterator<Item = T>, good: impl FnMut(&T) -> bool) -> usize {
    values.filter(good).count()
}

#[test]
fn plain_data_is_valid_about_as_often_as_not() {
    let quorums = count(sample(strategies::quorum_spec()), |spec| Quorums::try_from(spec.clone()).is_ok());
    let clusters = count(sample(strategies::cluster_spec()), |spec| Cluster::try_from(spec.clone()).is_ok());
    let transactions =
        count(sample(strategies::transaction_spec()), |spec| Transaction::try_from(spec.clone()).is_ok());
    for valid in [quorums, clusters, transactions] {
        assert!((300..900).contains(&valid), "{quorums} {clusters} {transactions}");
    }
}

#[test]
fn the_messages_of_a_cluster_agree_on_their_transactions() {
    for cluster in sample(strategies::cluster()).take(20) {
        let mut known: BTreeMap<TxId, Transaction> = BTreeMap::new();
        for message in sample(strategies::message(&cluster)) {
            if let Some(transaction) = message.transaction() {
                let first = known.entry(transaction.id()).or_insert_with(|| transaction.clone());
                assert_eq!(transaction, first);
            }
        }
        assert!((1..=18).contains(&known.len()), "{}", known.len());
    }
}

#[test]
fn the_messages_of_a_cluster_mostly_come_from_who_may_send_them() {
    for cluster in sample(strategies::cluster()).take(20) {
        let votes = sample(strategies::input(&cluster)).filter_map(|input| match input {
            Input::Receive { from, message: Message::Vote { transaction, manager, .. } } => {
                Some(transaction.has(from) && cluster.is_manager(manager))
            }
            Input::Receive { from, message: Message::Paxos { transaction, parts } } => {
                let sorted = parts.windows(2).all(|pair| pair[0].rm < pair[1].rm);
                let known = !parts.is_empty() && parts.iter().all(|part| transaction.has(part.rm));
                let owned = parts.iter().all(|part| part.message.ballot().node == from);
                let asked = parts.iter().all(|part| part.message.is_request());
                let sender = if asked { owned && cluster.is_manager(from) } else { cluster.acceptors().contains(from) };
                Some(sorted && known && sender)
            }
            _ => None,
        });
        let (good, bad): (Vec<bool>, Vec<bool>) = votes.partition(|good| *good);
        assert!(bad.len() < good.len() / 5 && bad.len() > good.len() / 50, "{} {}", good.len(), bad.len());
    }
}

#[test]
fn most_sets_of_records_begin_with_the_node_itself() {
    for config in sample(strategies::config()).take(20) {
        let right = |records: &Vec<Record>| {
            let (cluster, node) = (config.cluster.id(), config.id);
            records.first() == Some(&Record::Identity { cluster, node })
        };
        let right = count(sample(strategies::records(&config)), right);
        assert!((800..950).contains(&right), "{right}");
    }
}

#[test]
fn an_acceptor_takes_many_of_the_inputs_and_refuses_many() {
    let mut acceptor = paxos::Acceptor::new(Some(NodeId(0)));
    let inputs = sample(strategies::paxos_input(strategies::vote())).take(100);
    let answers = count(inputs, |input| !acceptor.step(*input).is_empty());
    assert!((20..80).contains(&answers), "{answers}");
}

#[test]
fn failures_shrink_to_small_values() {
    let mut tree = strategies::any_message().new_tree(&mut TestRunner::deterministic()).unwrap();
    while tree.simplify() {}
    let smallest = Transaction::new(TxId::default(), [NodeId(0)], []).unwrap();
    assert_eq!(tree.current(), Message::Begin { transaction: smallest });
}

#[test]
fn noise_makes_values_of_all_kinds() {
    fn kinds<T: for<'a> Arbitrary<'a>>(kind: impl Fn(&T) -> String) -> usize {
        fuzzed().map(|value| kind(&value)).collect::<std::collections::BTreeSet<_>>().len()
    }
    let first_word = |text: String| text.split([' ', '(']).next().unwrap_or_default().to_owned();
    assert_eq!(kinds(|message: &Message| first_word(format!("{message:?}"))), 9);
    assert_eq!(kinds(|input: &Input| first_word(format!("{input:?}"))), 6);
    assert_eq!(kinds(|record: &Record| first_word(format!("{record:?}"))), 7);
    assert_eq!(kinds(|input: &paxos::Input<Vote>| first_word(format!("{input:?}"))), 3);
    assert!(kinds(|config: &Config| config.id.to_string()) > 8);
}

#[test]
fn noise_makes_records_with_and_without_an_instance_per_participant() {
    let complete = count(fuzzed(), |record: &synod::commit::AcceptorRecord| {
        record.instances.len() == record.transaction.participants().len()
    });
    assert!((700..990).contains(&complete), "{complete}");
}
