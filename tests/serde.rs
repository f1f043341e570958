//! Public data survives serde, and what is checked at birth is checked when it is read.

use std::fmt::Debug;

use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use synod::{
    Ballot, Effect, Fence, InstanceId, Machine, Members, NodeId, Packet, Phase, QuorumSpec, Quorums, Refusal, TxId,
    codec::Frame,
    commit::{
        AcceptorRecord, Cluster, ClusterId, ClusterSpec, Config, Decision, Input, Key, Learning, Limits, Message, Meta,
        Node, Outcome, Participants, Places, Record, ResourceManagerRecord, Status, Targets, Time, Timeouts,
        Transaction, TransactionSpec, TxRange, Vote, Votes, What,
        roles::{AcceptorInput, ResourceManagerInput, TransactionManagerInput, Wait},
    },
    paxos, strategies,
};

/// What comes back is what went in. Returns the text that was between.
fn survives<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
    text
}

/// Why `value` is no `T`.
fn refused<T: DeserializeOwned + Debug>(value: Value) -> String {
    serde_json::from_value::<T>(value).unwrap_err().to_string()
}

fn transaction() -> Transaction {
    Transaction::new(TxId { origin: NodeId(7), seq: 1 }, [NodeId(1), NodeId(2)], *b"hi").unwrap()
}

#[test]
fn what_is_not_checked_at_birth_survives() {
    let (node, ballot) = (NodeId(3), Ballot::new(1, NodeId(3)));
    let tx = TxId { origin: node, seq: u64::MAX };
    survives(&InstanceId { tx, rm: node });
    survives(&Members::default().with(0).with(127));
    survives(&[Phase::Prepare, Phase::Accept]);
    survives(&Refusal::ALL.to_vec());
    survives(&[Vote::Prepared, Vote::Aborted]);
    survives(&[Outcome::Committed, Outcome::Aborted]);
    survives(&[Learning::Leader, Learning::Everyone]);
    survives(&[Targets::All, Targets::Quorum]);
    survives(&(Time(9), Timeouts::default(), Limits::default(), ClusterId(*b"0123456789abcdef")));
    survives(&Packet { to: node, messages: vec![1, 2] });
    survives(&vec![Effect::Persist(1), Effect::Send { to: node, message: 2 }, Effect::Decide(3)]);
    survives(&paxos::AcceptorRecord { promised: Some(ballot), accepted: Some((ballot, 5)) });
    survives(&paxos::ProposerRecord { round: 4, initial: Some(5) });
    let begin = Message::about(&transaction(), What::Begin { meta: Meta::from(b"hi") });
    survives(&Frame { from: node, to: node, messages: vec![begin] });
    survives(&vec![
        Decision::Begun(tx),
        Decision::Vote { transaction: transaction(), meta: Meta::from(b"hi") },
        Decision::Commit { transaction: transaction(), meta: Meta::from(b"hi") },
        Decision::Abort { transaction: transaction(), meta: Some(Meta::from(b"hi")) },
        Decision::Abort { transaction: transaction(), meta: None },
        Decision::Decided { tx, outcome: Outcome::Committed },
        Decision::Completed { tx, outcome: Outcome::Aborted },
    ]);
    survives(&paxos::ProposerConfig::new(node, Quorums::majority([node]).unwrap(), [node]).with_eager(true));
}

proptest! {
    #[test]
    fn whatever_is_made_survives(
        config in strategies::config(),
        quorums in strategies::quorum_spec(),
        cluster in strategies::cluster_spec(),
        transaction in strategies::transaction_spec(),
        message in strategies::any_message(),
        paxos in strategies::paxos_input(strategies::vote()),
        record in strategies::record(),
        key in strategies::key(),
    ) {
        survives::<Config>(&config);
        survives::<QuorumSpec>(&quorums);
        survives::<ClusterSpec>(&cluster);
        survives::<TransactionSpec>(&transaction);
        survives::<Message>(&message);
        survives::<paxos::Input<Vote>>(&paxos);
        survives::<Record>(&record);
        survives::<Key>(&key);
    }

    #[test]
    fn inputs_survive(input in strategies::cluster().prop_flat_map(|cluster| strategies::input(&cluster))) {
        survives::<Input>(&input);
    }

    #[test]
    fn plain_data_is_read_as_what_it_describes_or_not_at_all(
        quorums in strategies::quorum_spec(),
        cluster in strategies::cluster_spec(),
        transaction in strategies::transaction_spec(),
    ) {
        let read: Option<Quorums> = serde_json::from_str(&serde_json::to_string(&quorums).unwrap()).ok();
        prop_assert_eq!(read, quorums.try_into().ok());
        let read: Option<Cluster> = serde_json::from_str(&serde_json::to_string(&cluster).unwrap()).ok();
        prop_assert_eq!(read, cluster.try_into().ok());
        let read: Option<Transaction> = serde_json::from_str(&serde_json::to_string(&transaction).unwrap()).ok();
        prop_assert_eq!(read, transaction.try_into().ok());
    }
}

