//! What clients get.

use synod::{
    NodeId, TxId,
    commit::{Outcome, ResourceManagerState, Status, Transaction},
};
use synod_grpc::{
    CallError, Client, Error, Fault, Identity, Reason, Security,
    prost::Message as _,
    tonic::Code,
    v1::{self, transactions_client::TransactionsClient},
};

use tokio::net::TcpListener;

use super::{
    soon, until,
    world::{BRANCHES, CLUSTER, IMPOSSIBLE, MANAGERS, NARROW, World, options},
};

const ME: NodeId = NodeId(9);

fn code<T: std::fmt::Debug>(result: Result<T, CallError>) -> Code {
    result.unwrap_err().code()
}

fn named(origin: NodeId, seq: u64, meta: &[u8]) -> Transaction {
    Transaction::new(TxId { origin, seq }, BRANCHES, meta).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_begins_transactions_and_reads_how_they_ended() {
    let world = World::new().await;
    for (node, meta, outcome) in
        [(MANAGERS[0], b"".as_slice(), Outcome::Committed), (BRANCHES[0], IMPOSSIBLE, Outcome::Aborted)]
    {
        let client = world.client(node, Identity::client(CLUSTER, ME));
        let tx = soon("to begin", client.begin(BRANCHES, meta)).await.unwrap();
        assert_eq!(tx.origin, node);
        assert_eq!(soon("the outcome", client.outcome(tx)).await.unwrap(), outcome);
        while !soon("the status", client.status(tx)).await.unwrap().is_retired() {}
        let never = TxId { origin: node, seq: 1 << 40 };
        assert_eq!(soon("the status", client.status(never)).await.unwrap(), Status::Unknown);
        assert_eq!(code(soon("to inquire", client.inquire(never)).await), Code::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_names_transactions_by_its_own_number_only_and_may_say_so_twice() {
    let world = World::new().await;
    let first = world.client(MANAGERS[0], Identity::client(CLUSTER, ME));
    let second = world.client(MANAGERS[1], Identity::client(CLUSTER, ME));
    let transaction = named(ME, 1, b"");
    soon("to begin", first.begin_as(&transaction, b"")).await.unwrap();
    assert_eq!(soon("the outcome", first.outcome(transaction.id())).await.unwrap(), Outcome::Committed);
    // Elsewhere it is open, or over already.
    match soon("to begin again", second.begin_as(&transaction, b"")).await {
        Ok(()) => {}
        refused => assert_eq!(code(refused), Code::FailedPrecondition),
    }
    for branch in BRANCHES {
        until("it commits", || world.ledger(branch).read(transaction.id()) == Some(Outcome::Committed)).await;
    }

    let node = world.client(MANAGERS[0], Identity::node(CLUSTER, BRANCHES[0]));
    let before = world.member(MANAGERS[0]).server.stats().faults(Fault::Forged);
    assert_eq!(code(first.begin_as(&named(MANAGERS[0], 1 << 40, b""), b"").await), Code::PermissionDenied);
    assert_eq!(code(node.begin_as(&named(ME, 2, b""), b"").await), Code::PermissionDenied);
    assert_eq!(world.member(MANAGERS[0]).server.stats().faults(Fault::Forged), before + 2);
    soon("a node may too", node.begin_as(&named(BRANCHES[0], 1 << 40, b""), b"")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_begins_by_names_that_a_manager_has_given_at_any_manager_and_by_no_others() {
    let world = World::new().await;
    let clients = [0, 1].map(|at| world.client(MANAGERS[at], Identity::client(CLUSTER, ME)));
    let names = soon("names", clients[0].names(2)).await.unwrap().names;
    assert_eq!((names.origin(), names.last().seq - names.first().seq), (MANAGERS[0], 1));
    for (client, seq) in clients.iter().zip([names.last().seq, names.first().seq]) {
        let transaction = named(MANAGERS[0], seq, b"");
        soon("to begin", client.begin_as(&transaction, b"")).await.unwrap();
        assert_eq!(soon("the outcome", client.outcome(transaction.id())).await.unwrap(), Outcome::Committed);
    }
    for count in [0, 1 << 20] {
        let refused = clients[0].names(count).await.unwrap_err();
        assert!(matches!(refused, CallError::Refused { reason: Reason::Count, .. }), "{refused:?}");
    }
    // The node's numbers are not used up by one who makes names up.
    let far = clients[0].begin_as(&named(MANAGERS[0], u64::MAX - 1, b""), b"").await;
    assert_eq!(code(far), Code::PermissionDenied);
    let next = soon("names", clients[0].names(1)).await.unwrap();
    assert_eq!(next.names.first().seq, names.last().seq + 1);
    let elsewhere = world.client(BRANCHES[0], Identity::client(CLUSTER, ME));
    let refused = elsewhere.names(1).await.unwrap_err();
    assert!(matches!(refused, CallError::Refused { reason: Reason::NotAManager, .. }), "{refused:?}");
}

/// The answer to a client is lost, and the cluster restarts. Whoever takes "over" for "never heard of" pays twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_over_is_not_one_that_never_was_and_neither_is_a_refusal() {
    let mut world = World::forgetful().await;
    let client = world.client(MANAGERS[0], Identity::client(CLUSTER, ME));
    let transaction = named(ME, 1, b"");
    let tx = transaction.id();
    soon("to begin", client.begin_as(&transaction, b"")).await.unwrap();
    while !soon("the status", client.status(tx)).await.unwrap().is_retired() {}
    for node in MANAGERS.into_iter().chain(BRANCHES) {
        world.stop(node).await;
    }
    for node in MANAGERS.into_iter().chain(BRANCHES) {
        world.restart(node).await;
    }
    let client = world.client(MANAGERS[0], Identity::client(CLUSTER, ME));
    let over = soon("the outcome", client.outcome(tx)).await.unwrap_err();
    let never = soon("to inquire", client.inquire(TxId { origin: ME, seq: 77 })).await.unwrap_err();
    let again = soon("to begin again", client.begin_as(&transaction, b"")).await.unwrap_err();
    let driven = soon("to inquire", client.inquire(tx)).await.unwrap_err();
    assert!(matches!(over, CallError::Forgotten(_)), "{over:?}");
    assert!(matches!(never, CallError::Unknown(_)), "{never:?}");
    assert!(matches!(again, CallError::Refused { reason: Reason::Over, .. }), "{again:?}");
    assert!(matches!(driven, CallError::Refused { reason: Reason::Over, .. }), "{driven:?}");
    let codes = [over, never, again].map(|error| error.code());
    assert_eq!(codes, [Code::DataLoss, Code::NotFound, Code::FailedPrecondition]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_not_given_to_another_transaction() {
    let mut world = World::hasty().await;
    // It stays open: one acceptor is no quorum.
    for manager in &MANAGERS[1..] {
        world.stop(*manager).await;
    }
    let client = world.client(MANAGERS[0], Identity::client(CLUSTER, ME));
    let transaction = named(ME, 1, b"this");
    let elsewhere = Transaction::new(transaction.id(), [BRANCHES[0]], b"this").unwrap();
    soon("to begin", client.begin_as(&transaction, b"this")).await.unwrap();
    assert_eq!(code(soon("to begin", client.begin_as(&named(ME, 1, b"that"), b"that")).await), Code::AlreadyExists);
    assert_eq!(code(soon("to begin", client.begin_as(&elsewhere, b"this")).await), Code::AlreadyExists);
    soon("to begin again", client.begin_as(&transaction, b"this")).await.unwrap();
    let open = Status::Open { state: None, outcome: None };
    assert_eq!(soon("the status", client.status(transaction.id())).await.unwrap(), open);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_begun_is_an_error_that_says_why() {
    let world = World::new().await;
    let manager = world.client(MANAGERS[0], Identity::client(CLUSTER, ME));
    let branch = world.client(BRANCHES[0], Identity::client(CLUSTER, ME));
    assert_eq!(code(manager.begin([], b"").await), Code::InvalidArgument);
    assert_eq!(code(manager.begin([BRANCHES[0]; 2], b"").await), Code::InvalidArgument);
    assert_eq!(code(manager.begin((0..300).map(NodeId), b"").await), Code::InvalidArgument);
    assert_eq!(code(branch.begin([BRANCHES[1]], b"").await), Code::FailedPrecondition);
    let mut stub = TransactionsClient::new(manager.channel());
    let refused = stub.outcome(v1::OutcomeRequest { id: None }).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let begin =
        v1::BeginRequest { participants: vec![], meta: vec![], id: Some(TxId { origin: ME, seq: 1 }.into()), epoch: 0 };
    assert_eq!(stub.begin(begin).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_in_doubt_are_listed_whole_in_as_many_answers_as_it_takes() {
    let mut world = World::narrow().await;
    // One acceptor is no quorum.
    for manager in &MANAGERS[1..] {
        world.stop(*manager).await;
    }
    let branch = world.client(BRANCHES[0], Identity::client(CLUSTER, ME));
    let mut begun = Vec::new();
    for seq in 0..NARROW as u64 {
        begun.push(named(ME, seq, &[seq as u8; 100]));
        soon("to begin", branch.begin_as(&begun[seq as usize], [seq as u8; 100])).await.unwrap();
    }
    let one_more = named(ME, NARROW as u64, b"");
    assert_eq!(code(soon("to begin one more", branch.begin_as(&one_more, b"")).await), Code::ResourceExhausted);
    let mut listed = Vec::new();
    while listed.len() < begun.len() {
        listed = soon("the list", branch.in_doubt()).await.unwrap();
    }
    assert!(listed.iter().all(|each| each.state == ResourceManagerState::Prepared));
    let bytes: usize = listed.iter().map(|each| v1::InDoubt::from(each).encoded_len()).sum();
    assert!(bytes > world.options.message, "all of them, in {bytes} bytes, would fit in one answer");
    assert_eq!(listed.into_iter().map(|each| each.transaction).collect::<Vec<_>>(), begun);

    let mut stub = TransactionsClient::new(branch.channel());
    let request = v1::InDoubtRequest { after: Some(begun[9].id().into()), limit: 2 };
    let page = stub.in_doubt(request).await.unwrap().into_inner();
    let names: Vec<_> = page.in_doubt.iter().map(|each| each.transaction.as_ref().unwrap().id.unwrap().seq).collect();
    assert_eq!((names, page.more), (vec![10, 11], true));
    let page = stub.in_doubt(v1::InDoubtRequest::default()).await.unwrap().into_inner();
    assert!(page.more && !page.in_doubt.is_empty() && page.in_doubt.len() < begun.len());
    let request = v1::InDoubtRequest { after: Some(begun[NARROW - 2].id().into()), limit: 0 };
    let page = stub.in_doubt(request).await.unwrap().into_inner();
    assert_eq!((page.in_doubt.len(), page.more), (1, false));

    let tx = begun[0].id();
    let open = Status::Open { state: Some(ResourceManagerState::Prepared), outcome: None };
    assert_eq!(soon("the status", branch.status(tx)).await.unwrap(), open);
    soon("to inquire", branch.inquire(tx)).await.unwrap();
    for manager in &MANAGERS[1..] {
        world.restart(*manager).await;
    }
    let outcome = soon("the outcome", branch.outcome(tx)).await.unwrap();
    // It is told as soon as it is known, and carried out a moment later.
    until("it is carried out", || world.ledger(BRANCHES[0]).read(tx) == Some(outcome)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_an_outcome_hears_that_the_server_closes() {
    let mut world = World::new().await;
    let client = world.client(MANAGERS[0], Identity::client(CLUSTER, ME));
    let waits = tokio::spawn({
        let client = client.clone();
        async move { client.outcome(TxId { origin: ME, seq: 1 }).await }
    });
    // The call is there when the next one over the same connection is answered.
    soon("the status", client.status(TxId { origin: ME, seq: 1 })).await.unwrap();
    world.stop(MANAGERS[0]).await;
    assert_eq!(code(soon("the end", waits).await.unwrap()), Code::Unavailable);
    assert!(soon("a call to nobody", client.in_doubt()).await.is_err());
    world.restart(MANAGERS[0]).await;
    soon("the same client again", client.in_doubt()).await.unwrap();
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_is_unavailable() {
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let client = Client::new(CLUSTER, MANAGERS[0], &nowhere, &Security::Plaintext, &options()).unwrap();
    for _ in 0..3 {
        assert_eq!(code(soon("the call", client.in_doubt()).await), Code::Unavailable);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_at_its_deadline() {
    let world = World::new().await;
    let client = world.client(MANAGERS[0], Identity::client(CLUSTER, ME));
    let mut request =
        synod_grpc::tonic::Request::new(v1::OutcomeRequest { id: Some(TxId { origin: ME, seq: 1 }.into()) });
    request.set_timeout(std::time::Duration::from_millis(20));
    let ended = soon("the deadline", TransactionsClient::new(client.channel()).outcome(request)).await.unwrap_err();
    assert!(matches!(ended.code(), Code::Cancelled | Code::DeadlineExceeded), "{ended}");
}

#[tokio::test]
async fn a_client_of_another_cluster_is_refused_at_the_start() {
    let world = World::plaintext().await;
    let security = world.authority.security(Identity::client(synod::commit::ClusterId([7; 16]), ME));
    let address = world.address(MANAGERS[0]).to_string();
    let refused = Client::new(CLUSTER, MANAGERS[0], &address, &security, &options()).map(drop);
    assert!(matches!(refused, Err(Error::OtherIdentity { .. })));
    let zero = options().with_message(0);
    let refused = Client::new(CLUSTER, MANAGERS[0], &address, &Security::Plaintext, &zero).map(drop);
    assert!(matches!(refused, Err(Error::ZeroOption("message"))));
}
