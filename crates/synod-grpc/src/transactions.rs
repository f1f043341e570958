//! What clients may ask for.

use synod::{
    NodeId, Refusal, TxId,
    commit::{InDoubt, Meta, Transaction},
    perform::tokio::{Error, Handle},
};
use tokio::select;
use tonic::{Request, Response, Status, codegen::async_trait};

use crate::{
    Fault,
    listener::Caller,
    serve::{Service, Stage, caller, reached},
    v1,
    wire::{self, Needed},
};

/// A node as clients see it.
pub(crate) struct Desk {
    pub(crate) handle: Handle,
    pub(crate) service: Service,
}

#[async_trait]
impl v1::transactions_server::Transactions for Desk {
    async fn begin(&self, request: Request<v1::BeginRequest>) -> Result<Response<v1::BeginReply>, Status> {
        let (caller, request) = (caller(&request), request.into_inner());
        let participants = request.participants.into_iter().map(NodeId);
        let tx = match request.id.map(TxId::from) {
            None => self.answer(self.handle.begin(participants, request.meta)).await?,
            Some(tx) => {
                self.check_name(caller, tx)?;
                let meta = Meta::from(request.meta);
                let transaction = Transaction::new(tx, participants.collect::<Vec<_>>(), meta.clone());
                let transaction = transaction.map_err(|error| self.service.malformed(error.into()))?;
                self.answer(self.handle.begin_as(transaction, meta)).await?;
                tx
            }
        };
        Ok(Response::new(v1::BeginReply { id: Some(tx.into()) }))
    }

    async fn outcome(&self, request: Request<v1::OutcomeRequest>) -> Result<Response<v1::OutcomeReply>, Status> {
        let tx = self.tx(request.into_inner().id)?;
        let outcome = v1::Outcome::from(self.answer(self.handle.outcome(tx)).await?);
        Ok(Response::new(v1::OutcomeReply { outcome: outcome.into() }))
    }

    async fn status(&self, request: Request<v1::StatusRequest>) -> Result<Response<v1::StatusReply>, Status> {
        let tx = self.tx(request.into_inner().id)?;
        Ok(Response::new(self.answer(self.handle.status(tx)).await?.into()))
    }

    async fn in_doubt(&self, request: Request<v1::InDoubtRequest>) -> Result<Response<v1::InDoubtReply>, Status> {
        let request = request.into_inner();
        let after = request.after.map(TxId::from);
        let most = if request.limit == 0 { usize::MAX } else { request.limit as usize };
        let listed = self.answer(self.handle.in_doubt()).await?;
        let first = listed.partition_point(|each| Some(each.transaction.id()) <= after);
        let (listed, mut bytes) = (listed.get(first..).unwrap_or_default(), 0);
        let fits = |each: &&InDoubt| {
            bytes += wire::size_in_doubt(each);
            bytes <= self.service.options.message
        };
        let in_doubt: Vec<_> = listed.iter().take(most).take_while(fits).map(v1::InDoubt::from).collect();
        let more = in_doubt.len() < listed.len();
        Ok(Response::new(v1::InDoubtReply { in_doubt, more }))
    }

    async fn inquire(&self, request: Request<v1::InquireRequest>) -> Result<Response<v1::InquireReply>, Status> {
        let tx = self.tx(request.into_inner().id)?;
        self.answer(self.handle.inquire(tx)).await?;
        Ok(Response::new(v1::InquireReply {}))
    }
}

impl Desk {
    fn tx(&self, id: Option<v1::TxId>) -> Result<TxId, Status> {
        id.needed("the transaction's id").map(TxId::from).map_err(|error| self.service.malformed(error))
    }

    /// Refuses a name by another's number: names are used once, and only who owns the number can see to that.
    fn check_name(&self, caller: Caller, tx: TxId) -> Result<(), Status> {
        match caller {
            Caller::Anyone => Ok(()),
            Caller::Node(own) | Caller::Client(own) if own == tx.origin => Ok(()),
            _ => {
                self.service.counters.fault(Fault::Forged);
                Err(Status::permission_denied(format!("the certificate does not have the number of {}", tx.origin)))
            }
        }
    }

    /// The node's answer; an error when the server closes before it comes.
    async fn answer<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Status> {
        select! {
            answer = asked => answer.map_err(|error| status(&error)),
            () = reached(self.service.stage.clone(), Stage::Closing) => Err(Status::unavailable("the server is closing")),
        }
    }
}

fn status(error: &Error) -> Status {
    let message = match error {
        Error::Refused(refusal) => format!("{error}: {refusal}"),
        Error::NoTransaction(reason) => format!("{error}: {reason}"),
        _ => format!("{error}"),
    };
    match error {
        Error::NoTransaction(_)
        | Error::Refused(Refusal::TooManyParticipants | Refusal::MetaTooLong | Refusal::OtherContent) => {
            Status::invalid_argument(message)
        }
        Error::Refused(Refusal::TooManyOpen | Refusal::NumbersUsedUp) | Error::TooManyWaiting => {
            Status::resource_exhausted(message)
        }
        Error::Forgotten(_) | Error::Refused(Refusal::UnknownTransaction) => Status::not_found(message),
        Error::Refused(Refusal::OtherTransaction) => Status::already_exists(message),
        Error::Refused(Refusal::Broken) => Status::internal(message),
        Error::Refused(_) => Status::failed_precondition(message),
        Error::Write(_) | Error::Stalled | Error::Stopped | Error::Crashed => Status::unavailable(message),
        _ => Status::internal(message),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use synod::commit::TransactionError;
    use tonic::Code;

    use super::*;

    #[test]
    fn every_error_of_a_node_has_the_code_that_the_proto_files_say() {
        let cause = || Arc::new(Refusal::Fenced);
        let codes = [
            (Error::NoTransaction(TransactionError::NoParticipants), Code::InvalidArgument),
            (Refusal::TooManyParticipants.into(), Code::InvalidArgument),
            (Refusal::MetaTooLong.into(), Code::InvalidArgument),
            (Refusal::OtherContent.into(), Code::InvalidArgument),
            (Refusal::OtherTransaction.into(), Code::AlreadyExists),
            (Refusal::TooManyOpen.into(), Code::ResourceExhausted),
            (Refusal::NumbersUsedUp.into(), Code::ResourceExhausted),
            (Error::TooManyWaiting, Code::ResourceExhausted),
            (Error::Forgotten(TxId::default()), Code::NotFound),
            (Refusal::UnknownTransaction.into(), Code::NotFound),
            (Refusal::Retired.into(), Code::FailedPrecondition),
            (Refusal::NotAManager.into(), Code::FailedPrecondition),
            (Refusal::Broken.into(), Code::Internal),
            (Error::Write(cause()), Code::Unavailable),
            (Error::Stalled, Code::Unavailable),
            (Error::Stopped, Code::Unavailable),
            (Error::Crashed, Code::Unavailable),
            (Error::Start(cause()), Code::Internal),
        ];
        for (error, code) in codes {
            assert_eq!(status(&error).code(), code, "{error:?}");
        }
        let refused = status(&Refusal::TooManyOpen.into());
        assert_eq!(refused.message(), "the node refuses: too many transactions are open");
    }
}
