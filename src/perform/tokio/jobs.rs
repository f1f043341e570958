//! What the resource is asked, each call a task of its own.
//!
//! Of one transaction there is one call at a time: a verdict that comes while the vote is being considered waits, so that
//! a resource never lets go of what it is just about to hold. Votes and verdicts have a line each. A verdict that could
//! not be carried out gets back in line, each time for a later turn.

use alloc::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use core::{panic::AssertUnwindSafe, time::Duration};
use std::panic::catch_unwind;

use ::tokio::{
    task::{Id, JoinError, JoinSet},
    time::Instant,
};
use foldhash::quality::FixedState;
use hashbrown::HashMap;
use tracing::{Instrument, debug_span};

use super::{
    Options,
    erased::AnyResource,
    line::{Backoff, Line, Place},
};
use crate::{
    TxId,
    commit::{Input, Meta, Outcome, Transaction, Vote},
    perform::Progress,
};

/// The calls to the resource, and those that are to come.
pub(super) struct Jobs {
    resource: Arc<dyn AnyResource>,
    calls: JoinSet<Answer>,
    /// Which transaction each call is about.
    asked: HashMap<Id, TxId, FixedState>,
    busy: BTreeMap<TxId, Stage>,
    votes: Line,
    verdicts: Line,
    backoff: Backoff,
    /// What the resource has answered without a call.
    at_once: VecDeque<Answered>,
}

/// How a transaction ended, for the resource to carry out.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    Commit(Transaction, Meta),
    Abort(Transaction, Option<Meta>),
}

/// Where a transaction is that concerns the resource.
#[derive(Debug)]
enum Stage {
    /// It is in line for its vote.
    ToVote { place: Place, transaction: Transaction, meta: Meta },
    /// The resource considers its vote. Perhaps a verdict has come meanwhile.
    Voting { transaction: Transaction, next: Option<Verdict> },
    /// It is in line to be carried out, for the first time or again.
    ToCarryOut { place: Place, attempt: Attempt },
    /// The resource carries it out. Nothing is left to try once the resource has said that it is done.
    CarryingOut(Option<Attempt>),
    /// The resource will say that it is carried out.
    Later,
}

#[derive(Debug)]
struct Attempt {
    verdict: Verdict,
    /// How many there were before.
    number: u32,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Voted(Vote),
    CarriedOut(Progress),
}

/// A call that has come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) tx: TxId,
    /// What the node should hear, if anything.
    pub(super) input: Option<Input>,
    pub(super) panicked: bool,
}

/// The resource has panicked.
#[derive(Clone, Copy, Debug)]
struct Panicked;

impl Verdict {
    pub(super) fn tx(&self) -> TxId {
        self.transaction().id()
    }

    fn transaction(&self) -> &Transaction {
        match self {
            Self::Commit(transaction, _) | Self::Abort(transaction, _) => transaction,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Commit(..) => Outcome::Committed,
            Self::Abort(..) => Outcome::Aborted,
        }
    }
}

impl Jobs {
    /// The calls of a node that has this seed.
    pub(super) fn new(resource: impl AnyResource + 'static, options: &Options, seed: u64) -> Self {
        let (calls, busy) = Default::default();
        Self {
            resource: Arc::new(resource),
            calls,
            asked: HashMap::with_hasher(FixedState::with_seed(0)),
            busy,
            votes: Line::new(options.votes),
            verdicts: Line::new(options.verdicts),
            backoff: Backoff::new(options.retry, options.retry_ceiling, seed),
            at_once: VecDeque::new(),
        }
    }

    pub(super) fn resource(&self) -> &Arc<dyn AnyResource> {
        &self.resource
    }

