//! The roles of Paxos Commit as services: each call is one message.

use synod::commit::{Meta, Outcome, What};
use tonic::{Request, Response, Status, codegen::async_trait};

use crate::{
    serve::{Service, who},
    v1::{self, Delivered},
    wire,
};

#[async_trait]
impl v1::acceptor_server::Acceptor for Service {
    async fn vote(&self, request: Request<v1::VoteRequest>) -> Result<Response<Delivered>, Status> {
        let (who, request) = (who(&request), request.into_inner());
        self.take(&who, request.route, wire::about(request.transaction, wire::what(request.vote)))
    }

    async fn prepare(&self, request: Request<v1::Phase1aRequest>) -> Result<Response<Delivered>, Status> {
        let (who, request) = (who(&request), request.into_inner());
        self.take(&who, request.route, wire::about(request.transaction, wire::what(request.request)))
    }

    async fn accept(&self, request: Request<v1::Phase2aRequest>) -> Result<Response<Delivered>, Status> {
        let (who, request) = (who(&request), request.into_inner());
        self.take(&who, request.route, wire::about(request.transaction, wire::what(request.request)))
    }
}

#[async_trait]
impl v1::proposer_server::Proposer for Service {
    async fn promise(&self, request: Request<v1::Phase1bRequest>) -> Result<Response<Delivered>, Status> {
        let (who, request) = (who(&request), request.into_inner());
        self.take(&who, request.route, wire::about(request.transaction, wire::what(request.answer)))
    }

    async fn accepted(&self, request: Request<v1::Phase2bRequest>) -> Result<Response<Delivered>, Status> {
        let (who, request) = (who(&request), request.into_inner());
        self.take(&who, request.route, wire::about(request.transaction, wire::what(request.answer)))
    }

    async fn reject(&self, request: Request<v1::RejectRequest>) -> Result<Response<Delivered>, Status> {
        let (who, request) = (who(&request), request.into_inner());
        self.take(&who, request.route, wire::about(request.transaction, wire::what(request.answer)))
    }
}

#[async_trait]
impl v1::manager_server::Manager for Service {
    async fn begin(&self, request: Request<v1::ContentRequest>) -> Result<Response<Delivered>, Status> {
        let (who, request) = (who(&request), request.into_inner());
        let what = What::Begin { meta: Meta::from(request.meta) };
        self.take(&who, request.route, wire::about(request.transaction, Ok(what)))
    }

    async fn inquire(&self, request: Request<v1::TransactionRequest>) -> Result<Response<Delivered>, Status> {
        let (who, request) = (who(&request), request.into_inner());
        self.take(&who, request.route, wire::about(request.transaction, Ok(What::Inquire)))
    }

    async fn finish(&self, request: Request<v1::FinishRequest>) -> Result<Response<Delivered>, Status> {
        let (who, request) = (who(&request), request.into_inner());
        let what = wire::outcome(request.outcome).map(What::Finished);
        self.take(&who, request.route, wire::about(request.transaction, what))
    }

    async fn decline(&self, request: Request<v1::TransactionRequest>) -> Result<Response<Delivered>, Status> {
        let (who, request) = (who(&request), request.into_inner());
        self.take(&who, request.route, wire::about(request.transaction, Ok(What::Decline)))
    }
}

#[async_trait]
impl v1::resource_server::Resource for Service {
    async fn prepare(&self, request: Request<v1::ContentRequest>) -> Result<Response<Delivered>, Status> {
        let (who, request) = (who(&request), request.into_inner());
        let what = What::prepare(Meta::from(request.meta));
        self.take(&who, request.route, wire::about(request.transaction, Ok(what)))
    }

    async fn commit(&self, request: Request<v1::TransactionRequest>) -> Result<Response<Delivered>, Status> {
        self.ended(request, Outcome::Committed)
    }

    async fn abort(&self, request: Request<v1::TransactionRequest>) -> Result<Response<Delivered>, Status> {
        self.ended(request, Outcome::Aborted)
    }
}

impl Service {
    fn ended(&self, request: Request<v1::TransactionRequest>, outcome: Outcome) -> Result<Response<Delivered>, Status> {
        let (who, request) = (who(&request), request.into_inner());
        self.take(&who, request.route, wire::about(request.transaction, Ok(What::Outcome(outcome))))
    }
}
