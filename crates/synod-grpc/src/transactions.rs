//! What clients may ask for.

use synod::{
    NodeId, Refusal, TxId,
    commit::{InDoubt, Meta, Transaction},
    perform::tokio::{Error, Handle},
};
use tokio::select;
use tonic::{Code, Request, Response, Status, codegen::async_trait, metadata::MetadataMap};

use crate::{
    Fault,
    answers::Turn,
    error::refusal,
    listener::{Caller, Origin},
    serve::{Service, Stage, reached, who},
    v1::{self, Reason},
    wire::{self, Needed},
};

/// The metadata by which a node says to clients in which epoch it is.
pub(crate) const EPOCH: &str = "synod-epoch";

/// A node as clients see it.
pub(crate) struct Desk {
    pub(crate) handle: Handle,
    pub(crate) service: Service,
}

#[async_trait]
impl v1::transactions_server::Transactions for Desk {
    async fn begin(&self, request: Request<v1::BeginRequest>) -> Result<Response<v1::BeginReply>, Status> {
        let (caller, request) = (who(&request).caller, request.into_inner());
        let epoch = request.epoch;
        let participants = request.participants.into_iter().map(NodeId);
        let tx = match request.id.map(TxId::from) {
            None => self.answer(self.handle.begin(participants, request.meta)).await?,
            Some(tx) => {
                let is_trusted = sees_to_it(caller, tx);
                let meta = Meta::from(request.meta);
                let transaction = Transaction::new(tx, participants.collect::<Vec<_>>(), meta.clone());
                let transaction = transaction.map_err(|error| self.service.malformed(error.into()))?.in_epoch(epoch);
                let begun = async {
                    if is_trusted {
                        self.handle.begin_as(transaction, meta).await
                    } else {
                        self.handle.begin_given(transaction, meta).await
                    }
                };
                self.answer(begun).await.inspect_err(|status| {
                    if status.code() == Code::PermissionDenied {
                        self.service.counters.fault(Fault::Forged);
                    }
                })?;
                tx
            }
        };
        Ok(self.reply(v1::BeginReply { id: Some(tx.into()) }))
    }

    async fn names(&self, request: Request<v1::NamesRequest>) -> Result<Response<v1::NamesReply>, Status> {
        let given = self.answer(self.handle.names(request.into_inner().count)).await?;
        Ok(self.reply(v1::NamesReply { names: Some(given.names.into()), epoch: given.epoch }))
    }

    async fn outcome(&self, request: Request<v1::OutcomeRequest>) -> Result<Response<v1::OutcomeReply>, Status> {
        let tx = self.tx(request.into_inner().id)?;
        let outcome = v1::Outcome::from(self.answer(self.handle.outcome(tx)).await?);
        Ok(self.reply(v1::OutcomeReply { outcome: outcome.into() }))
    }

    async fn status(&self, request: Request<v1::StatusRequest>) -> Result<Response<v1::StatusReply>, Status> {
        let tx = self.tx(request.into_inner().id)?;
        Ok(self.reply(self.answer(self.handle.status(tx)).await?.into()))
    }

    async fn in_doubt(&self, request: Request<v1::InDoubtRequest>) -> Result<Response<v1::InDoubtReply>, Status> {
        // A caller that reads nothing waits for itself.
        let turn = match request.extensions().get::<Origin>() {
            Some(origin) => Turn::new(&origin.line, self.service.options.read, &self.service.counters).await,
            None => None,
        };
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
        let mut answer = self.reply(v1::InDoubtReply { in_doubt, more });
        if let Some(turn) = turn {
            answer.extensions_mut().insert(turn);
        }
        Ok(answer)
    }

    async fn inquire(&self, request: Request<v1::InquireRequest>) -> Result<Response<v1::InquireReply>, Status> {
        let tx = self.tx(request.into_inner().id)?;
        self.answer(self.handle.inquire(tx)).await?;
        Ok(self.reply(v1::InquireReply {}))
    }

