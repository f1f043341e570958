//! The services of the roles: each call is its message, and nothing else.

use synod::{
    Ballot, NodeId, Quorums, TxId,
    commit::{Cluster, Config, Message, Metrics, Outcome, Part, Timeouts, Transaction, TxRange, Vote},
    paxos,
    perform::{
        fjall::FjallStorage,
        grpc::{
            Client, Security, Server,
            tonic::{Response, Status, transport::Channel},
            v1::{
                self, acceptor_client::AcceptorClient, manager_client::ManagerClient, peer_client::PeerClient,
                proposer_client::ProposerClient, resource_client::ResourceClient,
            },
        },
        tokio::{self as driver, Handle, Start},
    },
};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{
    soon,
    world::{CLUSTER, Ledger, MANAGERS, options},
};

const ME: NodeId = MANAGERS[0];
const OTHER: NodeId = MANAGERS[1];
const BRANCH: NodeId = NodeId(4);

/// A node whose messages go nowhere, and for whom no time passes.
async fn lone(folder: &TempDir) -> Handle {
    let forever = Timeouts { flush: 1 << 40, recover: 1 << 40, inquire: 1 << 40, repeat: 1 << 40, ceiling: 1 << 40 };
    let cluster = Cluster::new(CLUSTER, Quorums::majority(MANAGERS).unwrap(), MANAGERS).unwrap();
    let config = Config::new(cluster.with_timeouts(forever).unwrap(), ME, 0);
    let storage = FjallStorage::open(folder.path().join("records")).unwrap();
    let options = driver::Options::default();
    driver::spawn(config, Start::Create, storage, Vec::new(), Ledger::default(), options).await.unwrap().0
}

/// What the node has counted, but for its inputs, since some of them are the time.
async fn metrics(handle: &Handle) -> Metrics {
    let mut metrics = soon("the metrics", handle.metrics()).await.unwrap();
    metrics.steps = 0;
    metrics
}

/// A node that gets messages by calls, beside one that gets them as they are.
struct Pair {
    called: Handle,
    told: Handle,
    channel: Channel,
    _server: Server,
    _folders: [TempDir; 2],
}

