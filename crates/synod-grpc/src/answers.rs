//! Answers that take memory until they are read.
//!
//! A list may take as much as the largest message, and the caller decides when to read it. So each connection has one at
//! a time: the next is made when the one before is read. A connection over which one is not read in time is closed.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::timeout,
};
use tonic::{
    Status,
    body::Body,
    codegen::{Bytes, Service, http},
    server::NamedService,
};

use crate::{Fault, places::Line, stats::ServerCounters};

/// The turn of a large answer over a connection. It goes with the answer, and is over when that is read or given up.
#[derive(Clone)]
pub(crate) struct Turn(
    #[allow(dead_code, reason = "dropped with the answer")] Arc<(OwnedSemaphorePermit, oneshot::Sender<()>)>,
);

impl Turn {
    /// The next turn. It must be over within `patience`, once it has come.
    pub(crate) async fn new(line: &Arc<Line>, patience: Duration, counters: &Arc<ServerCounters>) -> Option<Self> {
        let permit = Arc::clone(&line.answers).acquire_owned().await.ok()?;
        let (answer, read) = oneshot::channel::<()>();
        let (line, counters) = (Arc::clone(line), Arc::clone(counters));
        tokio::spawn(async move {
            if timeout(patience, read).await.is_err() {
                counters.fault(Fault::SlowReader);
                line.end();
            }
        });
        Some(Self(Arc::new((permit, answer))))
    }
}

/// A service whose answers keep their turns.
#[derive(Clone)]
pub(crate) struct Kept<S>(pub(crate) S);

impl<S: NamedService> NamedService for Kept<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<http::Request<B>> for Kept<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(async move {
            let mut answer = answer.await?;
            Ok(match answer.extensions_mut().remove::<Turn>() {
                Some(turn) => answer.map(|body| Body::new(InTurn { body, _turn: turn })),
                None => answer,
            })
        })
    }
}

struct InTurn {
    body: Body,
    _turn: Turn,
}

impl HttpBody for InTurn {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
