//! How much a server takes.

use super::{
    soon, until,
    world::{BRANCHES, CLUSTER, MANAGERS, World},
};
use synod::{
    NodeId,
    commit::{Limits, Meta, TransactionSpec},
};
use synod_grpc::{
    Fault, Identity,
    tonic::{Code, codegen::tokio_stream},
    v1::{self, manager_client::ManagerClient, peer_client::PeerClient, transactions_client::TransactionsClient},
};

const TARGET: NodeId = MANAGERS[0];

fn route() -> v1::Route {
    v1::Route { cluster: CLUSTER.0.to_vec(), from: BRANCHES[0].0, to: TARGET.0 }
}

fn transaction(bytes: usize) -> v1::Transaction {
    v1::Transaction {
        id: Some(v1::TxId { origin: BRANCHES[0].0, seq: 1 }),
        participants: BRANCHES.iter().map(|node| node.0).collect(),
        content: Meta::from(vec![0; bytes]).digest(),
        epoch: 0,
    }
}

/// A transaction with so many bytes of content.
fn begin(bytes: usize) -> v1::ContentRequest {
    v1::ContentRequest { route: Some(route()), transaction: Some(transaction(bytes)), meta: vec![0; bytes] }
}

fn packet(bytes: usize) -> v1::Packet {
    let what = Some(v1::about::What::Begin(v1::Begin { meta: vec![0; bytes] }));
    let message =
        Some(v1::message::Message::About(Box::new(v1::About { transaction: Some(transaction(bytes)), what })));
    v1::Packet { route: Some(route()), messages: vec![v1::Message { message }] }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_larger_than_allowed_is_refused_and_others_are_still_served() {
    let world = World::new().await;
    let before = world.handle(TARGET).metrics().await.unwrap();
    let channel = world.client(TARGET, Identity::node(CLUSTER, BRANCHES[0])).channel();
    let large = world.options.message;

    let refused = soon("the call", ManagerClient::new(channel.clone()).begin(begin(large))).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);

    let packets = tokio_stream::iter([packet(large)]);
    let mut answers = PeerClient::new(channel.clone()).exchange(packets).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some());
    let refused = soon("the end", answers.message()).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    assert_eq!(world.member(TARGET).server.stats().faults(Fault::TooLarge), 1);

    let begin = v1::BeginRequest { participants: vec![4, 5], meta: vec![0; large], id: None, epoch: 0 };
    let refused = TransactionsClient::new(channel.clone()).begin(begin).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    assert_eq!(world.handle(TARGET).metrics().await.unwrap(), before);

    let mut answers = PeerClient::new(channel).exchange(tokio_stream::iter([packet(10)])).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some());
    assert!(soon("the end", answers.message()).await.unwrap().is_none());
    assert!(world.member(TARGET).server.stats().messages >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_and_counted() {
    let world = World::new().await;
    let before = world.handle(TARGET).metrics().await.unwrap();
    let channel = world.client(TARGET, Identity::node(CLUSTER, BRANCHES[0])).channel();
    let backwards = v1::message::Message::RetiredNoted(v1::TxRange { origin: 4, first: 2, last: 1 });
    let backwards = v1::Message { message: Some(backwards) };
    let nonsense = [
        v1::Packet { route: None, ..packet(0) },
        v1::Packet { route: Some(v1::Route { cluster: vec![1; 15], ..route() }), ..packet(0) },
        v1::Packet { messages: vec![backwards.clone()], ..packet(0) },
        // All of a packet or nothing.
        v1::Packet { messages: [packet(0).messages, vec![backwards]].concat(), ..packet(0) },
    ];
    for (count, packet) in nonsense.into_iter().enumerate() {
        let packets = tokio_stream::iter([packet]);
        let mut answers = PeerClient::new(channel.clone()).exchange(packets).await.unwrap().into_inner();
        assert!(answers.message().await.unwrap().is_some());
        let refused = soon("the end", answers.message()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(world.member(TARGET).server.stats().faults(Fault::Malformed), count as u64 + 1);
    }
    let request = v1::ContentRequest { transaction: None, ..begin(0) };
    let refused = ManagerClient::new(channel).begin(request).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "the transaction is missing"));
    assert_eq!(world.member(TARGET).server.stats().faults(Fault::Malformed), 5);
    assert_eq!(world.handle(TARGET).metrics().await.unwrap(), before);
}

/// The largest transaction that the limits allow goes through, with the least room that the options must have for it.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_transaction_within_the_limits_commits() {
    let world = World::new().await;
    let Limits { meta, .. } = *world.cluster.limits();
    let client = world.client(TARGET, Identity::client(CLUSTER, NodeId(9)));
    let tx = soon("to begin", client.begin(BRANCHES, vec![7; meta])).await.unwrap();
    assert_eq!(soon("the outcome", client.outcome(tx)).await.unwrap(), synod::commit::Outcome::Committed);
    let over = client.begin(BRANCHES, vec![7; meta + 1]).await.unwrap_err();
    assert!(over.to_string().contains("too long"), "{over}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_inbox_refuses_a_call_and_counts() {
    let world = World::new().await;
    let channel = world.client(TARGET, Identity::node(CLUSTER, BRANCHES[0])).channel();
    let handle = world.handle(TARGET).clone();
    let stopped = handle.clone();
    stopped.shutdown().await.unwrap();
    // A node that has stopped has no room for anything.
    let refused = ManagerClient::new(channel).begin(begin(1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(world.member(TARGET).server.stats().faults(Fault::InboxFull), 1);
    assert_eq!(handle.dropped(), 1);
    until("it is counted once", || world.member(TARGET).server.stats().packets == 1).await;
}

#[test]
fn a_transaction_on_the_wire_is_one_only_if_its_participants_are_sorted() {
    let mut unsorted = transaction(0);
    unsorted.participants.reverse();
    let spec = TransactionSpec {
        id: synod::TxId { origin: BRANCHES[0], seq: 1 },
        participants: vec![BRANCHES[1], BRANCHES[0]],
        epoch: 0,
        content: unsorted.content,
    };
    let (wire, plain) = (synod::commit::Transaction::try_from(unsorted), synod::commit::Transaction::try_from(spec));
    assert_eq!(wire.unwrap_err().to_string(), plain.unwrap_err().to_string());
}
