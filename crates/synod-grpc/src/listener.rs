//! Connections that come in: how many, and whose.
//!
//! A connection is nobody's until its handshake is over, and counts from its first byte. Who is at the other end is
//! settled then, once, for all that comes over it. One over which nothing is asked for is not kept.

use std::{
    convert::Infallible,
    future::{Future, pending},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use synod::{NodeId, commit::ClusterId};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    select,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::{
    codegen::tokio_stream::{Stream, StreamExt},
    transport::server::{Connected, TcpIncoming},
};

use crate::{
    Fault, Identity, Options, Role, Security,
    places::{Line, Place, Places, Side},
    serve::{Stage, reached},
    stats::ServerCounters,
};

/// How long to rest after the system would accept nothing, for want of files perhaps.
const REST: Duration = Duration::from_millis(100);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Caller {
    /// This node.
    Node(NodeId),
    /// This client, who is no node.
    Client(NodeId),
    /// Someone whose certificate is nobody's, or of another cluster.
    Stranger,
    /// Anyone, under any name: the connection is not protected.
    Anyone,
}

/// A connection whose other end is known.
pub(crate) struct Link {
    io: Io,
    caller: Caller,
    /// Done when the connection must end, whatever is under way.
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_cut: bool,
    /// The last to go: the place is free when the connection is closed.
    place: Place,
}

/// Over which connection a call comes, and from whom.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) caller: Caller,
    pub(crate) line: Arc<Line>,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Accepts connections for as long as it runs, and hands those on that pass their handshake.
pub(crate) struct Listener {
    pub(crate) incoming: TcpIncoming,
    pub(crate) cluster: ClusterId,
    pub(crate) security: Security,
    pub(crate) options: Options,
    pub(crate) counters: Arc<ServerCounters>,
    pub(crate) links: mpsc::Sender<Link>,
    pub(crate) stage: watch::Receiver<Stage>,
}

impl Listener {
    /// Until the server closes.
    pub(crate) async fn run(mut self) {
        let places = Places::new(self.options, Arc::clone(&self.counters));
        let mut handshakes = JoinSet::new();
        let mut closing = pin!(reached(self.stage.clone(), Stage::Closing));
        loop {
            let accepted = select! {
                accepted = self.incoming.next() => accepted,
                Some(_) = handshakes.join_next() => continue,
                () = &mut closing => return,
            };
            match accepted {
                None => return,
                Some(Err(error)) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    sleep(REST).await;
                }
                Some(Ok(stream)) => {
                    let place = select! {
                        place = places.newcomer() => place,
                        () = &mut closing => return,
                    };
                    handshakes.spawn(self.greet(stream, place));
                }
            }
        }
    }

    /// The handshake.
    fn greet(&self, stream: TcpStream, place: Place) -> impl Future<Output = ()> + Send + use<> {
        let (security, cluster) = (self.security.clone(), self.cluster);
        let (counters, links, stage) = (Arc::clone(&self.counters), self.links.clone(), self.stage.clone());
        let deadline = Instant::now() + self.options.connect;
        async move {
            let address = stream.peer_addr().ok();
            let (io, caller) = match security {
                Security::Plaintext => (Io::Plain(stream), Caller::Anyone),
                Security::Tls(tls) => {
                    let shaken = select! {
                        shaken = timeout_at(deadline, TlsAcceptor::from(tls.server()).accept(stream)) => shaken,
                        () = place.0.over() => return,
                    };
                    match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                        Ok(stream) => {
                            let caller = caller(&stream, cluster);
                            (Io::Tls(Box::new(stream)), caller)
                        }
                        Err(error) => {
                            counters.fault(Fault::Handshake);
                            tracing::warn!(?address, %error, "a handshake failed");
                            return;
                        }
                    }
                }
            };
            let has_place = match caller {
                Caller::Node(_) => place.0.settle(caller, Side::Node),
                Caller::Client(_) => place.0.settle(caller, Side::Client),
                // Of these it is not known before the first call, if at all.
                Caller::Anyone | Caller::Stranger => true,
            };
            if !has_place {
                tracing::warn!(?address, ?caller, "no room for another connection");
                return;
            }
            let line = Arc::clone(&place.0);
            let cut = async move {
                select! {
                    () = reached(stage, Stage::Cut) => {}
                    () = line.over() => {}
                    () = overdue(&line, deadline) => {
                        counters.fault(Fault::Idle);
                        tracing::warn!(?address, ?caller, "nothing was asked for over a connection");
                    }
                }
            };
            // If nobody takes it, the server has stopped.
            let _ = links.send(Link { io, caller, cut: Box::pin(cut), is_cut: false, place }).await;
        }
    }
}

/// Done if at `deadline` no call has come over `line`.
async fn overdue(line: &Line, deadline: Instant) {
    sleep_until(deadline).await;
    if line.has_called() {
        pending::<()>().await;
    }
}

/// Whom the other end's certificate names, in `cluster`.
fn caller(stream: &TlsStream<TcpStream>, cluster: ClusterId) -> Caller {
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    match certificate.map(|own| Identity::of_certificate(own)) {
        Some(Ok(identity)) if identity.cluster == cluster => match identity.role {
            Role::Node(node) => Caller::Node(node),
            Role::Client(client) => Caller::Client(client),
        },
        other => {
            tracing::warn!(identity = ?other, "a certificate of nobody in this cluster");
            Caller::Stranger
        }
    }
}

/// Connections for tonic to serve.
pub(crate) struct Links(pub(crate) mpsc::Receiver<Link>);

impl Stream for Links {
    type Item = Result<Link, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|link| link.map(Ok))
    }
}

impl Connected for Link {
    type ConnectInfo = Origin;

    fn connect_info(&self) -> Origin {
        Origin { caller: self.caller, line: Arc::clone(&self.place.0) }
    }
}

impl Link {
    /// An error when it must end. A task that writes to a side that reads nothing may never read again, so both ask.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.is_cut = self.is_cut || self.cut.as_mut().poll(context).is_ready();
        if self.is_cut { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Io::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(context),
            Io::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