    /// Whether no call is under way, and every answer taken.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.at_once.is_empty()
    }

    /// Asks for a vote, when it is its turn; once, however often it comes.
    pub(super) fn vote(&mut self, transaction: Transaction, meta: Meta) {
        let tx = transaction.id();
        if !self.busy.contains_key(&tx) {
            let place = self.votes.join(tx, Duration::ZERO);
            self.busy.insert(tx, Stage::ToVote { place, transaction, meta });
        }
    }

    /// Asks to carry out how a transaction ended, when it is its turn; once, however often it comes.
    pub(super) fn carry_out(&mut self, verdict: Verdict) {
        match self.busy.get_mut(&verdict.tx()) {
            Some(Stage::Voting { next, .. }) => *next = Some(verdict),
            Some(Stage::ToVote { place, .. }) => {
                self.votes.leave(*place);
                self.try_after(Duration::ZERO, Attempt { verdict, number: 0 });
            }
            Some(_) => {}
            None => self.try_after(Duration::ZERO, Attempt { verdict, number: 0 }),
        }
    }

    fn try_after(&mut self, pause: Duration, attempt: Attempt) {
        let tx = attempt.verdict.tx();
        let place = self.verdicts.join(tx, pause);
        self.busy.insert(tx, Stage::ToCarryOut { place, attempt });
    }

    /// The resource says that it has carried out how `tx` ended: it is not asked any more.
    pub(super) fn finished(&mut self, tx: TxId) {
        match self.busy.get_mut(&tx) {
            Some(Stage::CarryingOut(attempt)) => *attempt = None,
            Some(Stage::ToCarryOut { place, .. }) => {
                self.verdicts.leave(*place);
                self.busy.remove(&tx);
            }
            Some(Stage::Later) => drop(self.busy.remove(&tx)),
            Some(Stage::ToVote { .. } | Stage::Voting { .. }) | None => {}
        }
    }

    /// Starts the calls whose turn has come. Leaves out the votes that the node does not await any more.
    pub(super) fn start(&mut self, awaits_vote: impl Fn(TxId) -> bool) {
        while let Some(tx) = self.votes.next() {
            if let Some(Stage::ToVote { transaction, meta, .. }) = self.busy.remove(&tx)
                && awaits_vote(tx)
            {
                self.start_vote(transaction, meta);
            }
        }
        while let Some(tx) = self.verdicts.next() {
            if let Some(Stage::ToCarryOut { attempt, .. }) = self.busy.remove(&tx) {
                self.start_verdict(attempt);
            }
        }
    }

    fn start_vote(&mut self, transaction: Transaction, meta: Meta) {
        let tx = transaction.id();
        if let Some(answer) = self.ask_at_once(|resource| resource.vote_at_once(&transaction, &meta)) {
            let vote = answer.unwrap_or(Vote::Aborted);
            let input = Some(Input::Vote { transaction, vote });
            return self.at_once.push_back(Answered { tx, input, panicked: answer.is_err() });
        }
        self.votes.began();
        let vote = Arc::clone(&self.resource).vote(transaction.clone(), meta);
        let call = async move { Answer::Voted(vote.await) };
        let stage = Stage::Voting { transaction, next: None };
        self.call(tx, stage, call.instrument(debug_span!("vote", %tx)));
    }

    fn start_verdict(&mut self, attempt: Attempt) {
        let (verdict, outcome) = (attempt.verdict.clone(), attempt.verdict.outcome());
        let tx = verdict.tx();
        if let Some(answer) = self.ask_at_once(|resource| resource.end_at_once(verdict.transaction(), outcome)) {
            let input = self.after(attempt, answer.unwrap_or(Progress::Again));
            if input.is_some() || answer.is_err() {
                self.at_once.push_back(Answered { tx, input, panicked: answer.is_err() });
            }
            return;
        }
        self.verdicts.began();
        let carried_out = Arc::clone(&self.resource).carry_out(verdict);
        let call = async move { Answer::CarriedOut(carried_out.await) };
        self.call(tx, Stage::CarryingOut(Some(attempt)), call.instrument(debug_span!("carry_out", %tx, ?outcome)));
    }

    /// What the resource can answer without a call; an error if it panicked.
    fn ask_at_once<T>(&self, ask: impl FnOnce(&dyn AnyResource) -> Option<T>) -> Option<Result<T, Panicked>> {
        catch_unwind(AssertUnwindSafe(|| ask(&*self.resource))).map_err(|_| Panicked).transpose()
    }

    /// What the node should hear after an attempt that ended so.
    fn after(&mut self, Attempt { verdict, number }: Attempt, progress: Progress) -> Option<Input> {
        let tx = verdict.tx();
        match progress {
            Progress::Finished => return Some(Input::Finished(tx)),
            Progress::Later => drop(self.busy.insert(tx, Stage::Later)),
            Progress::Again => {
                let pause = self.backoff.pause(tx, number);
                self.try_after(pause, Attempt { verdict, number: number.saturating_add(1) });
            }
        }
        None
    }

    fn call(&mut self, tx: TxId, stage: Stage, call: impl Future<Output = Answer> + Send + 'static) {
        let call = self.calls.spawn(call);
        self.asked.insert(call.id(), tx);
        self.busy.insert(tx, stage);
    }

    /// How many are in line for their votes, and to be carried out.
    pub(super) fn in_line(&self) -> (usize, usize) {
        (self.votes.len(), self.verdicts.len())
    }

    /// When the next turn comes, if that is not for a call to bring about by its end.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        self.votes.next_turn().into_iter().chain(self.verdicts.next_turn()).min()
    }

    /// Waits for the next call to end; `None` if there is none. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Answered> {
        if let Some(answered) = self.at_once.pop_front() {
            return Some(answered);
        }
        let ended = self.calls.join_next_with_id().await?;
        self.ended(ended)
    }

    /// A call that has ended already.
    pub(super) fn try_next(&mut self) -> Option<Answered> {
        if let Some(answered) = self.at_once.pop_front() {
            return Some(answered);
        }
        let ended = self.calls.try_join_next_with_id()?;
        self.ended(ended)
    }

    fn ended(&mut self, ended: Result<(Id, Answer), JoinError>) -> Option<Answered> {
        let (id, answer) = match ended {
            Ok((id, answer)) => (id, Some(answer)),
            Err(error) => (error.id(), None),
        };
        let tx = self.asked.remove(&id)?;
        let input = match self.busy.remove(&tx)? {
            Stage::Voting { transaction, next } => {
                self.votes.ended();
                if let Some(verdict) = next {
                    self.carry_out(verdict);
                }
                let vote = if let Some(Answer::Voted(vote)) = answer { vote } else { Vote::Aborted };
                Some(Input::Vote { transaction, vote })
            }
            Stage::CarryingOut(attempt) => {
                self.verdicts.ended();
                match (attempt, answer) {
                    // The node has heard that already.
                    (None, _) => None,
                    (Some(attempt), Some(Answer::CarriedOut(progress))) => self.after(attempt, progress),
                    (Some(attempt), _) => self.after(attempt, Progress::Again),
                }
            }
            // No call is about any of these.
            stage @ (Stage::ToVote { .. } | Stage::ToCarryOut { .. } | Stage::Later) => {
                self.busy.insert(tx, stage);
                None
            }
        };
        Some(Answered { tx, input, panicked: answer.is_none() })
    }
}
