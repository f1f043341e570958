//! The node's task: a [`Driver`], what comes to it, and the storage that writes for it.
//!
//! It never waits for a disk, for the network or for the resource: the write is on a blocking thread, a transport does
//! not block, and each call of the resource is a task of its own. While a batch is written the node goes on stepping, and
//! all that gathers meanwhile is the next batch. After a failed write it does nothing more.

use alloc::vec::Vec;
use core::{cmp::Ordering, future::pending, mem, time::Duration};

use ::tokio::{
    select,
    time::{Instant, sleep_until},
};

use super::{
    Cause, Error, Options,
    answers::Answers,
    clock::Clock,
    handle::{Delivery, Mailbox, Reply, Request},
    hands::Hands,
    jobs::Answered,
    outcomes::Until,
    stall::Watch,
    telemetry::Waiting,
    writer::{Writer, Written},
};
use crate::{
    NodeId, Refusal, Scope, TxId,
    commit::{EpochMessage, EpochTag, Input, Message, Meta, Node, Outcome, Record, Status, Time, Transaction, TxRange},
    perform::Driver,
};

/// How many packets, or requests, are taken before the next look at what else there is.
const AT_ONCE: usize = 64;

/// How long a begin waits for its participants to be met, which may be starting, too, or for a change of the members to be over.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many requests wait for that.
const EARLY: usize = 1_024;

/// All that the task holds.
pub(super) struct Task {
    pub(super) driver: Driver,
    pub(super) writer: Writer,
    pub(super) watch: Watch,
    pub(super) hands: Hands,
    pub(super) mailbox: Mailbox,
    pub(super) answers: Answers,
    pub(super) clock: Clock,
    pub(super) options: Options,
    /// What the node was told last of the time.
    pub(super) told: Option<Time>,
    /// Since when the records that gather have waited for a write to ride along with.
    pub(super) riding: Option<Instant>,
    /// How many transactions were fenced when it was last looked who waits for one.
    pub(super) fenced: usize,
    /// Requests that come too early, and until when they wait: the members are about to change, or they name a node which was not
    /// met yet.
    pub(super) early: Vec<(Instant, Request)>,
    /// Whether the node held begins when it was last looked.
    pub(super) holds: bool,
    /// From the shutdown on: nothing more is asked of the resource. After a restart it comes again.
    pub(super) closing: bool,
}

/// What the task waits for.
enum Event {
    Written(Result<Written, Cause>),
    Answered(Answered),
    Requests,
    Met(NodeId, u64, Option<EpochTag>),
    Packet(Delivery),
    /// All handles are gone.
    Deserted,
    /// A time-out ends, a record has waited long enough, or a write takes long.
    Due,
}