    async fn members(&self, _: Request<v1::MembersRequest>) -> Result<Response<v1::MembersReply>, Status> {
        let epoch = self.answer(self.handle.epoch()).await?;
        Ok(self.reply(match epoch {
            None => v1::MembersReply::default(),
            Some(epoch) => v1::MembersReply {
                epoch: Some(epoch.number),
                membership: Some((&epoch.membership).into()),
                left: epoch.left.iter().map(|node| node.0).collect(),
            },
        }))
    }
}

impl Desk {
    fn tx(&self, id: Option<v1::TxId>) -> Result<TxId, Status> {
        id.needed("the transaction's id").map(TxId::from).map_err(|error| self.service.malformed(error))
    }

    fn reply<T>(&self, message: T) -> Response<T> {
        let mut reply = Response::new(message);
        self.say_epoch(reply.metadata_mut());
        reply
    }

    /// So that clients hear that the members have changed.
    fn say_epoch(&self, metadata: &mut MetadataMap) {
        if let Some(tag) = self.handle.tag() {
            metadata.insert(EPOCH, tag.number.into());
        }
    }

    /// The node's answer; an error when the server closes before it comes.
    async fn answer<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Status> {
        select! {
            answer = asked => answer.map_err(|error| {
                let mut status = status(&error);
                self.say_epoch(status.metadata_mut());
                status
            }),
            () = reached(self.service.stage.clone(), Stage::Closing) => {
                Err(refusal(Code::Unavailable, "the server is closing".to_owned(), Reason::Stopped))
            }
        }
    }
}

/// Whether a caller sees to it itself that the name is used once: because the number is its own. Others may use the names that
/// transaction managers give away, each once.
fn sees_to_it(caller: Caller, tx: TxId) -> bool {
    match caller {
        Caller::Anyone => true,
        Caller::Node(own) | Caller::Client(own) => own == tx.origin,
        Caller::Stranger => false,
    }
}

/// The answer of a node that says no, with its reason.
fn status(error: &Error) -> Status {
    let message = match error {
        Error::Refused(refusal) => format!("{error}: {refusal}"),
        Error::NoTransaction(reason) => format!("{error}: {reason}"),
        _ => format!("{error}"),
    };
    let (code, reason) = match error {
        Error::NoTransaction(_) => (Code::InvalidArgument, Reason::Participants),
        Error::Refused(refusal) => refused(*refusal),
        Error::TooManyWaiting => (Code::ResourceExhausted, Reason::TooManyWaiting),
        Error::Forgotten(_) => (Code::DataLoss, Reason::Forgotten),
        Error::Write(_) | Error::Stalled | Error::Stopped | Error::Crashed => (Code::Unavailable, Reason::Stopped),
        _ => (Code::Internal, Reason::Unspecified),
    };
    refusal(code, message, reason)
}

