//! Requests of which not all has come yet.
//!
//! A request is read as it arrives, and passed on once it is complete. Until then its bytes take room, which is bounded for
//! each connection, and for all connections together that are not proved to be nodes'. A request without room is refused at
//! once, and the rest of it is thrown away. Leaving it unread would be worse: requests would wait for each other's room, and
//! unread bytes hold up every call over their connection.

use std::{
    convert::Infallible,
    future::poll_fn,
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use http_body::{Body as HttpBody, Frame};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{Bytes, Service, http},
    server::NamedService,
};

use crate::{Fault, Options, error::refusal, listener::Origin, places::Line, stats::ServerCounters, v1::Reason};

/// The one call that takes a stream.
const EXCHANGE: &str = "/synod.v1.Peer/Exchange";

/// So many of the largest message have room over one connection.
const EACH: usize = 4;

/// So many have room over all connections together that are not proved to be nodes'.
const ALL: usize = 16;

/// What gRPC has before a message.
const PREFIX: usize = 5;

/// The room for half-sent requests, in bytes: of a connection, or of all that are not proved to be nodes'.
#[derive(Clone)]
pub(crate) struct Room(Arc<Semaphore>);

impl Room {
    pub(crate) fn of_one(options: &Options) -> Self {
        Self::new(EACH, options)
    }

    pub(crate) fn of_all(options: &Options) -> Self {
        Self::new(ALL, options)
    }

    fn new(messages: usize, options: &Options) -> Self {
        let bytes = options.message.saturating_add(PREFIX).saturating_mul(messages);
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Adds so many bytes to what is `taken`. Returns false if there is no room for them.
    fn take(&self, bytes: usize, taken: &mut Option<OwnedSemaphorePermit>) -> bool {
        let more = u32::try_from(bytes).ok().and_then(|bytes| Arc::clone(&self.0).try_acquire_many_owned(bytes).ok());
        let Some(more) = more else { return false };
        match taken {
            Some(taken) => taken.merge(more),
            None => *taken = Some(more),
        }
        true
    }
}

/// A service that gets its requests whole; except for streams, which have no end.
#[derive(Clone)]
pub(crate) struct Whole<S> {
    pub(crate) service: S,
    pub(crate) options: Options,
    pub(crate) counters: Arc<ServerCounters>,
}

impl<S: NamedService> NamedService for Whole<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Whole<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() == EXCHANGE {
            return Box::pin(self.service.call(request));
        }
        // Only this one was polled.
        let spare = self.service.clone();
        let mut service = mem::replace(&mut self.service, spare);
        let (options, counters) = (self.options, Arc::clone(&self.counters));
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let line = parts.extensions.get::<Origin>().map(|origin| Arc::clone(&origin.line));
            let read = timeout(options.read, read(body, line.as_deref(), options.message.saturating_add(PREFIX))).await;
            match read.unwrap_or_else(|_| Err(half_sent(Code::DeadlineExceeded, "the request took too long"))) {
                Ok(bytes) => service.call(http::Request::from_parts(parts, Body::new(Once(Some(bytes))))).await,
                Err(Unread::HalfSent(refused)) => {
                    counters.fault(Fault::HalfSent);
                    Ok(refused.into_http())
                }
                Err(Unread::Refused(refused)) => Ok(refused.into_http()),
            }
        })
    }
}

/// Why there is no whole request.
enum Unread {
    /// It would have had to wait.
    HalfSent(Status),
    /// It broke off, or is too large.
    Refused(Status),
}

fn half_sent(code: Code, said: &str) -> Unread {
    Unread::HalfSent(refusal(code, said.to_owned(), Reason::TooManyWaiting))
}

/// All of `body`, if there is room for it and it has no more than `most` bytes.
async fn read(body: Body, line: Option<&Line>, most: usize) -> Result<Bytes, Unread> {
    let (mut body, mut bytes) = (pin!(body), Vec::new());
    let mut taken: [Option<OwnedSemaphorePermit>; 2] = [None, None];
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        // Trailers say nothing here.
        let Ok(data) = frame.map_err(Unread::Refused)?.into_data() else { continue };
        let (length, capacity) = (bytes.len().saturating_add(data.len()), bytes.capacity());
        if length > most {
            return Err(Unread::Refused(Status::out_of_range(format!("a message has up to {} bytes", most - PREFIX))));
        }
        if length > capacity {
            let target = length.max(capacity.saturating_mul(2)).min(most);
            let mut rooms = line.into_iter().flat_map(Line::rooms).zip(&mut taken);
            if !rooms.all(|(room, taken)| room.take(target - capacity, taken)) {
                return Err(half_sent(Code::ResourceExhausted, "too many requests are half sent"));
            }
            bytes.reserve_exact(target - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.into())
}

/// A body that is there.
struct Once(Option<Bytes>);

impl HttpBody for Once {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}
