//! What a server does with what it is sent: checks who sent it, and delivers it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use synod::{
    NodeId,
    commit::{ClusterId, Message},
};
use tokio::sync::watch;
use tonic::{
    Code, Request, Response, Status, Streaming,
    codegen::{async_trait, tokio_stream::Stream},
    service::Interceptor,
};

use crate::{
    Fault, Options,
    listener::{Caller, Origin},
    places::Side,
    stats::ServerCounters,
    v1::{self, Delivered},
    wire::{self, Needed, WireError},
};

/// How far a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It takes calls.
    Open,
    /// It ends what it has taken.
    Closing,
    /// All connections are cut.
    Cut,
}

/// Where a packet of another node goes. False if there is no room for it; nobody waits.
pub(crate) type Inbox = Arc<dyn Fn(NodeId, Vec<Message>) -> bool + Send + Sync>;

/// A node as other nodes see it.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) inbox: Inbox,
    pub(crate) options: Options,
    pub(crate) counters: Arc<ServerCounters>,
    pub(crate) stage: watch::Receiver<Stage>,
}

/// Lets only those through whom a service is for, before anything of what they say is read.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) counters: Arc<ServerCounters>,
    pub(crate) nodes_only: bool,
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        match caller(&request) {
            Caller::Node(_) | Caller::Anyone => {}
            Caller::Client(_) if !self.nodes_only => {}
            Caller::Client(_) => {
                self.counters.fault(Fault::NotANode);
                return Err(Status::permission_denied("this is for nodes alone, and the certificate is a client's"));
            }
            Caller::Stranger => {
                self.counters.fault(Fault::Stranger);
                return Err(Status::permission_denied("the certificate is for nobody in this cluster"));
            }
        }
        if let Some(Origin { caller, line }) = request.extensions().get() {
            // Without TLS, the first call says what somebody is.
            let side = if self.nodes_only { Side::Node } else { Side::Client };
            if !line.settle(*caller, side) {
                return Err(Status::resource_exhausted("the server has no room for another connection"));
            }
            line.called();
        }
        Ok(request)
    }
}

/// Who is calling.
pub(crate) fn caller<T>(request: &Request<T>) -> Caller {
    // Every connection says, so a stranger is just the safe side.
    request.extensions().get().map_or(Caller::Stranger, |origin: &Origin| origin.caller)
}

/// Done when the server is at `stage`, or beyond it, or gone.
pub(crate) async fn reached(mut at: watch::Receiver<Stage>, stage: Stage) {
    // An error says that it is gone.
    let _ = at.wait_for(|now| *now >= stage).await;
}

impl Service {
    /// Delivers the message of one call.
    pub(crate) fn take(
        &self,
        caller: Caller,
        route: Option<v1::Route>,
        message: Result<Message, WireError>,
    ) -> Result<Response<Delivered>, Status> {
        let from = self.check(caller, route)?;
        let message = message.map_err(|error| self.malformed(error))?;
        if self.deliver(from, Vec::from([message])) {
            Ok(Response::new(Delivered {}))
        } else {
            Err(Status::resource_exhausted("the node has no room for the message"))
        }
    }

    /// Delivers what is known of a packet, or nothing of one that should never have been sent, which is an error.
    ///
    /// A newer node says what is not known here, and it goes on saying it: to refuse that is to hear nothing of it any more.
    fn take_packet(&self, caller: Caller, packet: v1::Packet) -> Result<(), Status> {
        let from = self.check(caller, packet.route)?;
        let mut messages = Vec::new();
        for message in packet.messages {
            match Message::try_from(message) {
                Ok(message) => messages.push(message),
                Err(error) if error.is_news() => {
                    self.counters.fault(Fault::UnknownKind);
                    tracing::debug!(%from, %error, "skipped a message");
                }
                Err(error) => return Err(self.malformed(error)),
            }
        }
        if messages.is_empty() {
            self.counters.packets.add(1);
        } else {
            self.deliver(from, messages);
        }
        Ok(())
    }

