//! The node's task: gathers inputs, steps the node, has what follows written, and then carries it out.
//!
//! It never waits for a disk, for the network or for the resource: the write is on a blocking thread, a transport does
//! not block, and each call of the resource is a task of its own. While a batch is written the node goes on stepping, and
//! all that gathers meanwhile is the next batch. After a failed write it does nothing more.

use alloc::vec::Vec;
use core::future::pending;

use ::tokio::{
    select,
    time::{Instant, sleep_until},
};

use super::{
    Cause, Error, Options, Resource,
    answers::Answers,
    clock::Clock,
    handle::{Delivery, Mailbox, Request},
    jobs::{Answered, Jobs},
    outcomes::Outcomes,
    telemetry::Telemetry,
    writer::{Writer, Written},
};
use crate::{
    NodeId, Outbox, Refusal, Released, TxId,
    commit::{Decision, Input, Message, Node, Outcome, Record, Status, Transaction, TxRange},
    perform::{Storage, Transport, driver::receive},
};

/// How many packets, or requests, are taken before the next look at what else there is.
const AT_ONCE: usize = 64;

/// All that the task holds.
pub(super) struct Task<S, T, R> {
    pub(super) node: Node,
    pub(super) outbox: Outbox<Record, Message, Decision>,
    pub(super) writer: Writer<S>,
    pub(super) transport: T,
    pub(super) jobs: Jobs<R>,
    pub(super) mailbox: Mailbox,
    pub(super) answers: Answers,
    pub(super) outcomes: Outcomes,
    pub(super) clock: Clock,
    pub(super) telemetry: Telemetry,
    pub(super) options: Options,
    /// From the shutdown on: nothing more is asked of the resource, and time stands still.
    pub(super) closing: bool,
}