#[test]
fn what_a_node_shows_of_itself_survives() {
    let (id, rms) = (NodeId(1), [NodeId(1), NodeId(2)]);
    let cluster = Cluster::new(ClusterId::default(), Quorums::majority([id]).unwrap(), [id]).unwrap();
    let (mut node, _) = Node::create(Config::new(cluster, id, 0));
    let transaction = Transaction::new(TxId { origin: id, seq: 1 }, rms, []).unwrap();
    node.step(Input::BeginAs { transaction: transaction.clone(), meta: Meta::default() });
    node.step(Input::Vote { transaction: transaction.clone(), vote: Vote::Prepared });
    node.step(Input::Vote { transaction: transaction.clone(), vote: Vote::Prepared });
    assert!(survives(&node.metrics()).contains(r#""refused":[["AlreadyVoted",1]]"#), "and no other reason");
    assert_eq!(node.in_doubt().len(), 1);
    survives(&node.in_doubt());
    let fences = [Fence::AcceptorWentBack, Fence::ResourceManagerWentBack, Fence::MetaLost, Fence::EndlessExchange];
    survives(&fences.map(Status::Fenced).to_vec());
    survives(&[node.status(transaction.id()), Status::Unknown, Status::Retired { outcome: Some(Outcome::Committed) }]);
    survives(&[Wait::Flush, Wait::Recover(1), Wait::Inquire(2), Wait::Repeat(3)]);
    let message = Message::about(&transaction, What::Inquire);
    survives(&AcceptorInput::Receive { from: id, message: message.clone() });
    survives(&ResourceManagerInput::Receive { from: id, message });
    survives(&ResourceManagerInput::Begin(Meta::from(b"hi")));
    survives(&TransactionManagerInput::Begin(Meta::from(b"hi")));
    survives(&TransactionManagerInput::Recover { round: 1 });
}

#[test]
fn checked_data_is_written_as_its_plain_data() {
    let quorums = Quorums::flexible([NodeId(2), NodeId(1)], 1, 2).unwrap();
    assert_eq!(survives(&quorums), survives(&QuorumSpec::from(quorums)));
    assert_eq!(survives(&transaction()), survives(&TransactionSpec::from(transaction())));
    assert_eq!(survives(&TxRange::new(NodeId(1), 2, 3).unwrap()), "[1,2,3]");
}

#[test]
fn quorums_that_need_not_meet_are_not_read() {
    let reason = refused::<Quorums>(json!({ "members": [[1, 1], [2, 1]], "prepare": 1, "accept": 1 }));
    assert!(reason.contains("need not intersect"), "{reason}");
}

#[test]
fn a_cluster_without_managers_or_with_broken_quorums_is_not_read() {
    let cluster = Cluster::new(ClusterId::default(), Quorums::majority([NodeId(1)]).unwrap(), [NodeId(1)]).unwrap();
    let config = serde_json::to_value(Config::new(cluster, NodeId(1), 0)).unwrap();
    assert!(serde_json::from_value::<Config>(config.clone()).is_ok());

    let mut changed = config.clone();
    changed["cluster"]["managers"] = json!([]);
    assert!(refused::<Config>(changed).contains("at least one transaction manager"));

    let mut changed = config;
    changed["cluster"]["acceptors"]["members"] = json!([]);
    assert!(refused::<Config>(changed).contains("at least one acceptor"));
}

#[test]
fn a_message_or_record_about_a_transaction_that_is_none_is_not_read() {
    let spec = |participants: &[u64]| json!({ "id": { "origin": 1, "seq": 1 }, "epoch": 0, "participants": participants, "content": 5 });
    assert!(serde_json::from_value::<Transaction>(spec(&[1, 2])).is_ok());
    for (participants, why) in [(&[][..], "at least one"), (&[1, 1], "named twice"), (&[2, 1], "out of order")] {
        let transaction = spec(participants);
        let reason = refused::<Message>(json!({ "About": { "transaction": transaction, "what": "Inquire" } }));
        assert!(reason.contains(why), "{reason}");
        let places = serde_json::to_value(Votes::default()).unwrap();
        let acceptor = json!({ "transaction": transaction, "votes": places, "higher": [] });
        assert!(refused::<AcceptorRecord>(acceptor).contains(why));
        let manager = json!({ "transaction": transaction, "meta": null, "vote": null, "finished": null });
        assert!(refused::<ResourceManagerRecord>(manager).contains(why));
        assert!(refused::<Participants>(json!(participants)).contains(why));
    }
}

#[test]
fn votes_of_participants_that_have_not_voted_are_not_read() {
    let votes: Votes = [(0, Vote::Prepared), (65, Vote::Aborted)].into_iter().collect();
    survives(&votes);
    assert_eq!(survives(&votes), "[[1,2],[1]]", "who has voted, and who of them to commit");
    for uncast in [json!([[1], [2]]), json!([[1], [3]]), json!([[1], [1, 1]]), json!([[0, 1], [1]])] {
        assert!(refused::<Votes>(uncast).contains("without having voted"));
    }
    for places in
        [Places::default(), Places::first(3), Places::first(64), Places::first(200), [100].into_iter().collect()]
    {
        survives(&places);
    }
}

#[test]
fn an_empty_range_is_not_read() {
    assert!(refused::<TxRange>(json!([1, 3, 2])).contains("ends before it begins"));
    assert!(refused::<Record>(json!({ "Retired": [1, 3, 2] })).contains("ends before it begins"));
}

#[test]
fn a_vote_of_257_is_not_read() {
    assert!(serde_json::from_value::<What>(json!({ "Vote": { "vote": "Prepared", "manager": 1 } })).is_ok());
    refused::<What>(json!({ "Vote": { "vote": 257, "manager": 1 } }));
    refused::<Vote>(json!(257));
    refused::<Vote>(json!(1));
}