impl Task {
    /// Runs until the node is shut down, or a write fails.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        let mut result = self.work().await.map_err(Error::Write);
        if result.is_ok() {
            result = self.finish().await;
        }
        match &result {
            Err(error) => tracing::error!(error = error as &dyn core::error::Error, "stopped"),
            Ok(()) => tracing::info!("stopped"),
        }
        self.mailbox.end.send_replace(Some(result.clone()));
        let Self { writer, mailbox, hands, answers, .. } = self;
        // Callers who still wait for an answer hear that there will be none.
        drop((mailbox.requests, mailbox.inbox, hands, answers));
        match result {
            Err(Error::Stalled) => writer.abandon(),
            _ => writer.close().await,
        }
        drop(mailbox.end);
        result
    }

    /// Takes whatever comes, until the node is to stop.
    async fn work(&mut self) -> Result<(), Cause> {
        let mut requests: Vec<Request> = Vec::with_capacity(AT_ONCE);
        loop {
            self.advance();
            let (room, wake) = (self.has_room(), self.wake());
            // While a write hangs, requests are refused or answered at once: they need no room.
            let hears = room || self.watch.is_stalled();
            let event = select! {
                written = self.writer.written() => Event::Written(written),
                Some(answered) = self.hands.jobs.next() => Event::Answered(answered),
                taken = self.mailbox.requests.recv_many(&mut requests, AT_ONCE), if hears => {
                    if taken == 0 { Event::Deserted } else { Event::Requests }
                }
                Some((node, birth, epoch)) = self.mailbox.met.next(), if room => Event::Met(node, birth, epoch),
                Some(packet) = self.mailbox.inbox.next(), if room => Event::Packet(packet),
                () = sleep(wake) => Event::Due,
            };
            // Time-outs start at the time that the node was told last.
            self.tick();
            match event {
                Event::Written(written) => self.written(written?),
                Event::Answered(answered) => self.answered(answered),
                Event::Requests => {
                    self.meet_all();
                    for request in requests.drain(..) {
                        if matches!(request, Request::Shutdown) {
                            return Ok(());
                        }
                        self.serve(request);
                    }
                }
                Event::Met(node, birth, epoch) => self.meet(node, birth, epoch),
                Event::Packet(packet) => {
                    self.meet_all();
                    self.receive(packet);
                }
                Event::Deserted => return Ok(()),
                Event::Due => self.serve_early(),
            }
        }
    }

    /// Comes to rest: what the resource was asked is answered, what was stepped is written, what that releases is sent.
    /// Time stands still.
    async fn finish(&mut self) -> Result<(), Error> {
        self.closing = true;
        let grace = Instant::now() + self.options.grace;
        let mut patient = true;
        loop {
            self.advance();
            let waits = patient && !self.hands.jobs.is_empty();
            if !waits && self.driver.is_idle() && self.writer.is_idle() && self.answers.is_empty() {
                return Ok(());
            }
            let hangs_at = self.watch.since().map(|since| grace.max(since + self.options.grace));
            if hangs_at.is_some_and(|instant| instant <= Instant::now()) {
                return Err(Error::Stalled);
            }
            let wake = hangs_at.into_iter().chain(self.watch.next_look()).min();
            select! {
                written = self.writer.written() => self.written(written.map_err(Error::Write)?),
                Some(answered) = self.hands.jobs.next(), if waits => self.answered(answered),
                () = sleep_until(grace), if waits => patient = false,
                () = sleep(wake) => {}
            }
        }
    }

    /// What waits for a write takes memory. While that is much, nothing is done that leads to more of it: others must wait,
    /// and at last drop.
    fn has_room(&self) -> bool {
        self.driver.waiting().saturating_add(self.answers.len()) < self.options.ahead
            && self.driver.unwritten_bytes() < self.options.unwritten_bytes
    }

    /// When there is something to do even if nothing comes.
    fn wake(&self) -> Option<Instant> {
        let time_out = self.node().deadline().map(|deadline| self.clock.instant(deadline));
        let more = time_out.into_iter().chain(self.hands.jobs.next_turn()).filter(|_| self.has_room());
        let ride = self.riding.filter(|_| self.writer.is_idle()).map(|since| since + self.options.linger);
        let early = self.early.iter().map(|(until, _)| *until).filter(|_| self.has_room());
        let looks = self.watch.next_look().into_iter().chain(self.hands.company.next_look());
        more.chain(ride).chain(early).chain(looks).min()
    }

    /// Tells the node how late it is, unless it knows and nothing is due. Its time stands still while there is no room.
    fn tick(&mut self) {
        if !self.has_room() {
            return;
        }
        let now = self.clock.now();
        if self.told != Some(now) || self.node().deadline().is_some_and(|deadline| deadline <= now) {
            self.told = Some(now);
            // The clock never goes back.
            let _ = self.driver.push(Input::Tick(now));
        }
    }

    /// Carries out what rests on nothing unwritten, begins the next write if it is time, and gives answers.
    fn advance(&mut self) {
        self.driver.release(&mut self.hands);
        if self.driver.has_records() {
            self.riding.get_or_insert_with(Instant::now);
        }
        if self.writer.is_idle()
            && self.must_write()
            && let Some(batch) = self.driver.begin(&mut self.hands)
        {
            self.riding = None;
            self.watch.began();
            self.writer.write(batch);
        }
        if !self.closing && self.has_room() {
            let node = self.driver.node();
            self.hands.jobs.start(|tx| node.awaits_vote(tx));
        }
        self.let_go();
        self.answers.give(|scope| self.driver.is_durable(scope), &self.hands.outcomes);
        self.watch.look(&self.hands.telemetry);
        self.hands.company.look(self.driver.node(), &self.hands.telemetry);
        if self.watch.is_stalled() {
            self.answers.fail(&Error::Stalled);
            self.hands.fail(&Error::Stalled);
        }
        if let Some(failure) = self.driver.recorder_failure() {
            tracing::error!(failure, "nothing more is recorded");
        }
        let holds = self.node().holds_begins();
        if mem::replace(&mut self.holds, holds) && !holds {
            self.serve_early();
        }
        let metrics = self.node().metrics();
        if self.fenced != metrics.fenced {
            self.fenced = metrics.fenced;
            let node = self.driver.node();
            self.hands.outcomes.broken(|tx| matches!(node.status(tx), Status::Fenced(_)));
        }
        let waiting = Waiting {
            callers: self.hands.outcomes.waiting(),
            bytes: self.driver.unwritten_bytes(),
            in_line: self.hands.jobs.in_line(),
        };
        self.hands.telemetry.note(metrics, waiting);
    }

    /// Whether what gathers must not wait for more.
    fn must_write(&self) -> bool {
        let Some(since) = self.riding else { return false };
        self.driver.is_urgent() || self.closing || !self.has_room() || since.elapsed() >= self.options.linger
    }

    fn node(&self) -> &Node {
        self.driver.node()
    }

    /// Steps the node with this packet, and with others that have come.
    fn receive(&mut self, first: Delivery) {
        self.listen(first.from, &first.messages);
        self.driver.receive(first.from, &first.messages);
        for _ in 1..AT_ONCE {
            if !self.has_room() {
                break;
            }
            let Some(Delivery { from, messages, .. }) = self.mailbox.inbox.try_next() else { break };
            self.listen(from, &messages);
            self.driver.receive(from, &messages);
        }
    }

    /// Notes what is of use to a node that is behind.
    fn listen(&mut self, from: NodeId, messages: &[Message]) {
        let own = self.node().epoch_number();
        let is_later = |message: &Message| match message {
            Message::About { transaction, .. } => Some(transaction.epoch()) > own,
            Message::Epoch { number, .. } => *number > own,
            Message::Retired { .. } | Message::RetiredNoted { .. } => false,
        };
        if own.is_none() || messages.iter().any(is_later) {
            self.hands.company.heard(from, self.driver.node());
        }
        self.take_contacts(from, messages);
    }

    /// As long as it is in no epoch, this node answers those who speak of one. It takes contacts only of whom it believes, or
    /// anyone could have it keep, and dial, as many addresses as he likes.
    fn take_contacts(&mut self, from: NodeId, messages: &[Message]) {
        if !self.hands.is_newcomer || !self.node().believes(from) {
            return;
        }
        for message in messages {
            if let Message::Epoch { what, .. } = message
                && let EpochMessage::Invite(membership) | EpochMessage::Told { membership, .. } = &**what
            {
                self.hands.transport.learn(membership);
            }
        }
    }

    /// Tells the transport, once in an epoch, who has left for good. Managers hear who has noted the epoch, and tell those that
    /// left as long as they must be told; nobody else has to.
    fn let_go(&mut self) {
        let node = self.driver.node();
        if !self.hands.has_left || !self.driver.is_durable(node.epoch_scope()) {
            return;
        }
        let Some(epoch) = node.epoch() else { return };
        if epoch.may_leave || !node.config().cluster.is_manager(node.config().id) {
            self.hands.has_left = false;
            self.hands.transport.let_go(&epoch.left);
        }
    }

    /// Serves a request, or has it wait because it comes too early.
    fn serve(&mut self, request: Request) {
        if self.is_early(&request) && self.early.len() < EARLY {
            self.early.push((Instant::now() + PATIENCE, request));
        } else {
            self.serve_now(request);
        }
    }

    /// Serves what has waited long enough, or comes no longer too early.
    fn serve_early(&mut self) {
        let now = Instant::now();
        for (until, request) in mem::take(&mut self.early) {
            if now < until && self.is_early(&request) {
                self.early.push((until, request));
            } else {
                self.serve_now(request);
            }
        }
    }

    /// A name that was given before a change of the members is of no use after it, so a begin under one does not wait for that,
    /// and a request for names does.
    fn is_early(&self, request: &Request) -> bool {
        if matches!(request, Request::Begin { .. } | Request::Names { .. }) && self.node().holds_begins() {
            return true;
        }
        let most = self.node().config().cluster.limits().participants;
        let named = request.participants().filter(|participants| participants.len() <= most);
        named.is_some_and(|participants| self.node().strangers(participants).next().is_some())
    }

    fn serve_now(&mut self, request: Request) {
        match request {
            // Nothing is begun that nobody may hear of.
            Request::Begin { reply, .. } if self.watch.is_stalled() => drop(reply.send(Err(Error::Stalled))),
            Request::Names { reply, .. } if self.watch.is_stalled() => drop(reply.send(Err(Error::Stalled))),
            Request::BeginAs { reply, .. }
            | Request::Prepared { reply, .. }
            | Request::Inquire { reply, .. }
            | Request::Resolve { reply, .. }
            | Request::Change { reply, .. }
                if self.watch.is_stalled() =>
            {
                drop(reply.send(Err(Error::Stalled)));
            }
            Request::Names { count, reply } => match self.driver.push(Input::Names { count }) {
                Ok(()) => self.hands.namings.push_back(Some(reply)),
                Err(refusal) => drop(reply.send(Err(refusal.into()))),
            },
            Request::Prepared { transaction, meta, reply } => {
                let tx = transaction.id();
                let result = self.driver.push(Input::Prepared { transaction, meta }).map_err(Error::from);
                self.answers.push(self.scope(tx), reply, result);
            }
            Request::Begin { participants, meta, reply } => {
                match self.driver.push(Input::Begin { participants, meta }) {
                    Ok(()) => self.hands.begins.push_back((Some(reply), Instant::now())),
                    // This promises nothing.
                    Err(refusal) => drop(reply.send(Err(refusal.into()))),
                }
            }
            Request::BeginAs { transaction, meta, must_be_given, reply } => {
                let tx = transaction.id();
                let is_good = !must_be_given || self.is_given(&transaction);
                let begun = if is_good { self.begin_as(transaction, meta) } else { Err(Refusal::NotNamedHere) };
                let result = begun.map_err(Error::from);
                self.answers.push(self.scope(tx), reply, result);
            }
            Request::Outcome { tx, until, reply } => self.tell_outcome(tx, until, reply),
            Request::Status { tx, reply } => {
                let status = self.node().status(tx);
                self.answers.push(self.scope(tx), reply, Ok(status));
            }
            Request::Inquire { tx, reply } => {
                let result = self.driver.push(Input::Inquire(tx)).map_err(Error::from);
                self.answers.push(self.scope(tx), reply, result);
            }
            Request::Finished { tx, reply } => {
                self.hands.jobs.finished(tx);
                let result = self.driver.push(Input::Finished(tx)).map_err(Error::from);
                self.answers.push(self.scope(tx), reply, result);
            }
            Request::Patience { tx, patience, reply } => {
                let result = self.driver.push(Input::Patience { tx, patience }).map_err(Error::from);
                self.answers.push(self.scope(tx), reply, result);
            }
            Request::Resolve { tx, outcome, reply } => {
                let result = self.driver.push(Input::Resolve { tx, outcome }).map_err(Error::from);
                if result.is_ok() {
                    tracing::warn!(%tx, ?outcome, "resolved by an operator");
                    if self.node().status(tx) == Status::Unknown {
                        // It is given up, and nobody will hear of it here.
                        self.hands.outcomes.over(TxRange::only(tx), |_| None);
                    }
                }
                self.answers.push(self.scope(tx), reply, result);
            }
            Request::Change { membership, reply } => {
                let asked = membership.clone();
                let result = self.driver.push(Input::Change(membership)).map_err(Error::from);
                if result.is_ok() {
                    self.hands.transport.learn(&asked);
                }
                self.answers.push(self.node().epoch_scope(), reply, result);
            }
            Request::Epoch { reply } => {
                let (epoch, scope) = (self.node().epoch(), self.node().epoch_scope());
                self.answers.push(scope, reply, Ok(epoch));
            }
            // These show the present, and promise nothing. The caller may be gone.
            Request::InDoubt { reply } => drop(reply.send(Ok(self.node().in_doubt()))),
            Request::Open { limit, reply } => drop(reply.send(Ok(self.node().list_open(limit)))),
            // What is remembered was decided, and so it rests on nothing unwritten.
            Request::Recent { limit, reply } => drop(reply.send(Ok(self.hands.outcomes.recent(limit)))),
            Request::Violations { reply } => drop(reply.send(Ok(self.node().violations()))),
            #[cfg(feature = "record")]
            Request::Recording { reply } => {
                drop(reply.send(Ok(self.driver.recorder().map(crate::perform::record::Recorder::progress))));
            }
            Request::Metrics { reply } => drop(reply.send(Ok(self.node().metrics()))),
            Request::Shutdown => {}
        }
    }

    fn tell_outcome(&mut self, tx: TxId, until: Until, reply: Reply<Outcome>) {
        let known = self.hands.outcomes.get(tx);
        match (until, known, self.node().status(tx)) {
            // What is remembered was decided, and so it rests on nothing unwritten.
            (Until::Known, Some(outcome), _) => drop(reply.send(Ok(outcome))),
            (Until::Known, None, Status::Open { outcome: Some(outcome), .. }) => {
                self.answers.push(self.scope(tx), reply, Ok(outcome));
            }
            // Its outcome may be behind the same write as the news that it is over.
            (_, _, Status::Retired { outcome: None }) => self.answers.push_known(self.scope(tx), reply, tx),
            (_, _, Status::Retired { outcome: Some(outcome) }) => {
                self.answers.push(self.scope(tx), reply, Ok(outcome));
            }
            // The node will never say.
            (_, _, Status::Fenced(_)) => self.answers.push(self.scope(tx), reply, Err(Refusal::Broken.into())),
            (_, _, Status::Open { outcome, .. }) => self.hands.outcomes.wait(tx, until, known.or(outcome), reply),
            (_, _, Status::Unknown) => self.hands.outcomes.wait(tx, until, known, reply),
        }
    }

    /// Whoever was met before something was said is known when that is heard.
    fn meet_all(&mut self) {
        while let Some((node, birth, epoch)) = self.mailbox.met.try_next() {
            self.meet(node, birth, epoch);
        }
    }

    fn meet(&mut self, node: NodeId, birth: u64, epoch: Option<EpochTag>) {
        let own = self.node().epoch_number();
        if own.is_none() || epoch.is_some_and(|told| Some(told.number) > own) {
            self.hands.company.heard(node, self.driver.node());
        }
        if let Err(refusal) = self.driver.push(Input::Met { node, birth, epoch }) {
            tracing::warn!(%node, %refusal, "a node was met");
        }
        self.serve_early();
    }

    /// What an answer about `tx` rests on.
    fn scope(&self, tx: TxId) -> Scope {
        self.node().scope(tx)
    }

    /// Whether a transaction manager of its epoch may have given the name.
    fn is_given(&self, transaction: &Transaction) -> bool {
        let (node, tx) = (self.node(), transaction.id());
        let is_manager = || node.config().cluster.is_manager(tx.origin);
        let was_member = || node.epoch().is_some_and(|epoch| epoch.left.contains(&tx.origin));
        let may_give = match node.tag().map(|tag| transaction.epoch().cmp(&tag.number)) {
            Some(Ordering::Less) => is_manager() || was_member(),
            Some(Ordering::Equal) => is_manager(),
            // It is refused: who its managers are is not known here.
            Some(Ordering::Greater) | None => true,
        };
        may_give && node.may_have_given(tx)
    }

    fn begin_as(&mut self, transaction: Transaction, meta: Meta) -> Result<(), Refusal> {
        let tx = transaction.id();
        let is_new = self.node().status(tx) == Status::Unknown;
        self.driver.push(Input::BeginAs { transaction, meta })?;
        if is_new {
            tracing::debug!(%tx, "begun");
            self.hands.outcomes.begun(tx, Instant::now());
        }
        Ok(())
    }

    /// The resource has answered. What else it has answered already goes into the same write.
    fn answered(&mut self, first: Answered) {
        let mut next = Some(first);
        while let Some(Answered { tx, input, panicked }) = next {
            if panicked {
                let call = if matches!(input, Some(Input::Vote { .. })) { "vote" } else { "carry_out" };
                self.hands.telemetry.panicked(Some(tx), call);
            }
            if let Some(Input::Vote { vote, .. }) = &input {
                tracing::debug!(%tx, ?vote, "voted");
            }
            if let Some(input) = input
                && let Err(refusal) = self.driver.push(input)
            {
                self.hands.telemetry.answer_refused(refusal);
            }
            next = self.hands.jobs.try_next();
        }
    }

    fn written(&mut self, Written { batch, took }: Written) {
        self.watch.ended(&self.hands.telemetry);
        self.hands.telemetry.written(batch.records().len(), took);
        // What gathered meanwhile had nothing to ride along with.
        self.riding = None;
        let over = |record: &Record| if let Record::Retired(range) = record { Some(*range) } else { None };
        let over: Vec<TxRange> = batch.records().iter().filter_map(over).collect();
        if self.driver.finish(batch, &mut self.hands).is_err() {
            // There is no other driver.
            tracing::error!("a batch has come back that is another driver's");
        }
        let node = self.driver.node();
        over.into_iter().for_each(|range| self.hands.outcomes.over(range, |tx| node.status(tx).outcome()));
    }
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}
