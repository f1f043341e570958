//! A node's door: its services on a listener.

use alloc::sync::Arc;
use std::net::SocketAddr;

use ::tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tonic::{
    service::interceptor::InterceptedService,
    transport::{
        Server as Tonic,
        server::{Router, TcpIncoming},
    },
};

use super::{
    Error, Identity, Options, Security, ServerStats,
    listener::{Links, Listener},
    serve::{Guard, Service, Stage, reached},
    stats::ServerCounters,
    v1,
};
use crate::perform::tokio::Handle;

/// Bytes that may be under way on one call, and on one connection, before they are taken.
const CALL_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 22;

/// Bytes of a call's headers.
const HEADERS: u32 = 1 << 14;

/// Connections that are through their handshake and wait for their turn.
const WAITING: usize = 16;

/// All services of one node: `Peer` and the roles for other nodes, `Transactions` for clients.
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
    /// Serves the node of `handle` on `listener`.
    ///
    /// An error if the certificate is not this node's, and outside of a tokio runtime.
    pub fn start(listener: TcpListener, handle: Handle, security: Security, options: Options) -> Result<Self, Error> {
        options.check()?;
        let (cluster, node) = (handle.cluster(), handle.node());
        security.check(Identity::node(cluster, node))?;
        let runtime = ::tokio::runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let address = listener.local_addr()?;
        let counters = Arc::new(ServerCounters::new(cluster, node));
        let (stage, at) = watch::channel(Stage::Open);
        let (links, incoming) = mpsc::channel(WAITING);
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
        runtime.spawn(listener.run());
        let service = Service { handle, options, counters: Arc::clone(&counters), stage: at.clone() };
        let serving = runtime.spawn(async move {
            let closing = reached(at, Stage::Closing);
            if let Err(error) = router(&service).serve_with_incoming_shutdown(Links(incoming), closing).await {
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

    /// Takes no more connections and calls, tells whoever waits for an outcome that it is closing, ends streams once what
    /// has come is delivered, and waits for that as long as the options grant. Then it cuts what is left.
    pub async fn shutdown(mut self) {
        self.stage.send_replace(Stage::Closing);
        if timeout(self.options.grace, &mut self.serving).await.is_err() {
            self.stage.send_replace(Stage::Cut);
            let _ = timeout(self.options.grace, &mut self.serving).await;
        }
    }
}

fn router(service: &Service) -> Router {
    let (shared, options) = (Arc::new(service.clone()), service.options);
    let guard = |nodes_only| Guard { counters: Arc::clone(&service.counters), nodes_only };
    macro_rules! guarded {
        ($server:path, $nodes_only:literal) => {
            InterceptedService::new(
                <$server>::from_arc(Arc::clone(&shared)).max_decoding_message_size(options.message),
                guard($nodes_only),
            )
        };
    }
    Tonic::builder()
        .initial_stream_window_size(CALL_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(options.calls)
        .http2_max_header_list_size(HEADERS)
        .http2_keepalive_interval(Some(options.keep_alive))
        .http2_keepalive_timeout(Some(options.keep_alive_timeout))
        .add_service(guarded!(v1::peer_server::PeerServer<Service>, true))
        .add_service(guarded!(v1::acceptor_server::AcceptorServer<Service>, true))
        .add_service(guarded!(v1::proposer_server::ProposerServer<Service>, true))
        .add_service(guarded!(v1::manager_server::ManagerServer<Service>, true))
        .add_service(guarded!(v1::resource_server::ResourceServer<Service>, true))
        .add_service(guarded!(v1::transactions_server::TransactionsServer<Service>, false))
}
