//! Nodes of two versions: a newer one says more than an older one knows.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use synod::{
    NodeId, Packet, TxId,
    commit::{Message, Outcome, Status as CommitStatus, Transaction, TxRange},
    perform::{
        Transport,
        tokio::{self as driver, Start},
    },
};
use synod_grpc::{
    CallError, Client, Fault, Identity, Peers, Reason, Security,
    prost::{
        Message as _,
        bytes::{Buf, BufMut},
    },
    tonic::{
        Code, Request, Response, Status, Streaming,
        client::Grpc,
        codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
        codegen::{
            async_trait,
            http::uri::PathAndQuery,
            tokio_stream::{self, Stream, wrappers::ReceiverStream},
        },
        transport::{Channel, Server as Tonic, server::TcpIncoming},
    },
    v1::{
        self,
        peer_client::PeerClient,
        peer_server::{Peer, PeerServer},
    },
};
use tokio::{net::TcpListener, sync::mpsc, time::sleep};

use super::{
    soon, until,
    world::{BRANCHES, CLUSTER, MANAGERS, World, options},
};

const TARGET: NodeId = MANAGERS[0];

/// The transport of a node of the next version: among all that it says are messages that version 1 does not know.
struct Newer {
    cluster: Vec<u8>,
    node: NodeId,
    ways: BTreeMap<NodeId, mpsc::UnboundedSender<Vec<u8>>>,
}

/// What newer nodes have lived through.
#[derive(Default)]
struct Log {
    /// Streams that a node has ended because of what it was told.
    refused: AtomicU64,
    /// Packets with news in them.
    sent: AtomicU64,
}

impl Newer {
    fn new(world: &World, node: NodeId, log: &Arc<Log>) -> Self {
        let others = MANAGERS.into_iter().chain(BRANCHES).filter(|other| *other != node);
        let way = |other| {
            let (packets, waiting) = mpsc::unbounded_channel();
            let channel = world.client(other, Identity::node(CLUSTER, node)).channel();
            tokio::spawn(talk(channel, waiting, Arc::clone(log)));
            (other, packets)
        };
        Self { cluster: CLUSTER.0.to_vec(), node, ways: others.map(way).collect() }
    }
}

impl Transport for Newer {
    fn send(&mut self, packet: Packet<Message>) {
        let Some(way) = self.ways.get(&packet.to) else { return };
        let route = v1::Route { cluster: self.cluster.clone(), from: self.node.0, to: packet.to.0 };
        let mut bytes = v1::Packet { route: Some(route), messages: Vec::new() }.encode_to_vec();
        for message in &packet.messages {
            bytes.extend(news());
            bytes.extend(v1::Packet { route: None, messages: vec![message.into()] }.encode_to_vec());
        }
        bytes.extend(news());
        let _ = way.send(bytes);
    }
}

/// Messages of three kinds that version 1 does not know, as part of a packet.
fn news() -> Vec<u8> {
    let field = |number: u32, content: &[u8]| {
        let mut bytes = Vec::new();
        synod_grpc::prost::encoding::encode_key(
            number,
            synod_grpc::prost::encoding::WireType::LengthDelimited,
            &mut bytes,
        );
        synod_grpc::prost::encoding::encode_varint(content.len() as u64, &mut bytes);
        bytes.extend(content);
        bytes
    };
    let transaction = v1::Transaction::from(&transaction(u64::MAX));
    // Another message; something else about a transaction; and an outcome that is neither of the two.
    let another = field(1_000, b"news");
    let about = [field(1, &transaction.encode_to_vec()), field(1_000, b"news")].concat();
    let outcome = Some(v1::about::What::Outcome(7));
    let outcome = v1::About { transaction: Some(transaction), what: outcome }.encode_to_vec();
    [another, field(1, &about), field(1, &outcome)].iter().flat_map(|message| field(2, message)).collect()
}

fn transaction(seq: u64) -> Transaction {
    Transaction::new(TxId { origin: NodeId(9), seq }, BRANCHES, []).unwrap()
}

