//! What the resource is asked, each call a task of its own.
//!
//! Of one transaction there is one call at a time: a verdict that comes while the vote is being considered waits, so that
//! a resource never lets go of what it is just about to hold.

use alloc::{collections::BTreeMap, sync::Arc};

use ::tokio::task::{Id, JoinError, JoinSet};
use foldhash::quality::FixedState;
use hashbrown::HashMap;
use tracing::{Instrument, debug_span};

use super::Resource;
use crate::{
    TxId,
    commit::{Input, Meta, Outcome, Transaction, Vote},
};

/// The calls to the resource.
#[derive(Debug)]
pub(super) struct Jobs<R> {
    resource: Arc<R>,
    calls: JoinSet<Answer>,
    /// Which call each task is.
    asked: HashMap<Id, Question, FixedState>,
    busy: BTreeMap<TxId, Busy>,
}

/// How a transaction ended, for the resource to carry out.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    Commit(Transaction, Meta),
    Abort(Transaction, Option<Meta>),
}

/// A transaction that the resource is being asked about.
#[derive(Debug)]
struct Busy {
    votes: bool,
    /// The verdict that came meanwhile.
    next: Option<Verdict>,
}

#[derive(Clone, Debug)]
enum Question {
    Vote(Transaction),
    CarryOut(TxId),
}

impl Question {
    fn tx(&self) -> TxId {
        match self {
            Self::Vote(transaction) => transaction.id(),
            Self::CarryOut(tx) => *tx,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Voted(Vote),
    CarriedOut,
}

/// A call that has come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// What the node should hear, if anything.
    pub(super) input: Option<Input>,
    pub(super) panicked: bool,
}

impl Verdict {
    pub(super) fn tx(&self) -> TxId {
        match self {
            Self::Commit(transaction, _) | Self::Abort(transaction, _) => transaction.id(),
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Commit(..) => Outcome::Committed,
            Self::Abort(..) => Outcome::Aborted,
        }
    }
}

impl<R: Resource> Jobs<R> {
    pub(super) fn new(resource: R) -> Self {
        let (calls, busy) = Default::default();
        Self { resource: Arc::new(resource), calls, asked: HashMap::with_hasher(FixedState::with_seed(0)), busy }
    }

    pub(super) fn resource(&self) -> &R {
        &self.resource
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Asks for a vote.
    pub(super) fn vote(&mut self, transaction: Transaction, meta: Meta) {
        let tx = transaction.id();
        if self.busy.contains_key(&tx) {
            return;
        }
        let resource = Arc::clone(&self.resource);
        let question = Question::Vote(transaction.clone());
        let call = async move { Answer::Voted(resource.vote(&transaction, &meta).await) };
        let call = self.calls.spawn(call.instrument(debug_span!("vote", %tx)));
        self.ask(call.id(), question);
    }

    /// Asks to carry out how a transaction ended; once, however often it comes.
    pub(super) fn carry_out(&mut self, verdict: Verdict) {
        let (tx, outcome) = (verdict.tx(), verdict.outcome());
        if let Some(busy) = self.busy.get_mut(&tx) {
            if busy.votes {
                busy.next = Some(verdict);
            }
            return;
        }
        let resource = Arc::clone(&self.resource);
        let call = async move {
            match verdict {
                Verdict::Commit(transaction, meta) => resource.commit(&transaction, &meta).await,
                Verdict::Abort(transaction, meta) => resource.abort(&transaction, meta.as_ref()).await,
            }
            Answer::CarriedOut
        };
        let call = self.calls.spawn(call.instrument(debug_span!("carry_out", %tx, ?outcome)));
        self.ask(call.id(), Question::CarryOut(tx));
    }

    fn ask(&mut self, id: Id, question: Question) {
        self.busy.insert(question.tx(), Busy { votes: matches!(question, Question::Vote(_)), next: None });
        self.asked.insert(id, question);
    }

    /// Waits for the next call to end; `None` if there is none. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Answered> {
        let ended = self.calls.join_next_with_id().await?;
        self.ended(ended)
    }

    /// A call that has ended already.
    pub(super) fn try_next(&mut self) -> Option<Answered> {
        let ended = self.calls.try_join_next_with_id()?;
        self.ended(ended)
    }

    fn ended(&mut self, ended: Result<(Id, Answer), JoinError>) -> Option<Answered> {
        let (id, answer) = match ended {
            Ok((id, answer)) => (id, Some(answer)),
            Err(error) => (error.id(), None),
        };
        let question = self.asked.remove(&id)?;
        if let Some(busy) = self.busy.remove(&question.tx())
            && let Some(verdict) = busy.next
        {
            self.carry_out(verdict);
        }
        let input = match (answer, question) {
            (Some(Answer::Voted(vote)), Question::Vote(transaction)) => Some(Input::Vote { transaction, vote }),
            (None, Question::Vote(transaction)) => Some(Input::Vote { transaction, vote: Vote::Aborted }),
            (Some(_), Question::CarryOut(tx)) => Some(Input::Finished(tx)),
            // The node will ask again.
            (_, Question::Vote(_)) | (None, Question::CarryOut(_)) => None,
        };
        Some(Answered { input, panicked: answer.is_none() })
    }
}
