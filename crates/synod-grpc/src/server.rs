//! A node's door: its services on a listener.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use synod::{
    NodeId,
    commit::{ClusterId, Config, Message},
    perform::tokio::Handle,
};
use tokio::{
    join,
    net::TcpListener,
    select,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tonic::{
    server::NamedService,
    service::interceptor::InterceptedService,
    transport::{
        Server as Tonic,
        server::{Router, TcpIncoming},
    },
};

use crate::{
    Error, Identity, Options, Security, ServerStats, Tls,
    answers::Kept,
    health::Health,
    lasting::Lasting,
    listener::{Links, Listener},
    reflection,
    requests::Whole,
    serve::{Guard, Host, Inbox, Service, Stage, reached},
    stats::{self, ServerCounters},
    transactions::Desk,
    v1::{
        acceptor_server::AcceptorServer, manager_server::ManagerServer, peer_server::PeerServer,
        proposer_server::ProposerServer, resource_server::ResourceServer, transactions_server::TransactionsServer,
    },
};
use tonic_health::pb::health_server::HealthServer;

/// Bytes that may be under way on one connection, and on any one call over it, before they are read.
const WINDOW: u32 = 1 << 20;

/// Bytes of a call's headers.
const HEADERS: u32 = 1 << 14;

/// Connections that are through their handshake and wait for their turn.
const WAITING: usize = 16;

/// All services of one node: `Peer` and the roles for other nodes, `Transactions` for clients, and for tools reflection
/// and the health service of gRPC.
///
/// Dropped, it ends, with all its connections; [`shutdown`](Self::shutdown) is kinder.
pub struct Server {
    address: SocketAddr,
    stage: watch::Sender<Stage>,
    serving: JoinHandle<()>,
    counters: Arc<ServerCounters>,
    options: Options,
}

impl Server {
    /// Serves the node of `handle`, to other nodes and to clients, on `listener`.
    ///
    /// An error if the certificate is not this node's, if the process may open fewer files than the options need, and
    /// outside of a tokio runtime.
    pub fn start(listener: TcpListener, handle: Handle, security: Security, options: Options) -> Result<Self, Error> {
        Self::serve(listener, handle, None, security, options)
    }

    /// The same with the health service of gRPC. It says what `ready` says: whether the node can take part, as far as the
    /// program around it knows. Once the server closes it can not, whatever `ready` says.
    pub fn start_with_health(
        listener: TcpListener,
        handle: Handle,
        ready: watch::Receiver<bool>,
        security: Security,
        options: Options,
    ) -> Result<Self, Error> {
        Self::serve(listener, handle, Some(ready), security, options)
    }

    fn serve(
        listener: TcpListener,
        handle: Handle,
        ready: Option<watch::Receiver<bool>>,
        security: Security,
        options: Options,
    ) -> Result<Self, Error> {
        let (cluster, node, inbox, host) = (handle.cluster(), handle.node(), handle.clone(), handle.clone());
        let inbox = Arc::new(move |from, messages| inbox.deliver(from, messages));
        let teller = handle.clone();
        let host = Host {
            birth: handle.birth().unwrap_or(0),
            epoch: Arc::new(move || teller.tag()),
            // Who says no birth is not met.
            meet: Arc::new(move |from, birth, epoch| if birth == 0 { Ok(()) } else { host.meet(from, birth, epoch) }),
        };
        let asked = Asked { handle: Some(handle), ready };
        Self::open(listener, (cluster, node), host, inbox, asked, security, options)
    }

    /// Serves the node of `config` to other nodes alone, for an event loop of one's own: `inbox` gets each packet and who
    /// sent it. It must not wait; where there is no room, it drops the packet and says `false`.
    ///
    /// Errors are those of [`start`](Self::start).
    pub fn relay(
        listener: TcpListener,
        config: &Config,
        inbox: impl Fn(NodeId, Vec<Message>) -> bool + Send + Sync + 'static,
        security: Security,
        options: Options,
    ) -> Result<Self, Error> {
        let node = (config.cluster.id(), config.id);
        // An event loop of one's own hears packets, and nothing else.
        let host =
            Host { birth: config.birth.unwrap_or(0), epoch: Arc::new(|| None), meet: Arc::new(|_, _, _| Ok(())) };
        Self::open(listener, node, host, Arc::new(inbox), Asked::default(), security, options)
    }

    fn open(
        listener: TcpListener,
        (cluster, node): (ClusterId, NodeId),
        host: Host,
        inbox: Inbox,
        asked: Asked,
        security: Security,
        options: Options,
    ) -> Result<Self, Error> {
        let options = options.checked()?;
        options.check_files()?;
        security.check(Identity::node(cluster, node))?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let address = listener.local_addr()?;
        let counters = Arc::new(ServerCounters::new(cluster, node));
        let (stage, at) = watch::channel(Stage::Open);
        let (links, incoming) = mpsc::channel(WAITING);
        let papers = match &security {
            Security::Tls(tls) => Some(watch_papers(tls.clone(), stats::days_left(cluster, node), at.clone())),
            Security::Plaintext => None,
        };
        let listener = Listener {
            incoming: TcpIncoming::from(listener)
                .with_nodelay(Some(true))
                .with_keepalive(Some(options.keep_alive.saturating_add(options.keep_alive_timeout))),
            cluster,
            security,
            options,
            counters: Arc::clone(&counters),
            links,
            stage: at.clone(),
        };
        let service = Service {
            cluster,
            node,
            host,
            lives: Arc::default(),
            inbox,
            options,
            counters: Arc::clone(&counters),
            stage: at.clone(),
        };
        let serving = router(service, asked).serve_with_incoming_shutdown(Links(incoming), reached(at, Stage::Closing));
        let serving = runtime.spawn(async move {
            let papers = async {
                if let Some(papers) = papers {
                    papers.await;
                }
            };
            let ((), served, ()) = join!(listener.run(), serving, papers);
            if let Err(error) = served {
                tracing::error!(%error, "the server has ended");
            }
        });
        tracing::info!(%node, %address, "serving");
        Ok(Self { address, stage, serving, counters, options })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has taken and refused.
    pub fn stats(&self) -> ServerStats {
        self.counters.read()
    }

    /// Lets go of the listener, tells callers that wait for an outcome that it is closing, ends streams and connections, and
    /// waits for that as long as the options grant. Then it cuts what is left. (A packet that was under way is lost.)
    pub async fn shutdown(mut self) {
        self.stage.send_replace(Stage::Closing);
        if timeout(self.options.grace, &mut self.serving).await.is_err() {
            self.stage.send_replace(Stage::Cut);
            let _ = timeout(self.options.grace, &mut self.serving).await;
        }
    }
}

/// How often it is said for how long certificates are valid.
const BEAT: Duration = Duration::from_secs(60);

/// Says for how long the certificates are valid, until the server closes.
async fn watch_papers(tls: Tls, days_left: metrics::Gauge, stage: watch::Receiver<Stage>) {
    loop {
        let turn = tls.turn();
        days_left.set(tls.days_left());
        select! {
            () = sleep(BEAT) => {}
            () = tls.renewed(turn) => {}
            () = reached(stage.clone(), Stage::Closing) => return,
        }
    }
}

/// What others than nodes can ask.
#[derive(Default)]
struct Asked {
    handle: Option<Handle>,
    ready: Option<watch::Receiver<bool>>,
}

fn router(service: Service, Asked { handle, ready }: Asked) -> Router {
    let (options, counters, stage) = (service.options, Arc::clone(&service.counters), service.stage.clone());
    let desk = handle.map(|handle| Arc::new(Desk { handle, service: service.clone() }));
    let service = Arc::new(service);
    macro_rules! whole {
        ($service:expr) => {
            Whole { service: $service, options, counters: Arc::clone(&counters) }
        };
    }
    macro_rules! for_nodes {
        ($server:ty) => {
            InterceptedService::new(
                whole!(<$server>::from_arc(Arc::clone(&service)).max_decoding_message_size(options.message)),
                Guard { counters: Arc::clone(&counters), nodes_only: true },
            )
        };
    }
    macro_rules! for_all {
        ($service:expr) => {
            InterceptedService::new($service, Guard { counters: Arc::clone(&counters), nodes_only: false })
        };
    }
    let mut names = vec![
        PeerServer::<Service>::NAME,
        AcceptorServer::<Service>::NAME,
        ProposerServer::<Service>::NAME,
        ManagerServer::<Service>::NAME,
        ResourceServer::<Service>::NAME,
    ];
    names.extend(desk.is_some().then_some(TransactionsServer::<Desk>::NAME));
    let desk = desk.map(|desk| {
        let desk = TransactionsServer::from_arc(desk).max_decoding_message_size(options.message);
        for_all!(whole!(Kept(desk)))
    });
    let health = ready.map(|ready| Health { ready, services: names.clone(), stage: stage.clone() });
    names.extend(health.is_some().then_some(HealthServer::<Health>::NAME));
    let health = health.map(|health| {
        let service = HealthServer::new(health).max_decoding_message_size(options.message);
        for_all!(whole!(Lasting { service, stage: stage.clone() }))
    });
    let reflection = reflection::services(&names).inspect_err(|error| tracing::error!(%error, "no reflection"));
    let (reflection, reflection_before) = reflection.ok().unzip();
    Tonic::builder()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_concurrent_streams(options.calls)
        .http2_max_header_list_size(HEADERS)
        .http2_keepalive_interval(Some(options.keep_alive))
        .http2_keepalive_timeout(Some(options.keep_alive_timeout))
        .add_service(for_nodes!(PeerServer<Service>))
        .add_service(for_nodes!(AcceptorServer<Service>))
        .add_service(for_nodes!(ProposerServer<Service>))
        .add_service(for_nodes!(ManagerServer<Service>))
        .add_service(for_nodes!(ResourceServer<Service>))
        .add_optional_service(desk)
        .add_optional_service(health)
        .add_optional_service(reflection.map(|service| for_all!(Lasting { service, stage: stage.clone() })))
        .add_optional_service(reflection_before.map(|service| for_all!(Lasting { service, stage: stage.clone() })))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Mutex,
            atomic::{AtomicU64, Ordering},
        },
        time::Duration,
    };

    use synod::{
        Packet, Quorums, Refusal, TxId,
        commit::{Cluster, EpochTag, TxRange},
        perform::Transport,
    };

    use tonic::{Code, Request, transport::Endpoint};

    use super::*;
    use crate::{
        Fault, Peers,
        serve::{BIRTH, Meet},
        v1::{self, peer_client::PeerClient},
    };

    /// What a node hears.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Heard {
        Met(NodeId, u64),
        Said(NodeId, usize),
    }

    async fn until(mut holds: impl FnMut() -> bool) {
        let came = async {
            while !holds() {
                sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), came).await.expect("it never came");
    }

    #[tokio::test]
    async fn a_node_meets_another_before_its_first_message_and_hears_nothing_of_one_that_was_born_again() {
        let (manager, other) = (NodeId(1), NodeId(4));
        let cluster = Cluster::new(ClusterId([7; 16]), Quorums::majority([manager]).unwrap(), [manager]).unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (met, said) = (Arc::clone(&log), Arc::clone(&log));
        let meet: Meet = Arc::new(move |node, birth, _| {
            met.lock().unwrap().push(Heard::Met(node, birth));
            match birth {
                77 => Ok(()),
                79 => Err(Refusal::Departed),
                _ => Err(Refusal::OtherBirth),
            }
        });
        let host = Host { birth: 55, epoch: Arc::new(|| None), meet };
        let inbox = Arc::new(move |node, messages: Vec<Message>| {
            said.lock().unwrap().push(Heard::Said(node, messages.len()));
            true
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (options, node) = (Options::default(), (cluster.id(), manager));
        let server = Server::open(listener, node, host, inbox, Asked::default(), Security::Plaintext, options).unwrap();

        let peers = |birth| {
            let options = options.with_backoff(Duration::from_millis(5));
            let peers = Peers::new(&Config::new(cluster.clone(), other, 1), Security::Plaintext, options).unwrap();
            peers.set_birth(birth);
            peers.set(manager, &server.address().to_string()).unwrap();
            peers
        };
        let mut first = peers(77);
        // It says who it is without having anything to say.
        until(|| log.lock().unwrap().len() == 1).await;
        let range = TxRange::only(TxId { origin: other, seq: 1 });
        first.send(Packet { to: manager, messages: vec![Message::retired(range); 2] });
        until(|| log.lock().unwrap().len() == 2).await;
        assert_eq!(first.stats(manager).unwrap().birth, 55);
        assert_eq!(*log.lock().unwrap(), [Heard::Met(other, 77), Heard::Said(other, 2)]);

        let mut again = peers(78);
        again.send(Packet { to: manager, messages: vec![Message::retired(range)] });
        until(|| server.stats().faults(Fault::OtherBirth) > 1).await;
        let channel = Endpoint::from_shared(format!("http://{}", server.address())).unwrap().connect_lazy();
        let mut stub = PeerClient::new(channel);
        for (birth, why) in [(78, "another birth"), (78, "another birth"), (79, "written off")] {
            let route = v1::Route { cluster: cluster.id().0.to_vec(), from: other.0, to: manager.0 };
            let range = Some(v1::TxRange { origin: other.0, first: 1, last: 1 });
            let mut request = Request::new(v1::RangeRequest { route: Some(route), range });
            request.metadata_mut().insert(BIRTH, birth.into());
            let refused = stub.retire(request).await.unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition);
            assert!(refused.message().contains(why), "{refused}");
        }
        assert_eq!(server.stats().faults(Fault::Departed), 1);
        assert!(!log.lock().unwrap().contains(&Heard::Said(other, 1)));

        // A birth that is learned late is said over a new connection.
        again.set_birth(77);
        again.send(Packet { to: manager, messages: vec![Message::retired(range)] });
        until(|| log.lock().unwrap().last() == Some(&Heard::Said(other, 1))).await;
    }

    #[tokio::test]
    async fn a_node_that_is_written_off_while_it_is_connected_is_met_again_and_refused_at_its_next_packet() {
        let (manager, other) = (NodeId(1), NodeId(4));
        let cluster = Cluster::new(ClusterId([7; 16]), Quorums::majority([manager]).unwrap(), [manager]).unwrap();
        let (own, met, heard) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())), Arc::default());
        let digest = cluster.membership().digest();
        let tag = move |number| Some(EpochTag { number, digest });
        let (epoch, log) = (Arc::clone(&own), Arc::clone(&met));
        let meet: Meet = Arc::new(move |_, _, epoch| {
            log.lock().unwrap().push(epoch);
            if log.lock().unwrap().len() < 3 { Ok(()) } else { Err(Refusal::Departed) }
        });
        let host = Host { birth: 55, epoch: Arc::new(move || tag(epoch.load(Ordering::SeqCst))), meet };
        let said: Arc<AtomicU64> = Arc::clone(&heard);
        let inbox = Arc::new(move |_, messages: Vec<Message>| {
            said.fetch_add(messages.len() as u64, Ordering::SeqCst);
            true
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (options, node) = (Options::default(), (cluster.id(), manager));
        let server = Server::open(listener, node, host, inbox, Asked::default(), Security::Plaintext, options).unwrap();
        let mut peers = Peers::new(&Config::new(cluster.clone(), other, 1), Security::Plaintext, options).unwrap();
        peers.set_birth(77);
        peers.enter(0, &cluster.membership());
        peers.set(manager, &server.address().to_string()).unwrap();
        let range = TxRange::only(TxId { origin: other, seq: 1 });
        let mut send = || peers.send(Packet { to: manager, messages: vec![Message::retired(range)] });

        for packets in 1..=2 {
            send();
            until(|| heard.load(Ordering::SeqCst) == packets).await;
        }
        assert_eq!(met.lock().unwrap().len(), 1, "once for a connection");
        own.store(1, Ordering::SeqCst);
        send();
        until(|| heard.load(Ordering::SeqCst) == 3).await;
        assert_eq!(*met.lock().unwrap(), [tag(0), None], "what it has said of its epoch is old");
        own.store(2, Ordering::SeqCst);
        send();
        until(|| server.stats().faults(Fault::Departed) > 0).await;
        assert_eq!(heard.load(Ordering::SeqCst), 3);
    }

    /// The warnings of a test, as text.
    #[derive(Clone, Default)]
    struct Diary(Arc<Mutex<String>>);

    impl tracing::field::Visit for Diary {
        fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
            *self.0.lock().unwrap() += &format!("{field}={value:?}\n");
        }
    }

    impl tracing::Subscriber for Diary {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            *metadata.level() <= tracing::Level::WARN
        }

        fn event(&self, event: &tracing::Event<'_>) {
            event.record(&mut self.clone());
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
            tracing::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}
        fn enter(&self, _: &tracing::Id) {}
        fn exit(&self, _: &tracing::Id) {}
    }

    #[tokio::test]
    async fn who_is_refused_says_why_once_though_an_attempt_before_ended_for_another_reason() {
        let (manager, other) = (NodeId(1), NodeId(4));
        let cluster = Cluster::new(ClusterId([7; 16]), Quorums::majority([manager]).unwrap(), [manager]).unwrap();
        let meet: Meet = Arc::new(|_, birth, _| if birth == 0 { Ok(()) } else { Err(Refusal::Departed) });
        let host = Host { birth: 55, epoch: Arc::new(|| None), meet };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // What holds for longer than the ceiling is over, and the next time is another.
        let (first, most) = (Duration::from_millis(5), Duration::from_secs(600));
        let options = Options::default().with_backoff(first).with_backoff_ceiling(most);
        let (node, inbox) = ((cluster.id(), manager), Arc::new(|_, _| true));
        let server = Server::open(listener, node, host, inbox, Asked::default(), Security::Plaintext, options).unwrap();

        let diary = Diary::default();
        let _subscriber = tracing::subscriber::set_default(diary.clone());
        // With a single subscriber, the first thread that reaches an event decides whether it is recorded, and that thread may
        // run another test, without a subscriber.
        let _another = tracing::Dispatch::new(Diary::default());
        let peers = Peers::new(&Config::new(cluster.clone(), other, 1), Security::Plaintext, options).unwrap();
        peers.set(manager, &server.address().to_string()).unwrap();
        until(|| peers.stats(manager).unwrap().connected).await;
        // It comes late, and ends that connection.
        peers.set_birth(77);
        until(|| server.stats().faults(Fault::Departed) > 2).await;
        let said =
            diary.0.lock().unwrap().matches(&format!("{other} was written off for good: end its process")).count();
        assert_eq!(said, 1, "{}", diary.0.lock().unwrap());
    }

    #[tokio::test]
    async fn of_two_processes_of_one_node_the_older_is_refused_and_of_one_that_is_restarted_none() {
        let (manager, other) = (NodeId(1), NodeId(4));
        let cluster = Cluster::new(ClusterId([7; 16]), Quorums::majority([manager]).unwrap(), [manager]).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let inbox = Arc::clone(&heard);
        let inbox = move |_, messages: Vec<Message>| {
            inbox.lock().unwrap().push(messages.len());
            true
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = Options::default().with_backoff(Duration::from_millis(5));
        let config = |id| Config::new(cluster.clone(), id, 1);
        let server = Server::relay(listener, &config(manager), inbox, Security::Plaintext, options).unwrap();
        let process = || {
            let peers = Peers::new(&config(other), Security::Plaintext, options).unwrap();
            peers.set(manager, &server.address().to_string()).unwrap();
            peers
        };
        let is_connected = |peers: &Peers| peers.stats(manager).unwrap().connected;
        let runs_twice = || server.stats().faults(Fault::RunsTwice);

        let first = process();
        until(|| is_connected(&first)).await;
        first.shutdown().await;
        let second = process();
        until(|| is_connected(&second)).await;
        assert_eq!(runs_twice(), 0);

        let mut third = process();
        until(|| runs_twice() > 1).await;
        until(|| is_connected(&third)).await;
        let range = TxRange::only(TxId { origin: other, seq: 1 });
        third.send(Packet { to: manager, messages: vec![Message::retired(range); 3] });
        until(|| *heard.lock().unwrap() == [3]).await;
        assert!(!is_connected(&second));
    }
}