/// Sends what waits, over one stream after another.
async fn talk(channel: Channel, mut waiting: mpsc::UnboundedReceiver<Vec<u8>>, log: Arc<Log>) {
    while !waiting.is_closed() || !waiting.is_empty() {
        let mut grpc = Grpc::new(channel.clone());
        let (packets, stream) = mpsc::channel(1);
        let path = PathAndQuery::from_static("/synod.v1.Peer/Exchange");
        let ended = async {
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let answers = grpc.streaming(Request::new(ReceiverStream::new(stream)), path, Raw).await?;
            let mut answers = answers.into_inner();
            let welcome = answers.message().await?;
            assert_eq!(welcome.unwrap().versions, Some(v1::Versions { oldest: 1, newest: 1 }));
            loop {
                tokio::select! {
                    answer = answers.message() => if answer?.is_none() { return Ok(()) },
                    packet = waiting.recv() => match packet {
                        Some(packet) => {
                            log.sent.fetch_add(1, Ordering::Relaxed);
                            let _ = packets.send(packet).await;
                        }
                        None => return Ok(()),
                    }
                }
            }
        };
        let ended: Result<(), Status> = ended.await;
        if ended.is_err_and(|status| status.code() == Code::InvalidArgument) {
            log.refused.fetch_add(1, Ordering::Relaxed);
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Packets as bytes.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = v1::Welcome;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&bytes);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = v1::Welcome;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<v1::Welcome>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        v1::Welcome::decode(bytes).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Has transactions made, one after the other, until `enough`. Returns how many.
async fn transfer(client: Client, first: u64, enough: Arc<AtomicBool>) -> u64 {
    let mut made = 0;
    while !enough.load(Ordering::Relaxed) {
        let transaction = transaction(first + made);
        loop {
            match client.begin_as(&transaction, []).await {
                Ok(()) | Err(CallError::Refused { reason: Reason::Over, .. }) => {}
                Err(_) => continue,
            }
            match client.outcome(transaction.id()).await {
                Ok(outcome) => assert_eq!(outcome, Outcome::Committed),
                Err(CallError::Forgotten(_)) => {}
                Err(_) => continue,
            }
            break;
        }
        made += 1;
    }
    made
}

/// Where the next version has a record of a kind that version 2 of the format does not have.
const NEW_KEY: &[u8] = b"\x40 of the next version";

/// Tries to start a node that is down, and must not come up. Returns why it does not.
async fn refusal(world: &World, node: NodeId) -> String {
    let (config, storage, ledger) = (world.config(node), world.storage(node), world.ledger(node).clone());
    let started = driver::spawn(config, Start::Restore, storage, Vec::new(), ledger, Default::default()).await;
    let (mut said, error) = (String::new(), started.map(drop).unwrap_err());
    let mut next: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = next {
        said += &format!("{error}: ");
        next = error.source();
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_upgraded_one_by_one_and_back_again_while_transactions_go_on() {
    let mut world = World::new().await;
    let nodes: Vec<NodeId> = MANAGERS.into_iter().chain(BRANCHES).collect();
    let (log, enough) = (Arc::new(Log::default()), Arc::new(AtomicBool::new(false)));
    let security = world.security(Identity::client(CLUSTER, NodeId(9)));
    let mut workers = Vec::new();
    for worker in 0..3 {
        let hasty = options().with_attempt(Duration::from_secs(2));
        let [first, others @ ..] = MANAGERS.map(|node| (node, world.address(node).to_string()));
        let client = Client::new(CLUSTER, first.0, &first.1, &security, &hasty).unwrap();
        let client = others.iter().fold(client, |client, (node, address)| client.with_node(*node, address).unwrap());
        workers.push((worker << 32, tokio::spawn(transfer(client, worker << 32, Arc::clone(&enough)))));
    }
    let mut skipped = 0;
    let more = |world: &World, than: usize| world.ledger(BRANCHES[0]).len() >= than + 20;
    for node in nodes.clone() {
        let done = world.ledger(BRANCHES[0]).len();
        until("transactions go on", || more(&world, done)).await;
        skipped += world.member(node).server.stats().faults(Fault::UnknownKind);
        assert_eq!(world.member(node).server.stats().faults(Fault::Malformed), 0);
        world.stop(node).await;
        let newer = Newer::new(&world, node, &log);
        world.restart_with(node, newer).await;
        if node == MANAGERS[1] || node == BRANCHES[1] {
            // As long as it has written nothing new, it may go back.
            let done = world.ledger(BRANCHES[0]).len();
            until("transactions go on", || more(&world, done)).await;
            world.stop(node).await;
            world.restart(node).await;
            until("it is told something new", || world.member(node).server.stats().faults(Fault::UnknownKind) > 0)
                .await;
            world.stop(node).await;
            let newer = Newer::new(&world, node, &log);
            world.restart_with(node, newer).await;
        }
    }
    for node in [MANAGERS[0], BRANCHES[1]] {
        world.stop(node).await;
        // The next version writes a record of a new kind, and from then on only the next version reads it.
        world.storage(node).persist_newer(NEW_KEY, Some(&[4, 9, 1])).unwrap();
        let said = refusal(&world, node).await;
        for part in ["newer version", "start the newer one again", "version 4 is not known here"] {
            assert!(said.contains(part), "{part:?} is missing: {said}");
        }
        // To this one it is the next version that starts.
        world.storage(node).persist_newer(NEW_KEY, None).unwrap();
        let newer = Newer::new(&world, node, &log);
        world.restart_with(node, newer).await;
    }
    let done = world.ledger(BRANCHES[0]).len();
    until("transactions go on", || more(&world, done)).await;
    enough.store(true, Ordering::Relaxed);
    assert!(skipped > 0, "older nodes were told nothing new");
    assert_eq!(log.refused.load(Ordering::Relaxed), 0);
    assert!(log.sent.load(Ordering::Relaxed) > 100);
    for (first, worker) in workers {
        for seq in first..first + soon("the last transactions", worker).await.unwrap() {
            for branch in BRANCHES {
                let tx = transaction(seq).id();
                until("it commits everywhere", || world.ledger(branch).read(tx) == Some(Outcome::Committed)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_a_packet_is_taken_and_what_is_not_is_counted() {
    let world = World::plaintext().await;
    let from = BRANCHES[0];
    let known = |seq| {
        let about = v1::Begin { meta: Vec::new() };
        let what = Some(v1::about::What::Begin(about));
        let transaction = Transaction::new(TxId { origin: from, seq }, BRANCHES, []).unwrap();
        let about = v1::About { transaction: Some((&transaction).into()), what };
        v1::Message { message: Some(v1::message::Message::About(Box::new(about))) }
    };
    let route = v1::Route { cluster: CLUSTER.0.to_vec(), from: from.0, to: TARGET.0 };
    let packet = |messages| v1::Packet { route: Some(route.clone()), messages };
    let unknown = v1::Packet::decode(&*news()).unwrap().messages;
    assert_eq!(unknown.len(), 3);
    let packets =
        [packet([vec![known(1)], unknown.clone(), vec![known(2)]].concat()), packet(unknown), packet(vec![known(3)])];
    let mut peer = PeerClient::new(world.client(TARGET, Identity::node(CLUSTER, from)).channel());
    let mut answers = peer.exchange(tokio_stream::iter(packets)).await.unwrap().into_inner();
    while soon("the end", answers.message()).await.unwrap().is_some() {}
    for seq in 1..=3 {
        let status = || world.handle(TARGET).status(TxId { origin: from, seq });
        while soon("the status", status()).await.unwrap() == CommitStatus::Unknown {}
    }
    let stats = world.member(TARGET).server.stats();
    assert_eq!((stats.faults(Fault::UnknownKind), stats.faults(Fault::Malformed)), (6, 0));
}

/// A node that says which versions it speaks, and takes whatever comes.
struct Speaker(Option<v1::Versions>);

#[async_trait]
impl Peer for Speaker {
    type ExchangeStream = Pin<Box<dyn Stream<Item = Result<v1::Welcome, Status>> + Send>>;

    async fn exchange(
        &self,
        request: Request<Streaming<v1::Packet>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let (welcomes, stream) = mpsc::channel(1);
        let welcome =
            v1::Welcome { cluster: CLUSTER.0.to_vec(), node: TARGET.0, versions: self.0, birth: 0, epoch: None };
        tokio::spawn(async move {
            let mut packets = request.into_inner();
            welcomes.send(Ok(welcome)).await.unwrap();
            while let Ok(Some(_)) = packets.message().await {}
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn retire(&self, _: Request<v1::RangeRequest>) -> Result<Response<v1::Delivered>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn note_retired(&self, _: Request<v1::RangeRequest>) -> Result<Response<v1::Delivered>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_sends_to_those_with_which_it_has_a_version_in_common_and_to_no_others() {
    let world = World::plaintext().await;
    let versions = |oldest, newest| Some(v1::Versions { oldest, newest });
    for (theirs, common) in
        [(None, true), (versions(1, 1), true), (versions(1, 7), true), (versions(2, 3), false), (versions(0, 0), false)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = Tonic::builder().add_service(PeerServer::new(Speaker(theirs)));
        let server = tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        let mut peers = Peers::new(&world.config(BRANCHES[0]), Security::Plaintext, options()).unwrap();
        peers.set(TARGET, &address).unwrap();
        let range = TxRange::only(TxId { origin: NodeId(9), seq: 1 });
        peers.send(Packet { to: TARGET, messages: vec![Message::retired(range)] });
        let stats = || peers.stats(TARGET).unwrap();
        if common {
            until("it is sent", || stats().messages == 1).await;
            assert_eq!(stats().version, 1);
        } else {
            until("it tries several times", || stats().failures >= 3).await;
            assert_eq!((stats().messages, stats().queued, stats().version), (0, 1, 0));
        }
        server.abort();
    }
}
