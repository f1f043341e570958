//! The services of the roles: each call is its message, and nothing else.

use std::sync::{Arc, Mutex};

use synod::{
    Ballot, NodeId, Quorums, TxId,
    commit::{
        Acceptance, Cluster, Config, Message, Meta, Obstacle, Outcome, Places, Promises, Transaction, TxRange, Vote,
        Votes, What,
    },
};
use synod_grpc::{
    Client, Security, Server,
    tonic::{Response, Status, transport::Channel},
    v1::{
        self, acceptor_client::AcceptorClient, manager_client::ManagerClient, peer_client::PeerClient,
        proposer_client::ProposerClient, resource_client::ResourceClient,
    },
};
use tokio::net::TcpListener;

use super::{
    soon,
    world::{CLUSTER, MANAGERS, options},
};

const ME: NodeId = MANAGERS[0];
const OTHER: NodeId = MANAGERS[1];
const BRANCH: NodeId = NodeId(4);

/// A packet, and who sent it.
type Delivery = (NodeId, Vec<Message>);

/// A server that shows what comes.
struct Ear {
    heard: Arc<Mutex<Vec<Delivery>>>,
    channel: Channel,
    _server: Server,
}

impl Ear {
    async fn new() -> Self {
        let cluster = Cluster::new(CLUSTER, Quorums::majority(MANAGERS).unwrap(), MANAGERS).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let inbox = Arc::clone(&heard);
        let put = move |from, messages| {
            inbox.lock().unwrap().push((from, messages));
            true
        };
        let config = Config::new(cluster, ME, 0);
        let server = Server::relay(listener, &config, put, Security::Plaintext, options()).unwrap();
        let address = server.address().to_string();
        let client = Client::new(CLUSTER, ME, &address, &Security::Plaintext, &options()).unwrap();
        Self { heard, channel: client.channel(), _server: server }
    }

    /// The `call` of `from` is this message, and nothing else.
    async fn hears(
        &self,
        from: NodeId,
        message: Message,
        call: impl Future<Output = Result<Response<v1::Delivered>, Status>>,
    ) {
        soon("the call", call).await.unwrap();
        assert_eq!(std::mem::take(&mut *self.heard.lock().unwrap()), [(from, vec![message])]);
    }
}

fn transaction(seq: u64) -> Transaction {
    Transaction::new(TxId { origin: BRANCH, seq }, [ME, BRANCH], *b"roles").unwrap()
}

fn route(from: NodeId) -> Option<v1::Route> {
    Some(v1::Route { cluster: CLUSTER.0.to_vec(), from: from.0, to: ME.0 })
}

fn about(from: NodeId, seq: u64) -> v1::TransactionRequest {
    v1::TransactionRequest { route: route(from), transaction: Some((&transaction(seq)).into()) }
}

fn content(from: NodeId, seq: u64) -> v1::ContentRequest {
    let transaction = Some((&transaction(seq)).into());
    v1::ContentRequest { route: route(from), transaction, meta: b"roles".to_vec() }
}

