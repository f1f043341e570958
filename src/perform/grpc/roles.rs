//! The roles of Paxos Commit as services: each call is one message.

use tonic::{Request, Response, Status, codegen::async_trait};

use super::{
    serve::{Service, caller},
    v1::{self, Delivered},
    wire,
};
use crate::commit::{Message, Outcome};

#[async_trait]
impl v1::acceptor_server::Acceptor for Service {
    async fn vote(&self, request: Request<v1::VoteRequest>) -> Result<Response<Delivered>, Status> {
        let (caller, request) = (caller(&request), request.into_inner());
        self.take(caller, request.route, wire::initial_vote(request.vote))
    }

    async fn prepare(&self, request: Request<v1::PrepareRequest>) -> Result<Response<Delivered>, Status> {
        let (caller, request) = (caller(&request), request.into_inner());
        self.take(caller, request.route, wire::bundle(request.transaction, request.instances))
    }

    async fn accept(&self, request: Request<v1::AcceptRequest>) -> Result<Response<Delivered>, Status> {
        let (caller, request) = (caller(&request), request.into_inner());
        self.take(caller, request.route, wire::bundle(request.transaction, request.instances))
    }
}

#[async_trait]
impl v1::proposer_server::Proposer for Service {
    async fn promise(&self, request: Request<v1::PromiseRequest>) -> Result<Response<Delivered>, Status> {
        let (caller, request) = (caller(&request), request.into_inner());
        self.take(caller, request.route, wire::bundle(request.transaction, request.instances))
    }

    async fn accepted(&self, request: Request<v1::AcceptedRequest>) -> Result<Response<Delivered>, Status> {
        let (caller, request) = (caller(&request), request.into_inner());
        self.take(caller, request.route, wire::bundle(request.transaction, request.instances))
    }

    async fn reject(&self, request: Request<v1::RejectRequest>) -> Result<Response<Delivered>, Status> {
        let (caller, request) = (caller(&request), request.into_inner());
        self.take(caller, request.route, wire::bundle(request.transaction, request.instances))
    }
}

#[async_trait]
impl v1::manager_server::Manager for Service {
    async fn begin(&self, request: Request<v1::TransactionRequest>) -> Result<Response<Delivered>, Status> {
        let (caller, request) = (caller(&request), request.into_inner());
        let message = wire::transaction(request.transaction).map(|transaction| Message::Begin { transaction });
        self.take(caller, request.route, message)
    }

    async fn inquire(&self, request: Request<v1::TransactionRequest>) -> Result<Response<Delivered>, Status> {
        let (caller, request) = (caller(&request), request.into_inner());
        let message = wire::transaction(request.transaction).map(|transaction| Message::Inquire { transaction });
        self.take(caller, request.route, message)
    }

    async fn finish(&self, request: Request<v1::FinishRequest>) -> Result<Response<Delivered>, Status> {
        let (caller, request) = (caller(&request), request.into_inner());
        self.take(caller, request.route, wire::finished(request.ending))
    }
}

#[async_trait]
impl v1::resource_server::Resource for Service {
    async fn prepare(&self, request: Request<v1::TransactionRequest>) -> Result<Response<Delivered>, Status> {
        let (caller, request) = (caller(&request), request.into_inner());
        let message = wire::transaction(request.transaction).map(|transaction| Message::Prepare { transaction });
        self.take(caller, request.route, message)
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
        let (caller, request) = (caller(&request), request.into_inner());
        let transaction = wire::transaction(request.transaction);
        self.take(caller, request.route, transaction.map(|transaction| Message::Outcome { transaction, outcome }))
    }
}
