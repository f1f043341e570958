//! What a server does with what it is sent: checks who sent it, and delivers it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use synod::{
    NodeId, Refusal,
    commit::{ClusterId, EpochTag, Message},
};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::{
    Code, Request, Response, Status, Streaming,
    codegen::{async_trait, tokio_stream::Stream},
    metadata::AsciiMetadataValue,
    service::Interceptor,
};

use crate::{
    Fault, Options,
    listener::{Caller, Origin},
    lives::Lives,
    places::{Greeting, Line, Side},
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

/// Has the node meet another one, which says its birth, and its epoch; a birth of 0 does not tell. Or why it is refused.
pub(crate) type Meet = Arc<dyn Fn(NodeId, u64, Option<EpochTag>) -> Result<(), Refusal> + Send + Sync>;

/// What a node says of itself, and how it meets others.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) birth: u64,
    /// The epoch that it is in at present.
    pub(crate) epoch: Arc<dyn Fn() -> Option<EpochTag> + Send + Sync>,
    pub(crate) meet: Meet,
}

/// The metadata by which a node that calls says its birth.
pub(crate) const BIRTH: &str = "synod-birth";

/// The metadata by which it says which life of its process this is.
pub(crate) const LIFE: &str = "synod-life";

/// The metadata by which it says the epoch that it is in.
pub(crate) const EPOCH_TAG: &str = "synod-epoch-tag";

/// An epoch as metadata.
pub(crate) fn say_epoch(EpochTag { number, digest }: EpochTag) -> Option<AsciiMetadataValue> {
    AsciiMetadataValue::try_from(format!("{number}-{digest}")).ok()
}

fn read_epoch(said: &AsciiMetadataValue) -> Option<EpochTag> {
    let (number, digest) = said.to_str().ok()?.split_once('-')?;
    Some(EpochTag { number: number.parse().ok()?, digest: digest.parse().ok()? })
}

/// A node as other nodes see it.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) host: Host,
    pub(crate) lives: Arc<Lives>,
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
        match who(&request).caller {
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

/// Who is calling: as the connection proves it, and as the caller says.
pub(crate) struct Who {
    pub(crate) caller: Caller,
    birth: u64,
    life: u64,
    epoch: Option<EpochTag>,
    pub(crate) line: Option<Arc<Line>>,
}

pub(crate) fn who<T>(request: &Request<T>) -> Who {
    let origin: Option<&Origin> = request.extensions().get();
    let number = |of| request.metadata().get(of).and_then(|number| number.to_str().ok()?.parse().ok()).unwrap_or(0);
    Who {
        // Every connection says, so a stranger is just the safe side.
        caller: origin.map_or(Caller::Stranger, |origin| origin.caller),
        birth: number(BIRTH),
        life: number(LIFE),
        epoch: request.metadata().get(EPOCH_TAG).and_then(read_epoch),
        line: origin.map(|origin| Arc::clone(&origin.line)),
    }
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
        who: &Who,
        route: Option<v1::Route>,
        message: Result<Message, WireError>,
    ) -> Result<Response<Delivered>, Status> {
        let from = self.check(who, route)?;
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
    fn take_packet(&self, who: &Who, packet: v1::Packet) -> Result<(), Status> {
        let from = self.check(who, packet.route)?;
        if packet.messages.is_empty() {
            // A greeting, and nothing more.
            return Ok(());
        }
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
    ///
    /// The node has met that one before anything is taken of what it says.
    fn check(&self, who: &Who, route: Option<v1::Route>) -> Result<NodeId, Status> {
        let route = route.needed("the route").map_err(|error| self.malformed(error))?;
        let cluster = wire::cluster(&route.cluster).map_err(|error| self.malformed(error))?;
        let from = NodeId(route.from);
        match who.caller {
            Caller::Anyone => {}
            Caller::Node(node) if node == from => {}
            _ => {
                self.counters.fault(Fault::Forged);
                tracing::warn!(caller = ?who.caller, %from, "a message in the name of another");
                return Err(Status::permission_denied(format!("the certificate is not that of {from}")));
            }
        }
        if cluster != self.cluster || NodeId(route.to) != self.node {
            self.counters.fault(Fault::Misrouted);
            return Err(Status::failed_precondition(format!("this is {}, or another cluster", self.node)));
        }
        let greeting = Greeting { node: from, birth: who.birth, life: who.life, epoch: who.epoch };
        let Some(line) = &who.line else { return self.meet(greeting).map(|()| from) };
        line.meet(greeting, (self.host.epoch)(), |greeting| {
            self.meet(greeting)?;
            if self.lives.may_speak(from, who.life, line) {
                return Ok(());
            }
            self.counters.fault(Fault::RunsTwice);
            tracing::error!(%from, "a node runs twice");
            Err(Status::failed_precondition(format!("{from} has been met in another process since: it runs twice")))
        })?;
        Ok(from)
    }

    /// Has the node meet another one.
    fn meet(&self, Greeting { node: from, birth, epoch, .. }: Greeting) -> Result<(), Status> {
        match (self.host.meet)(from, birth, epoch) {
            Ok(()) => Ok(()),
            Err(Refusal::OtherMembership) => {
                self.counters.fault(Fault::OtherMembership);
                let number = epoch.map(|epoch| epoch.number);
                tracing::error!(%from, number, "a node in the same epoch has other members");
                Err(Status::failed_precondition(format!(
                    "{from} is in the same epoch as {}, of other members",
                    self.node
                )))
            }
            Err(Refusal::Departed) => {
                self.counters.fault(Fault::Departed);
                tracing::error!(%from, "a node that was written off is there");
                Err(Status::failed_precondition(format!(
                    "{from} was written off for good: end its process; its machine may come back under a new id, with an empty storage"
                )))
            }
            Err(_) => {
                self.counters.fault(Fault::OtherBirth);
                tracing::error!(%from, "a node has lost its storage, or runs twice");
                Err(Status::failed_precondition(format!("{from} is known here under another birth")))
            }
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
        let who = who(&request);
        let stream = who.line.as_ref().map(|line| Arc::clone(&line.streams).try_acquire_owned()).transpose();
        let stream =
            stream.map_err(|_| Status::resource_exhausted("there are several streams over this connection"))?;
        Ok(Response::new(Exchange {
            welcome: Some(v1::Welcome {
                cluster: self.cluster.0.to_vec(),
                node: self.node.0,
                versions: Some(wire::VERSIONS),
                birth: self.host.birth,
                epoch: (self.host.epoch)().map(v1::EpochTag::from),
            }),
            packets: Some(request.into_inner()),
            closing: Box::pin(reached(self.stage.clone(), Stage::Closing)),
            service: self.clone(),
            who,
            _stream: stream,
        }))
    }

    async fn retire(&self, request: Request<v1::RangeRequest>) -> Result<Response<Delivered>, Status> {
        let (who, request) = (who(&request), request.into_inner());
        self.take(&who, request.route, wire::range(request.range).map(Message::retired))
    }

    async fn note_retired(&self, request: Request<v1::RangeRequest>) -> Result<Response<Delivered>, Status> {
        let (who, request) = (who(&request), request.into_inner());
        self.take(&who, request.route, wire::range(request.range).map(|range| Message::RetiredNoted { range }))
    }
}

/// One node's stream of packets, delivered as the answers to it are asked for: first who this is, and then nothing until
/// the end.
pub(crate) struct Exchange {
    service: Service,
    who: Who,
    _stream: Option<OwnedSemaphorePermit>,
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
                Poll::Ready(Some(Ok(packet))) => self.service.take_packet(&self.who, packet),
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