fn says(seq: u64, what: What) -> Message {
    Message::about(&transaction(seq), what)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_manager_or_a_resource_is_its_message() {
    let ear = Ear::new().await;
    let mut manager = ManagerClient::new(ear.channel.clone());
    let mut resource = ResourceClient::new(ear.channel.clone());
    let mut peer = PeerClient::new(ear.channel.clone());
    let meta = Meta::from(b"roles");

    let begin = says(1, What::Begin { meta: meta.clone() });
    ear.hears(BRANCH, begin, manager.begin(content(BRANCH, 1))).await;
    ear.hears(BRANCH, says(2, What::Inquire), manager.inquire(about(BRANCH, 2))).await;
    ear.hears(BRANCH, says(2, What::Decline), manager.decline(about(BRANCH, 2))).await;
    let finish = v1::FinishRequest {
        route: route(BRANCH),
        transaction: Some((&transaction(3)).into()),
        outcome: v1::Outcome::Aborted.into(),
    };
    ear.hears(BRANCH, says(3, What::Finished(Outcome::Aborted)), manager.finish(finish)).await;

    ear.hears(OTHER, says(4, What::prepare(meta)), resource.prepare(content(OTHER, 4))).await;
    ear.hears(OTHER, says(4, What::Outcome(Outcome::Committed)), resource.commit(about(OTHER, 4))).await;
    ear.hears(OTHER, says(5, What::Outcome(Outcome::Aborted)), resource.abort(about(OTHER, 5))).await;

    let range = TxRange::new(NodeId(9), 1, 7).unwrap();
    let request = v1::RangeRequest { route: route(OTHER), range: Some(range.into()) };
    ear.hears(OTHER, Message::retired(range), peer.retire(request.clone())).await;
    ear.hears(OTHER, Message::RetiredNoted { range }, peer.note_retired(request)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_for_nodes_alone_has_nothing_for_clients() {
    let ear = Ear::new().await;
    let mut stub = v1::transactions_client::TransactionsClient::new(ear.channel.clone());
    let refused = soon("the call", stub.in_doubt(v1::InDoubtRequest::default())).await.unwrap_err();
    assert_eq!(refused.code(), synod_grpc::tonic::Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_an_acceptor_or_a_proposer_is_its_message() {
    let ear = Ear::new().await;
    let mut acceptor = AcceptorClient::new(ear.channel.clone());
    let mut proposer = ProposerClient::new(ear.channel.clone());
    let (own, higher) = (Ballot::new(1, OTHER), Ballot::new(2, OTHER));
    let (wire_own, wire_higher) = (Some(own.into()), Some(higher.into()));
    let of = |seq| Some(v1::Transaction::from(&transaction(seq)));
    let prepared = i32::from(v1::Vote::Prepared);
    // The branch is the second participant.
    let (instances, votes) = (Places::from_iter([1]), Votes::from_iter([(1, Vote::Prepared)]));
    let wire_votes = Some(v1::Votes { cast: vec![2], prepared: vec![2] });
    let none = Some(v1::Votes::default());
    let accepted = [Acceptance { rm: BRANCH, ballot: own, vote: Vote::Prepared }];
    let wire_accepted = vec![v1::Acceptance { rm: BRANCH.0, ballot: wire_own, vote: prepared }];

    let initial = v1::InitialVote { vote: prepared, manager: OTHER.0 };
    let vote = v1::VoteRequest { route: route(BRANCH), transaction: of(1), vote: Some(initial) };
    let message = says(1, What::Vote { vote: Vote::Prepared, manager: OTHER });
    ear.hears(BRANCH, message, acceptor.vote(vote)).await;

    let request = Some(v1::Phase1a { ballot: wire_own, instances: vec![2] });
    let prepare = v1::Phase1aRequest { route: route(OTHER), transaction: of(1), request };
    let message = says(1, What::Phase1a { ballot: own, instances: instances.clone() });
    ear.hears(OTHER, message, acceptor.prepare(prepare)).await;

    let request = Some(v1::Phase2a { ballot: wire_higher, votes: wire_votes.clone() });
    let accept = v1::Phase2aRequest { route: route(OTHER), transaction: of(1), request };
    let message = says(1, What::Phase2a { ballot: higher, votes: votes.clone() });
    ear.hears(OTHER, message, acceptor.accept(accept)).await;

    let answer =
        Some(v1::Phase1b { ballot: wire_higher, instances: vec![2], votes: none, higher: wire_accepted.clone() });
    let promise = v1::Phase1bRequest { route: route(OTHER), transaction: of(2), answer };
    let promises = Box::new(Promises { instances, votes: Votes::default(), higher: accepted.into() });
    ear.hears(OTHER, says(2, What::Phase1b { ballot: higher, promises }), proposer.promise(promise)).await;

    let answer = Some(v1::Phase2b { votes: wire_votes, higher: vec![] });
    let request = v1::Phase2bRequest { route: route(OTHER), transaction: of(3), answer };
    ear.hears(OTHER, says(3, What::Phase2b { votes, higher: Box::default() }), proposer.accepted(request)).await;

    let answer =
        Some(v1::Reject { ballot: wire_own, promised: vec![v1::Obstacle { rm: BRANCH.0, promised: wire_higher }] });
    let reject = v1::RejectRequest { route: route(OTHER), transaction: of(4), answer };
    let promised = [Obstacle { rm: BRANCH, promised: higher }].into();
    ear.hears(OTHER, says(4, What::Reject { ballot: own, promised }), proposer.reject(reject)).await;
}