    /// Who really sends what has this route.
    fn check(&self, caller: Caller, route: Option<v1::Route>) -> Result<NodeId, Status> {
        let route = route.needed("the route").map_err(|error| self.malformed(error))?;
        let cluster = wire::cluster(&route.cluster).map_err(|error| self.malformed(error))?;
        let from = NodeId(route.from);
        match caller {
            Caller::Anyone => {}
            Caller::Node(node) if node == from => {}
            _ => {
                self.counters.fault(Fault::Forged);
                tracing::warn!(?caller, %from, "a message in the name of another");
                return Err(Status::permission_denied(format!("the certificate is not that of {from}")));
            }
        }
        if cluster == self.cluster && NodeId(route.to) == self.node {
            Ok(from)
        } else {
            self.counters.fault(Fault::Misrouted);
            Err(Status::failed_precondition(format!("this is {}, or another cluster", self.node)))
        }
    }

    fn deliver(&self, from: NodeId, messages: Vec<Message>) -> bool {
        let count = messages.len() as u64;
        let taken = (self.inbox)(from, messages);
        self.counters.packets.add(1);
        if taken {
            self.counters.messages.add(count);
        } else {
            self.counters.fault(Fault::InboxFull);
        }
        taken
    }

    pub(crate) fn malformed(&self, error: WireError) -> Status {
        self.counters.fault(Fault::Malformed);
        Status::invalid_argument(format!("{error}"))
    }
}

#[async_trait]
impl v1::peer_server::Peer for Service {
    type ExchangeStream = Exchange;

    async fn exchange(&self, request: Request<Streaming<v1::Packet>>) -> Result<Response<Exchange>, Status> {
        let caller = caller(&request);
        Ok(Response::new(Exchange {
            welcome: Some(v1::Welcome {
                cluster: self.cluster.0.to_vec(),
                node: self.node.0,
                versions: Some(wire::VERSIONS),
            }),
            packets: Some(request.into_inner()),
            closing: Box::pin(reached(self.stage.clone(), Stage::Closing)),
            service: self.clone(),
            caller,
        }))
    }

    async fn retire(&self, request: Request<v1::RangeRequest>) -> Result<Response<Delivered>, Status> {
        let (caller, request) = (caller(&request), request.into_inner());
        self.take(caller, request.route, wire::range(request.range).map(Message::retired))
    }

    async fn note_retired(&self, request: Request<v1::RangeRequest>) -> Result<Response<Delivered>, Status> {
        let (caller, request) = (caller(&request), request.into_inner());
        self.take(caller, request.route, wire::range(request.range).map(|range| Message::RetiredNoted { range }))
    }
}

/// One node's stream of packets, delivered as the answers to it are asked for: first who this is, and then nothing until
/// the end.
pub(crate) struct Exchange {
    service: Service,
    caller: Caller,
    welcome: Option<v1::Welcome>,
    /// None when the stream has ended.
    packets: Option<Streaming<v1::Packet>>,
    closing: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// How many packets are taken before others get their turn.
const TURN: usize = 32;

impl Stream for Exchange {
    type Item = Result<v1::Welcome, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(welcome) = self.welcome.take() {
            return Poll::Ready(Some(Ok(welcome)));
        }
        if self.closing.as_mut().poll(context).is_ready() {
            self.packets = None;
        }
        for _ in 0..TURN {
            let Some(packets) = &mut self.packets else { return Poll::Ready(None) };
            let result = match Pin::new(packets).poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Ok(packet))) => self.service.take_packet(self.caller, packet),
                Poll::Ready(Some(Err(status))) => {
                    match status.code() {
                        Code::OutOfRange | Code::ResourceExhausted => self.service.counters.fault(Fault::TooLarge),
                        Code::Internal => self.service.counters.fault(Fault::Malformed),
                        _ => {}
                    }
                    Err(status)
                }
            };
            if let Err(status) = result {
                self.packets = None;
                return Poll::Ready(Some(Err(status)));
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
