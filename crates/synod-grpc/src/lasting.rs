//! Streams that tools keep open: to watch the health of a node, or to ask about its services.
//!
//! They have no end of their own. So a connection has few of them at once, and they end when the server closes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http_body::{Body as HttpBody, Frame};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::{
    Status,
    body::Body,
    codegen::{Bytes, Service, http},
    server::NamedService,
};

use crate::{
    listener::Origin,
    serve::{Stage, reached},
};

/// A service whose answers may last.
#[derive(Clone)]
pub(crate) struct Lasting<S> {
    pub(crate) service: S,
    pub(crate) stage: watch::Receiver<Stage>,
}

impl<S: NamedService> NamedService for Lasting<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<http::Request<B>> for Lasting<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let line = request.extensions().get::<Origin>().map(|origin| Arc::clone(&origin.line));
        let Ok(permit) = line.map(|line| Arc::clone(&line.lasting).try_acquire_owned()).transpose() else {
            let refused = Status::resource_exhausted("there are too many streams of this kind over this connection");
            return Box::pin(async { Ok(refused.into_http()) });
        };
        let (answer, closing) = (self.service.call(request), Box::pin(reached(self.stage.clone(), Stage::Closing)));
        Box::pin(async move {
            let answer = answer.await?;
            Ok(answer.map(|body| Body::new(UntilClosing { body, closing: Some(closing), _permit: permit })))
        })
    }
}

struct UntilClosing {
    body: Body,
    /// None when it has ended.
    closing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl HttpBody for UntilClosing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.closing.is_none() {
            return Poll::Ready(None);
        }
        // What is there to be said is said first: that the node no longer serves.
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        if let Some(closing) = &mut self.closing {
            ready!(closing.as_mut().poll(context));
        }
        self.closing = None;
        let mut trailers = http::HeaderMap::new();
        Status::unavailable("the server is closing").add_header(&mut trailers)?;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.closing.is_none() || self.body.is_end_stream()
    }
}