impl<S, T, R> Task<S, T, R>
where
    S: Storage<Error: Send + Sync> + Send + 'static,
    T: Transport + Send + 'static,
    R: Resource,
{
    /// Runs until the node is shut down, or a write fails.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        let mut result = self.work().await;
        if result.is_ok() {
            result = self.finish().await;
        }
        let result = result.map_err(Error::Write);
        if let Err(error) = &result {
            tracing::error!(error = error as &dyn core::error::Error, "stopped");
            self.mailbox.end.send_replace(Some(error.clone()));
        } else {
            tracing::info!("stopped");
        }
        let Self { writer, mailbox, jobs, .. } = self;
        // Whoever still waits for an answer hears that there will be none.
        drop((mailbox.requests, mailbox.inbox, jobs));
        writer.close().await;
        drop(mailbox.end);
        result
    }

    /// Takes whatever comes, until nothing more shall.
    async fn work(&mut self) -> Result<(), Cause> {
        let mut packets: Vec<Delivery> = Vec::with_capacity(AT_ONCE);
        let mut requests: Vec<Request> = Vec::with_capacity(AT_ONCE);
        loop {
            self.advance();
            // What is behind a write takes memory: while that is much, others must wait, and at last drop.
            let room = self.outbox.len() < self.options.ahead;
            let wake = self.node.deadline().filter(|_| room).map(|deadline| self.clock.instant(deadline));
            select! {
                written = self.writer.written() => self.written(written?),
                Some(answered) = self.jobs.next() => self.answered(answered),
                taken = self.mailbox.requests.recv_many(&mut requests, AT_ONCE), if room => {
                    if taken == 0 {
                        return Ok(());
                    }
                    for request in requests.drain(..) {
                        if matches!(request, Request::Shutdown) {
                            return Ok(());
                        }
                        self.serve(request);
                    }
                }
                _ = self.mailbox.inbox.recv_many(&mut packets, AT_ONCE), if room => {
                    for (from, messages) in packets.drain(..) {
                        self.receive(from, messages);
                    }
                }
                () = sleep(wake) => {}
            }
        }
    }

    /// Comes to rest: what the resource was asked is answered, what was stepped is written, what that releases is sent.
    async fn finish(&mut self) -> Result<(), Cause> {
        self.closing = true;
        let grace = Instant::now() + self.options.grace;
        let mut patient = true;
        loop {
            self.advance();
            let waits = patient && !self.jobs.is_empty();
            if !waits && self.outbox.is_empty() && self.writer.is_idle() && self.answers.is_empty() {
                return Ok(());
            }
            select! {
                written = self.writer.written() => self.written(written?),
                Some(answered) = self.jobs.next(), if waits => self.answered(answered),
                () = sleep_until(grace), if waits => patient = false,
            }
        }
    }

    /// Does what is due, and begins the next write if none is under way.
    fn advance(&mut self) {
        let now = self.clock.now();
        if !self.closing && self.node.deadline().is_some_and(|deadline| deadline <= now) {
            // The clock does not go back.
            let _ = self.step(Input::Tick(now));
        }
        // What waits for no write may go first.
        while let Some(released) = self.outbox.take_free() {
            self.carry_out(released);
        }
        if let Some(batch) = self.outbox.take() {
            self.answers.batch_taken();
            self.writer.write(batch);
        } else if self.writer.is_idle() {
            self.answers.all_durable(&self.outcomes);
        }
        self.telemetry.note(self.node.metrics(), self.outcomes.waiting());
    }

    fn step(&mut self, input: Input) -> Result<(), Refusal> {
        self.outbox.step(&mut self.node, input)
    }

    fn receive(&mut self, from: NodeId, messages: Vec<Message>) {
        receive(&mut self.node, &mut self.outbox, from, messages);
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Begin { participants, meta, reply } => {
                let result = self.begin(&participants, meta);
                self.answers.push(reply, result);
            }
            Request::BeginAs { transaction, reply } => {
                let result = self.begin_as(transaction);
                self.answers.push(reply, result);
            }
            Request::Outcome { tx, reply } => match (self.outcomes.get(tx), self.node.status(tx)) {
                (Some(outcome), _) | (None, Status::Open { outcome: Some(outcome), .. }) => {
                    self.answers.push(reply, Ok(outcome));
                }
                // Its outcome may be behind the same write as the news that it is over.
                (None, Status::Retired) => self.answers.push_known(reply, tx),
                (None, Status::Open { outcome: None, .. } | Status::Unknown) => self.outcomes.wait(tx, reply),
            },
            Request::Status { tx, reply } => {
                let status = self.node.status(tx);
                self.answers.push(reply, Ok(status));
            }
            Request::Inquire { tx, reply } => {
                let result = self.step(Input::Inquire(tx)).map_err(Error::from);
                self.answers.push(reply, result);
            }
            // These show the present, and promise nothing. Who asked may be gone.
            Request::InDoubt { reply } => drop(reply.send(Ok(self.node.in_doubt()))),
            Request::Metrics { reply } => drop(reply.send(Ok(self.node.metrics()))),
            Request::Shutdown => {}
        }
    }

    fn begin(&mut self, participants: &[NodeId], meta: Vec<u8>) -> Result<TxId, Error> {
        let origin = self.node.config().id;
        // A number that is refused would be lost: so it is looked at first under the last one of all, which is never given.
        let nameless = Transaction::new(TxId { origin, seq: u64::MAX }, participants, meta)?;
        self.node.check_new(&nameless)?;
        let tx = self.node.allocate().ok_or(Error::NumbersUsedUp)?;
        self.begin_as(Transaction::new(tx, participants, nameless.meta())?)?;
        Ok(tx)
    }

    fn begin_as(&mut self, transaction: Transaction) -> Result<(), Error> {
        let tx = transaction.id();
        let is_new = self.node.status(tx) == Status::Unknown;
        self.step(Input::Begin(transaction))?;
        if is_new {
            tracing::debug!(%tx, "begun");
            self.outcomes.begun(tx);
        }
        Ok(())
    }

    /// The resource has answered. What else it has answered already goes into the same write.
    fn answered(&mut self, first: Answered) {
        let mut next = Some(first);
        while let Some(Answered { input, panicked }) = next {
            if panicked {
                self.telemetry.panicked();
            }
            if let Some(Input::Vote { tx, vote }) = &input {
                tracing::debug!(%tx, ?vote, "voted");
            }
            if let Some(input) = input {
                // The node counts a refused answer.
                let _ = self.step(input);
            }
            next = self.jobs.try_next();
        }
    }

    fn written(&mut self, Written { batch, took }: Written) {
        self.telemetry.written(batch.records().len(), took);
        let over = |record: &Record| if let Record::Retired(range) = record { Some(*range) } else { None };
        let over: Vec<TxRange> = batch.records().iter().filter_map(over).collect();
        self.carry_out(batch.persisted());
        over.into_iter().for_each(|range| self.outcomes.over(range));
        self.answers.batch_written(&self.outcomes);
    }

    fn carry_out(&mut self, released: Released<Message, Decision>) {
        let (packets, decisions) = released.into_parts();
        for packet in packets {
            self.transport.send(packet);
        }
        for decision in decisions {
            self.decide(decision);
        }
    }

    fn decide(&mut self, decision: Decision) {
        match decision {
            // After a restart these come again.
            Decision::Vote(_) | Decision::Commit(_) | Decision::Abort(_) if self.closing => {}
            Decision::Vote(transaction) => self.jobs.vote(transaction),
            Decision::Commit(tx) => self.verdict(tx, Outcome::Committed),
            Decision::Abort(tx) => self.verdict(tx, Outcome::Aborted),
            Decision::Decided { tx, outcome } => {
                self.known(tx, outcome);
                self.jobs.resource().decided(tx, outcome);
            }
            Decision::Completed { tx, outcome } => {
                tracing::debug!(%tx, ?outcome, "completed");
                self.jobs.resource().completed(tx, outcome);
            }
        }
    }

    fn verdict(&mut self, tx: TxId, outcome: Outcome) {
        self.known(tx, outcome);
        self.jobs.carry_out(tx, outcome);
    }

    /// The outcome of `tx` is known here, perhaps not for the first time.
    fn known(&mut self, tx: TxId, outcome: Outcome) {
        if self.outcomes.get(tx).is_none() {
            let begun = self.outcomes.settle(tx, outcome);
            tracing::debug!(%tx, ?outcome, "decided");
            self.telemetry.outcome(outcome, begun.map(|begun| begun.elapsed()));
        }
    }
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}