impl Pair {
    async fn new() -> Self {
        let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
        let (called, told) = (lone(&folders[0]).await, lone(&folders[1]).await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::start(listener, called.clone(), Security::Plaintext, options()).unwrap();
        let address = server.address().to_string();
        let client = Client::new(CLUSTER, ME, &address, &Security::Plaintext, &options()).unwrap();
        Self { called, told, channel: client.channel(), _server: server, _folders: folders }
    }

    /// The `call` does at one node what `message` does at the other, and that is something.
    async fn same(
        &self,
        from: NodeId,
        message: Message,
        call: impl Future<Output = Result<Response<v1::Delivered>, Status>>,
    ) {
        let before = metrics(&self.told).await;
        assert_eq!(metrics(&self.called).await, before);
        assert!(self.told.deliver(from, vec![message.clone()]));
        soon("the call", call).await.unwrap();
        let mut after = before;
        while after == before {
            after = metrics(&self.told).await;
        }
        let alike = async {
            loop {
                // Until both are done with it.
                let (told, called) = (metrics(&self.told).await, metrics(&self.called).await);
                if told == called && told != before {
                    return;
                }
            }
        };
        soon(&format!("both come to the same after {message:?}"), alike).await;
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
    let pair = Pair::new().await;
    let mut manager = ManagerClient::new(pair.channel.clone());
    let mut resource = ResourceClient::new(pair.channel.clone());
    let mut peer = PeerClient::new(pair.channel.clone());

    let begin = Message::Begin { transaction: transaction(1) };
    pair.same(BRANCH, begin, manager.begin(about(BRANCH, 1))).await;
    let inquire = Message::Inquire { transaction: transaction(2) };
    pair.same(BRANCH, inquire, manager.inquire(about(BRANCH, 2))).await;
    let finished = Message::Finished { transaction: transaction(3), outcome: Outcome::Aborted };
    let ending = v1::Ending { transaction: Some((&transaction(3)).into()), outcome: v1::Outcome::Aborted.into() };
    let finish = v1::FinishRequest { route: route(BRANCH), ending: Some(ending) };
    pair.same(BRANCH, finished, manager.finish(finish)).await;

    let prepare = Message::Prepare { transaction: transaction(4) };
    pair.same(OTHER, prepare, resource.prepare(about(OTHER, 4))).await;
    let commit = Message::Outcome { transaction: transaction(4), outcome: Outcome::Committed };
    pair.same(OTHER, commit, resource.commit(about(OTHER, 4))).await;
    let abort = Message::Outcome { transaction: transaction(5), outcome: Outcome::Aborted };
    pair.same(OTHER, abort, resource.abort(about(OTHER, 5))).await;

    let range = TxRange::new(NodeId(9), 1, 7).unwrap();
    let request = v1::RangeRequest { route: route(OTHER), range: Some(range.into()) };
    pair.same(OTHER, Message::Retired { range }, peer.retire(request.clone())).await;
    let noted = peer.note_retired(request);
    // Who may not acknowledge is refused, by name.
    let stranger = v1::RangeRequest { route: route(BRANCH), range: Some(range.into()) };
    soon("the call", noted).await.unwrap();
    assert!(pair.told.deliver(OTHER, vec![Message::RetiredNoted { range }]));
    pair.same(BRANCH, Message::RetiredNoted { range }, peer.note_retired(stranger)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_an_acceptor_or_a_proposer_is_its_message() {
    let pair = Pair::new().await;
    let mut acceptor = AcceptorClient::new(pair.channel.clone());
    let mut proposer = ProposerClient::new(pair.channel.clone());
    let (own, higher) = (Ballot::new(1, OTHER), Ballot::new(2, OTHER));
    let (wire_own, wire_higher) = (Some(own.into()), Some(higher.into()));
    let of = |seq| Some(v1::Transaction::from(&transaction(seq)));
    let (rm, prepared) = (BRANCH.0, i32::from(v1::Vote::Prepared));

    let vote = Message::Vote { transaction: transaction(1), vote: Vote::Prepared, manager: OTHER };
    let initial = v1::InitialVote { transaction: of(1), vote: prepared, manager: OTHER.0 };
    pair.same(BRANCH, vote, acceptor.vote(v1::VoteRequest { route: route(BRANCH), vote: Some(initial) })).await;

    let prepare = v1::PrepareRequest {
        route: route(OTHER),
        transaction: of(1),
        instances: vec![v1::Prepare { rm, ballot: wire_own }],
    };
    pair.same(OTHER, bundle(1, paxos::Message::Prepare { ballot: own }), acceptor.prepare(prepare)).await;

    let accept = v1::AcceptRequest {
        route: route(OTHER),
        transaction: of(1),
        instances: vec![v1::Accept { rm, ballot: wire_higher, vote: prepared }],
    };
    let message = paxos::Message::Accept { ballot: higher, value: Vote::Prepared };
    pair.same(OTHER, bundle(1, message), acceptor.accept(accept)).await;

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
    pair.same(OTHER, bundle(2, message), proposer.promise(promise)).await;

    let accepted = v1::AcceptedRequest {
        route: route(OTHER),
        transaction: of(3),
        instances: vec![v1::Accepted { rm, ballot: wire_own, vote: prepared }],
    };
    let message = paxos::Message::Accepted { ballot: own, value: Vote::Prepared };
    pair.same(OTHER, bundle(3, message), proposer.accepted(accepted)).await;

    let reject = v1::RejectRequest {
        route: route(OTHER),
        transaction: of(4),
        instances: vec![v1::Reject { rm, ballot: wire_own, promised: wire_higher }],
    };
    let message = paxos::Message::Reject { ballot: own, promised: higher };
    pair.same(OTHER, bundle(4, message), proposer.reject(reject)).await;
}
