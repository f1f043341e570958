//! The services of the roles: each call is its message, and nothing else.

use std::sync::{Arc, Mutex};

use synod::{
    Ballot, NodeId, Quorums, TxId,
    commit::{Cluster, Config, Message, Outcome, Part, Transaction, TxRange, Vote},
    paxos,
    perform::grpc::{
        Client, Security, Server,
        tonic::{Response, Status, transport::Channel},
        v1::{
            self, acceptor_client::AcceptorClient, manager_client::ManagerClient, peer_client::PeerClient,
            proposer_client::ProposerClient, resource_client::ResourceClient,
        },
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

fn bundle(seq: u64, message: paxos::Message<Vote>) -> Message {
    Message::Paxos { transaction: transaction(seq), parts: vec![Part { rm: BRANCH, message }] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_manager_or_a_resource_is_its_message() {
    let ear = Ear::new().await;
    let mut manager = ManagerClient::new(ear.channel.clone());
    let mut resource = ResourceClient::new(ear.channel.clone());
    let mut peer = PeerClient::new(ear.channel.clone());

    let begin = Message::Begin { transaction: transaction(1) };
    ear.hears(BRANCH, begin, manager.begin(about(BRANCH, 1))).await;
    let inquire = Message::Inquire { transaction: transaction(2) };
    ear.hears(BRANCH, inquire, manager.inquire(about(BRANCH, 2))).await;
    let finished = Message::Finished { transaction: transaction(3), outcome: Outcome::Aborted };
    let ending = v1::Ending { transaction: Some((&transaction(3)).into()), outcome: v1::Outcome::Aborted.into() };
    let finish = v1::FinishRequest { route: route(BRANCH), ending: Some(ending) };
    ear.hears(BRANCH, finished, manager.finish(finish)).await;

    let prepare = Message::Prepare { transaction: transaction(4) };
    ear.hears(OTHER, prepare, resource.prepare(about(OTHER, 4))).await;
    let commit = Message::Outcome { transaction: transaction(4), outcome: Outcome::Committed };
    ear.hears(OTHER, commit, resource.commit(about(OTHER, 4))).await;
    let abort = Message::Outcome { transaction: transaction(5), outcome: Outcome::Aborted };
    ear.hears(OTHER, abort, resource.abort(about(OTHER, 5))).await;

    let range = TxRange::new(NodeId(9), 1, 7).unwrap();
    let request = v1::RangeRequest { route: route(OTHER), range: Some(range.into()) };
    ear.hears(OTHER, Message::Retired { range }, peer.retire(request.clone())).await;
    ear.hears(OTHER, Message::RetiredNoted { range }, peer.note_retired(request)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_for_nodes_alone_has_nothing_for_clients() {
    let ear = Ear::new().await;
    let mut stub = v1::transactions_client::TransactionsClient::new(ear.channel.clone());
    let refused = soon("the call", stub.in_doubt(v1::InDoubtRequest::default())).await.unwrap_err();
    assert_eq!(refused.code(), synod::perform::grpc::tonic::Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_an_acceptor_or_a_proposer_is_its_message() {
    let ear = Ear::new().await;
    let mut acceptor = AcceptorClient::new(ear.channel.clone());
    let mut proposer = ProposerClient::new(ear.channel.clone());
    let (own, higher) = (Ballot::new(1, OTHER), Ballot::new(2, OTHER));
    let (wire_own, wire_higher) = (Some(own.into()), Some(higher.into()));
    let of = |seq| Some(v1::Transaction::from(&transaction(seq)));
    let (rm, prepared) = (BRANCH.0, i32::from(v1::Vote::Prepared));

    let vote = Message::Vote { transaction: transaction(1), vote: Vote::Prepared, manager: OTHER };
    let initial = v1::InitialVote { transaction: of(1), vote: prepared, manager: OTHER.0 };
    ear.hears(BRANCH, vote, acceptor.vote(v1::VoteRequest { route: route(BRANCH), vote: Some(initial) })).await;

    let prepare = v1::PrepareRequest {
        route: route(OTHER),
        transaction: of(1),
        instances: vec![v1::Prepare { rm, ballot: wire_own }],
    };
    ear.hears(OTHER, bundle(1, paxos::Message::Prepare { ballot: own }), acceptor.prepare(prepare)).await;

    let accept = v1::AcceptRequest {
        route: route(OTHER),
        transaction: of(1),
        instances: vec![v1::Accept { rm, ballot: wire_higher, vote: prepared }],
    };
    let message = paxos::Message::Accept { ballot: higher, value: Vote::Prepared };
    ear.hears(OTHER, bundle(1, message), acceptor.accept(accept)).await;

    let promise = v1::PromiseRequest {
        route: route(OTHER),
        transaction: of(2),
        instances: vec![v1::Promise {
            rm,
            ballot: wire_higher,
            accepted: Some(v1::Acceptance { ballot: wire_own, vote: prepared }),
        }],
    };
    let message = paxos::Message::Promise { ballot: higher, accepted: Some((own, Vote::Prepared)) };
    ear.hears(OTHER, bundle(2, message), proposer.promise(promise)).await;

    let accepted = v1::AcceptedRequest {
        route: route(OTHER),
        transaction: of(3),
        instances: vec![v1::Accepted { rm, ballot: wire_own, vote: prepared }],
    };
    let message = paxos::Message::Accepted { ballot: own, value: Vote::Prepared };
    ear.hears(OTHER, bundle(3, message), proposer.accepted(accepted)).await;

    let reject = v1::RejectRequest {
        route: route(OTHER),
        transaction: of(4),
        instances: vec![v1::Reject { rm, ballot: wire_own, promised: wire_higher }],
    };
    let message = paxos::Message::Reject { ballot: own, promised: higher };
    ear.hears(OTHER, bundle(4, message), proposer.reject(reject)).await;
}
