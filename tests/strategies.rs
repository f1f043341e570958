//! The strategies and generators yield what they say: valid and invalid, and what has to do with each other.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use synod::{
    Machine, NodeId, Quorums, TxId,
    commit::{
        Acceptance, Cluster, Config, Entry, EpochMessage, Input, Message, Meta, Node, Promises, Record, Transaction,
        Vote, What,
    },
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
            Input::Receive { from, message: Message::About { transaction, what } } => {
                let (acceptors, manages) = (cluster.acceptors(), |node| cluster.is_manager(node));
                let count = transaction.participants().len();
                let named = |rms: Vec<NodeId>| {
                    rms.windows(2).all(|pair| pair[0] < pair[1]) && rms.iter().all(|rm| transaction.has(*rm))
                };
                let higher = |higher: &[Acceptance]| named(higher.iter().map(|accepted| accepted.rm).collect());
                Some(match what {
                    What::Vote { manager, .. } => transaction.has(from) && manages(manager),
                    What::Phase1a { ballot, instances } => {
                        manages(from) && ballot.node == from && !instances.is_empty() && instances.is_within(count)
                    }
                    What::Phase2a { ballot, votes } => {
                        manages(from) && ballot.node == from && !votes.is_empty() && votes.cast().is_within(count)
                    }
                    What::Phase1b { promises, .. } => {
                        let Promises { instances, votes, higher: told } = *promises;
                        let within = instances.is_within(count) && votes.cast().is_subset(&instances);
                        acceptors.contains(from) && !instances.is_empty() && within && higher(&told)
                    }
                    What::Phase2b { votes, higher: told } => {
                        let some = !votes.is_empty() || !told.is_empty();
                        acceptors.contains(from) && some && votes.cast().is_within(count) && higher(&told)
                    }
                    What::Reject { promised, .. } => {
                        let rms = promised.iter().map(|obstacle| obstacle.rm).collect();
                        acceptors.contains(from) && !promised.is_empty() && named(rms)
                    }
                    _ => return None,
                })
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
fn most_sets_of_records_make_a_node_and_some_do_not() {
    for config in sample(strategies::config()).take(20) {
        let makes = |records: &Vec<Record>| Node::restore(config.clone(), records.clone()).is_ok();
        let sound = count(sample(strategies::records(&config)), makes);
        assert!((700..950).contains(&sound), "{sound}");
    }
}

#[test]
fn the_content_that_comes_along_is_mostly_what_the_transaction_is_about() {
    for cluster in sample(strategies::cluster()).take(20) {
        let contents = sample(strategies::input(&cluster)).filter_map(|input| match input {
            Input::BeginAs { transaction, meta } => Some(transaction.is_about(&meta)),
            Input::Receive {
                message: Message::About { transaction, what: What::Begin { meta } | What::Prepare { meta, .. } },
                ..
            } => Some(transaction.is_about(&meta)),
            _ => None,
        });
        let (good, bad): (Vec<bool>, Vec<bool>) = contents.partition(|good| *good);
        assert!(bad.len() < good.len() / 3 && bad.len() > good.len() / 50, "{} {}", good.len(), bad.len());
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
    assert_eq!(tree.current(), Message::about(&smallest, What::Begin { meta: Meta::default() }));
}

#[test]
fn the_strategies_yield_all_kinds() {
    fn kinds<T: std::fmt::Debug>(values: impl Iterator<Item = T>) -> usize {
        let first_word = |text: String| text.split([' ', '(']).next().unwrap_or_default().to_owned();
        values.map(|value| first_word(format!("{value:?}"))).collect::<std::collections::BTreeSet<_>>().len()
    }
    let said = |message: Message| match message {
        Message::About { what, .. } => Some(what),
        _ => None,
    };
    assert_eq!(kinds(sample(strategies::any_message())), 4);
    assert_eq!(kinds(sample(strategies::what())), 14);
    assert_eq!(kinds(sample(strategies::record())), 14);
    for config in sample(strategies::config()).take(20) {
        assert_eq!(kinds(sample(strategies::message(&config.cluster))), 3);
        assert_eq!(kinds(sample(strategies::message(&config.cluster)).filter_map(said)), 14);
        assert_eq!(kinds(sample(strategies::input(&config.cluster))), 13);
        assert!((13..=14).contains(&kinds(sample(strategies::records(&config)).flatten())));
    }
}

#[test]
fn noise_makes_values_of_all_kinds() {
    fn kinds<T: for<'a> Arbitrary<'a>>(kind: impl Fn(&T) -> String) -> usize {
        fuzzed().map(|value| kind(&value)).collect::<std::collections::BTreeSet<_>>().len()
    }
    let first_word = |text: String| text.split([' ', '(']).next().unwrap_or_default().to_owned();
    assert_eq!(kinds(|message: &Message| first_word(format!("{message:?}"))), 4);
    assert_eq!(kinds(|what: &EpochMessage| first_word(format!("{what:?}"))), 15);
    assert_eq!(kinds(|entry: &Entry| first_word(format!("{entry:?}"))), 5);
    assert_eq!(kinds(|what: &What| first_word(format!("{what:?}"))), 14);
    assert_eq!(kinds(|input: &Input| first_word(format!("{input:?}"))), 13);
    assert_eq!(kinds(|record: &Record| first_word(format!("{record:?}"))), 14);
    assert_eq!(kinds(|input: &paxos::Input<Vote>| first_word(format!("{input:?}"))), 3);
    assert!(kinds(|config: &Config| config.id.to_string()) > 8);
}

#[test]
fn noise_makes_records_with_and_without_instances_that_the_transaction_does_not_have() {
    let complete = count(fuzzed(), |record: &synod::commit::AcceptorRecord| {
        let mut left = record.transaction.participants().iter();
        let named = record.higher.iter().all(|instance| left.any(|rm| *rm == instance.rm));
        named && record.votes.cast().is_within(record.transaction.participants().len())
    });
    assert!((700..990).contains(&complete), "{complete}");
}
