//! Whether a node serves, for tools that know nothing of synod: the health service of gRPC.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{select, sync::watch};
use tonic::{
    Request, Response, Status,
    codegen::{async_trait, tokio_stream::Stream},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health as Service,
};

use crate::serve::{Stage, reached};

/// What is said of a node and of all its services alike.
pub(crate) struct Health {
    /// Whether the node can take part, as its program says.
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) services: Vec<&'static str>,
    pub(crate) stage: watch::Receiver<Stage>,
}

impl Health {
    /// No name stands for the whole server.
    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.contains(&service)
    }
}

#[async_trait]
impl Service for Health {
    type WatchStream = Watch;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request.get_ref().service) {
            return Err(Status::not_found("there is no such service here"));
        }
        let is_serving = *self.ready.borrow() && *self.stage.borrow() == Stage::Open;
        Ok(Response::new(response(serving(is_serving))))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Watch>, Status> {
        let (ready, stage) = (self.ready.clone(), self.stage.clone());
        // An unknown one may come to be later, says the protocol. Here it never does.
        let next = self.knows(&request.get_ref().service).then(|| next(ready.clone(), stage.clone(), None));
        let unknown = next.is_none();
        Ok(Response::new(Watch { ready, stage, next, unknown }))
    }
}

type Next = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Whether the node serves, now and at every change.
pub(crate) struct Watch {
    ready: watch::Receiver<bool>,
    stage: watch::Receiver<Stage>,
    /// What is told next, of a service that is known.
    next: Option<Next>,
    /// It has to be told that the service is not.
    unknown: bool,
}

impl Stream for Watch {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.unknown) {
            return Poll::Ready(Some(Ok(response(ServingStatus::ServiceUnknown))));
        }
        // It ends when the server closes.
        let Some(next) = &mut self.next else { return Poll::Pending };
        let is_serving = ready!(next.as_mut().poll(context));
        let (ready, stage) = (self.ready.clone(), self.stage.clone());
        self.next = Some(self::next(ready, stage, Some(is_serving)));
        Poll::Ready(Some(Ok(response(serving(is_serving)))))
    }
}

/// Whether the node serves, as soon as that is not what was told last.
fn next(mut ready: watch::Receiver<bool>, stage: watch::Receiver<Stage>, told: Option<bool>) -> Next {
    Box::pin(async move {
        let changed = async { ready.wait_for(|now| Some(*now) != told).await.ok().map(|now| *now) };
        select! {
            biased;
            // Whatever the program says then.
            () = reached(stage, Stage::Closing) => match told {
                Some(false) => std::future::pending().await,
                _ => false,
            },
            Some(now) = changed => now,
        }
    })
}

fn serving(is_serving: bool) -> ServingStatus {
    if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
