//! What a node's effects are carried out with: the transport, the calls to the resource, and the callers that wait.
//!
//! To the [`Driver`](crate::perform::Driver) it is a transport and a resource as any other. A vote or a verdict starts a
//! call, whose answer comes later.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc, vec::Vec};
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use ::tokio::{task::JoinSet, time::Instant};

use super::{
    Cause, Error,
    company::Company,
    contacts::Contacts,
    erased::AnyResource,
    handle::Reply,
    jobs::{Jobs, Verdict},
    outcomes::Outcomes,
    telemetry::Telemetry,
};
use crate::{
    Packet, TxId,
    commit::{GivenNames, Membership, Message, Meta, Outcome, Promised, Transaction, TxRange, Vote},
    perform::{self, Progress, RecoverError, Transport},
};

pub(super) struct Hands {
    pub(super) transport: Box<dyn Transport + Send>,
    pub(super) jobs: Jobs,
    /// Who began a transaction and has not heard its name, and since when. Names come in this order. Nobody waits any more
    /// where the caller was told that a write hangs.
    pub(super) begins: VecDeque<(Option<Reply<TxId>>, Instant)>,
    /// Who asked for names and has not heard them, in the same way.
    pub(super) namings: VecDeque<Option<Reply<GivenNames>>>,
    pub(super) outcomes: Outcomes,
    pub(super) telemetry: Telemetry,
    pub(super) contacts: Contacts,
    pub(super) company: Company,
    /// Whether the node is in no epoch yet.
    pub(super) is_newcomer: bool,
    /// Whether the transport has yet to be told who has left the membership for good.
    pub(super) has_left: bool,
}

impl Hands {
    /// Has the resource recover, as a task of its own.
    pub(super) async fn recover(&mut self, promised: Vec<Promised>) -> Result<Vec<Promised>, Cause> {
        // If nobody waits for this any more, the task is aborted.
        let (resource, mut call) = (Arc::clone(self.jobs.resource()), JoinSet::new());
        call.spawn(resource.recover(promised));
        match call.join_next().await {
            Some(Ok(recovered)) => recovered.map_err(Cause::from),
            Some(Err(panic)) => {
                self.telemetry.panicked(None, "recover");
                Err(Arc::new(panic))
            }
            None => Ok(Vec::new()),
        }
    }

    fn verdict(&mut self, verdict: Verdict) -> Progress {
        self.known(verdict.tx(), verdict.outcome());
        self.jobs.carry_out(verdict);
        Progress::Later
    }

    /// Reports something to the resource, perhaps of `tx`. A panic must not end the node: after a restart the same report comes
    /// again, and would end it again.
    fn report(&self, tx: Option<TxId>, call: &'static str, report: impl FnOnce(&dyn AnyResource)) {
        if catch_unwind(AssertUnwindSafe(|| report(&**self.jobs.resource()))).is_err() {
            self.telemetry.panicked(tx, call);
        }
    }

    /// Tells all who wait for a name or for an outcome that they will not hear soon.
    pub(super) fn fail(&mut self, error: &Error) {
        for (reply, _) in &mut self.begins {
            let _ = reply.take().map(|reply| reply.send(Err(error.clone())));
        }
        for reply in &mut self.namings {
            let _ = reply.take().map(|reply| reply.send(Err(error.clone())));
        }
        self.outcomes.fail(error);
    }

    /// The outcome of `tx` is known here, perhaps not for the first time.
    fn known(&mut self, tx: TxId, outcome: Outcome) {
        if self.outcomes.get(tx).is_none() {
            let took = self.outcomes.settle(tx, outcome);
            tracing::debug!(%tx, ?outcome, "decided");
            self.telemetry.outcome(outcome, took);
        }
    }
}

impl Transport for Hands {
    fn send(&mut self, packet: Packet<Message>) {
        self.transport.send(packet);
    }
}

impl perform::Resource for Hands {
    /// [`spawn`](super::spawn) has waited for that.
    fn recover(&mut self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }

    fn vote(&mut self, transaction: &Transaction, meta: &Meta) -> Option<Vote> {
        self.jobs.vote(transaction.clone(), meta.clone());
        None
    }

    fn commit(&mut self, transaction: &Transaction, meta: &Meta) -> Progress {
        self.verdict(Verdict::Commit(transaction.clone(), meta.clone()))
    }

    fn abort(&mut self, transaction: &Transaction, meta: Option<&Meta>) -> Progress {
        self.verdict(Verdict::Abort(transaction.clone(), meta.cloned()))
    }

    fn begun(&mut self, tx: TxId) {
        tracing::debug!(%tx, "begun");
        if let Some((reply, since)) = self.begins.pop_front() {
            self.outcomes.begun(tx, since);
            // The caller may be gone.
            let _ = reply.map(|reply| reply.send(Ok(tx)));
        }
    }

    fn named(&mut self, given: GivenNames) {
        // The caller may be gone.
        let _ = self.namings.pop_front().flatten().map(|reply| reply.send(Ok(given)));
    }

    fn epoch(&mut self, number: u64, membership: &Membership) {
        tracing::info!(number, "in another epoch");
        self.contacts.enter(number, membership);
        (self.is_newcomer, self.has_left) = (false, true);
        self.company.caught_up();
        self.transport.enter(number, membership);
        self.report(None, "epoch", |resource| resource.epoch(number, membership));
    }

    fn changed(&mut self, number: u64, is_mine: bool) {
        tracing::info!(number, is_mine, "the membership has changed");
        self.report(None, "changed", |resource| resource.changed(number, is_mine));
    }

    fn decided(&mut self, tx: TxId, outcome: Outcome) {
        self.known(tx, outcome);
        self.report(Some(tx), "decided", |resource| resource.decided(tx, outcome));
    }

    fn completed(&mut self, tx: TxId, outcome: Outcome) {
        tracing::debug!(%tx, ?outcome, "completed");
        self.outcomes.completed(tx, outcome);
        self.report(Some(tx), "completed", |resource| resource.completed(tx, outcome));
    }

    fn forget(&mut self, range: TxRange) {
        self.report(Some(range.first()), "forget", |resource| resource.forget(range));
    }
}