fn refused(refusal: Refusal) -> (Code, Reason) {
    match refusal {
        Refusal::UnknownTransaction => (Code::NotFound, Reason::Unknown),
        Refusal::Retired => (Code::FailedPrecondition, Reason::Over),
        Refusal::OtherTransaction => (Code::AlreadyExists, Reason::OtherTransaction),
        Refusal::TooManyParticipants => (Code::InvalidArgument, Reason::Participants),
        Refusal::MetaTooLong | Refusal::OtherContent => (Code::InvalidArgument, Reason::Content),
        Refusal::NotAManager => (Code::FailedPrecondition, Reason::NotAManager),
        Refusal::TooManyOpen => (Code::ResourceExhausted, Reason::TooManyOpen),
        Refusal::NotNamedHere => (Code::PermissionDenied, Reason::Unspecified),
        Refusal::BadCount => (Code::InvalidArgument, Reason::Count),
        Refusal::OldEpoch => (Code::Aborted, Reason::OldEpoch),
        Refusal::NewerEpoch => (Code::Unavailable, Reason::NewerEpoch),
        Refusal::Changing => (Code::Unavailable, Reason::Changing),
        Refusal::NumbersUsedUp => (Code::ResourceExhausted, Reason::NumbersUsedUp),
        Refusal::Broken => (Code::Internal, Reason::Broken),
        _ => (Code::FailedPrecondition, Reason::Unspecified),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use synod::commit::TransactionError;

    use super::*;
    use crate::CallError;

    #[test]
    fn every_error_of_a_node_has_the_code_that_the_proto_files_say() {
        let cause = || Arc::new(Refusal::Fenced);
        let codes = [
            (Error::NoTransaction(TransactionError::NoParticipants), Code::InvalidArgument, Reason::Participants),
            (Refusal::TooManyParticipants.into(), Code::InvalidArgument, Reason::Participants),
            (Refusal::MetaTooLong.into(), Code::InvalidArgument, Reason::Content),
            (Refusal::OtherContent.into(), Code::InvalidArgument, Reason::Content),
            (Refusal::OtherTransaction.into(), Code::AlreadyExists, Reason::OtherTransaction),
            (Refusal::TooManyOpen.into(), Code::ResourceExhausted, Reason::TooManyOpen),
            (Refusal::NumbersUsedUp.into(), Code::ResourceExhausted, Reason::NumbersUsedUp),
            (Refusal::NotNamedHere.into(), Code::PermissionDenied, Reason::Unspecified),
            (Refusal::BadCount.into(), Code::InvalidArgument, Reason::Count),
            (Refusal::OldEpoch.into(), Code::Aborted, Reason::OldEpoch),
            (Refusal::NewerEpoch.into(), Code::Unavailable, Reason::NewerEpoch),
            (Refusal::Changing.into(), Code::Unavailable, Reason::Changing),
            (Error::TooManyWaiting, Code::ResourceExhausted, Reason::TooManyWaiting),
            (Error::Forgotten(TxId::default()), Code::DataLoss, Reason::Forgotten),
            (Refusal::UnknownTransaction.into(), Code::NotFound, Reason::Unknown),
            (Refusal::Retired.into(), Code::FailedPrecondition, Reason::Over),
            (Refusal::NotAManager.into(), Code::FailedPrecondition, Reason::NotAManager),
            (Refusal::Broken.into(), Code::Internal, Reason::Broken),
            (Refusal::NotAsked.into(), Code::FailedPrecondition, Reason::Unspecified),
            (Error::Write(cause()), Code::Unavailable, Reason::Stopped),
            (Error::Stalled, Code::Unavailable, Reason::Stopped),
            (Error::Stopped, Code::Unavailable, Reason::Stopped),
            (Error::Crashed, Code::Unavailable, Reason::Stopped),
            (Error::Start(cause()), Code::Internal, Reason::Unspecified),
        ];
        for (error, code, reason) in codes {
            let status = status(&error);
            assert_eq!(status.code(), code, "{error:?}");
            match (CallError::from(status), reason) {
                (CallError::Failed(_), Reason::Stopped)
                | (CallError::Unknown(_), Reason::Unknown)
                | (CallError::Forgotten(_), Reason::Forgotten) => {}
                (CallError::Refused { reason: read, .. }, reason) => assert_eq!(read, reason),
                other => panic!("{other:?}"),
            }
        }
        let refused = status(&Refusal::TooManyOpen.into());
        assert_eq!(refused.message(), "the node refuses: too many transactions are open");
    }

    /// A newer node may have reasons that are not known here.
    #[test]
    fn a_reason_that_is_not_known_is_a_refusal() {
        let mut status = Status::aborted("for another reason");
        status.metadata_mut().insert("synod-reason", "REASON_ANOTHER".parse().unwrap());
        let error = CallError::from(status);
        assert!(matches!(error, CallError::Refused { reason: Reason::Unspecified, .. }), "{error:?}");
    }
}
