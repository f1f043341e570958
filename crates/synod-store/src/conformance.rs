//! Does a store keep its contract? Over the wire, with crashes by SIGKILL.
//!
//! [`store`] plays the agent to a store that runs as a process of its own, in whatever language. It puts it through everything
//! that [the suite for resources](synod::perform::conformance::resource_async) has, and through what only a process and a wire
//! can do wrong; if it offers `Stage`, through what it owes for that, too, and plays the application.
//!
//! ```no_run
//! # async fn run() {
//! use synod_store::conformance::{self, Program};
//!
//! let ledger = Program::new(["python", "ledger.py", "ledger.db", "{address}"])
//!     .shows(["sqlite3", "ledger.db", "SELECT count(*) FROM entry WHERE about = '{work}'"]);
//! conformance::store(&ledger).await.assert();
//! # }
//! ```
//!
//! The same from a command line:
//! `cargo run -p synod-store --features conformance --example conformance -- python ledger.py ledger.db {address} -- sqlite3
//! ledger.db "SELECT count(*) FROM entry WHERE about = '{work}'"`.

mod staging;

use std::{process::Stdio, time::Duration};

use synod::{
    NodeId, TxId,
    commit::{ClusterId, Meta, Promised, ResourceKind, Transaction, Vote},
    perform::conformance::{Report, ResourceUnderTest, SceneError, Verdict, resource_async},
};
use synod_client::Agent;
use synod_grpc::{Security, tonic::Code};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{Error, Options, Store, StoreResource, store::End};

/// Whose store it is.
const CLUSTER: ClusterId = ClusterId(*b"conformance test");
const PARTICIPANT: NodeId = NodeId(13);

/// How long the process may take until it answers.
const START: Duration = Duration::from_secs(30);

/// Where the numbers of the works begin that are not the other suite's.
const OWN: u64 = 1 << 32;

/// How often the process is killed while much is under way, and how much that is.
const KILLS: u64 = 8;
const AT_ONCE: u64 = 24;

/// A store to be tested: how it is started, and how one sees what it shows.
///
/// See the [module](self) for an example.
#[derive(Clone, Debug)]
pub struct Program {
    serve: Vec<String>,
    shows: Vec<String>,
    loses: Vec<String>,
}

impl Program {
    /// The program that serves the store, and its arguments, in which `{address}` stands for where it is to listen, in plain
    /// text. It is killed by SIGKILL, so it must be the very process that serves, and no shell around it; what it has made
    /// durable it must find when it is started again. Begin with a new, empty store.
    pub fn new(serve: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { serve: serve.into_iter().map(Into::into).collect(), shows: Vec::new(), loses: Vec::new() }
    }

    /// The program that prints how many times a work shows to everyone, in digits, and its arguments, in which `{work}`
    /// stands for what the transaction is about, such as `work-5`: 0 before it is committed, 1 from then on, and 2 if a commit
    /// that came twice was carried out twice. It runs while the store does.
    pub fn shows(mut self, shows: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.shows = shows.into_iter().map(Into::into).collect();
        self
    }

    /// The program that takes a promise away behind the store's back, while that is down, and its arguments, in which `{work}`
    /// stands for what the transaction is about. Unless given, it is not tried what the store says of a lost promise.
    pub fn loses(mut self, loses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.loses = loses.into_iter().map(Into::into).collect();
        self
    }
}

/// Puts a store through all that its agent relies on. It takes a minute or two.
pub async fn store(program: &Program) -> Report {
    let mut scene = Scene { program, running: None, next: OWN };
    let mut report = resource_async(&mut scene).await;
    scene.check(&mut report,
        "what is another's is refused, and changes nothing",
        "a store is one participant's, in one cluster: an agent with the wrong address must not end what is promised to \
         another, nor be promised anything",
        Scene::anothers).await;
    scene.check(&mut report,
        "of one transaction that is prepared twice at once there is one promise",
        "an agent may die and come again while its first call is still under way: the answers are the same, and the work is \
         held, and done, once",
        Scene::twice_at_once).await;
    scene
        .check(
            &mut report,
            "every promise that was answered outlives SIGKILL, at whatever moment that comes",
            "the promise is durable before the answer leaves: the agent votes with it at once, and others commit",
            Scene::promises_killed,
        )
        .await;
    scene
        .check(
            &mut report,
            "every end that was answered outlives SIGKILL, and every other one is carried out when it comes again",
            "END_DONE is durable before it is said, and a commit is carried out once, wherever the crash came",
            Scene::ends_killed,
        )
        .await;
    scene.check_staging(&mut report).await;
    report
}

/// The same for nothing but what a store owes that offers `Stage`: for one that is known to keep the rest.
pub async fn staging(program: &Program) -> Report {
    let mut report = Report::new("store that stages");
    Scene { program, running: None, next: OWN }.check_staging(&mut report).await;
    report
}

/// The number of a work, and the vote on it.
type Voted = (u64, Result<Vote, Error>);

/// What a check of this module has found.
type Found = Result<(), SceneError>;

struct Scene<'a> {
    program: &'a Program,
    running: Option<(Store, Child)>,
    /// The number of the next work of a check of this module.
    next: u64,
}

impl ResourceUnderTest for Scene<'_> {
    type Resource = StoreResource;

    fn kind(&self) -> ResourceKind {
        Store::KIND
    }

    fn work(&self, number: u64) -> Promised {
        work(number)
    }

    async fn open(&mut self) -> Result<StoreResource, SceneError> {
        let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let mut child = command(&self.program.serve, "{address}", &address)?.kill_on_drop(true).spawn()?;
        let options = Options::new().keep(Duration::ZERO).answer(Duration::from_secs(10));
        let store = Store::new(&address, PARTICIPANT, Security::Plaintext, options)?;
        let end = Instant::now() + START;
        loop {
            match store.check(CLUSTER).await {
                Ok(()) => break,
                Err(error) if !error.is_away() || Instant::now() >= end => return Err(error.into()),
                Err(_) => {}
            }
            if let Some(status) = child.try_wait()? {
                return Err(format!("the store has ended with {status} before it answered").into());
            }
            sleep(Duration::from_millis(10)).await;
        }
        self.running = Some((store.clone(), child));
        Ok(StoreResource::new(store, CLUSTER))
    }

    async fn crash(&mut self, _: StoreResource) {
        self.kill().await;
    }

    async fn shows(&mut self, _: &StoreResource, number: u64) -> Result<usize, SceneError> {
        self.look(number).await
    }

    async fn holds(&mut self, resource: &StoreResource, number: u64) -> Result<Option<bool>, SceneError> {
        let held = resource.inner().prepared(CLUSTER).await?;
        Ok(Some(held.contains(&work(number))))
    }

    async fn remembers(&mut self, _: &StoreResource, number: u64) -> Result<Option<bool>, SceneError> {
        let (store, tx) = (self.store()?, work(number).transaction.id());
        store.clear(CLUSTER).await?;
        let mut after = None;
        loop {
            let (ids, more) = store.0.ended(CLUSTER, after).await?;
            if ids.contains(&tx) || !more {
                return Ok(Some(ids.contains(&tx)));
            }
            after = ids.last().copied();
        }
    }

    async fn lose(&mut self, number: u64) -> Result<bool, SceneError> {
        if self.program.loses.is_empty() {
            return Ok(false);
        }
        let status = command(&self.program.loses, "{work}", &about(number))?.status().await?;
        if status.success() { Ok(true) } else { Err(format!("`loses` ended with {status}").into()) }
    }

    async fn pause(&mut self) {
        sleep(Duration::from_millis(10)).await;
    }
}

impl Scene<'_> {
    async fn check(
        &mut self,
        report: &mut Report,
        name: &'static str,
        contract: &'static str,
        check: impl AsyncFnOnce(&mut Self) -> Found,
    ) {
        let found = match self.open().await {
            Ok(_) => check(self).await,
            Err(error) => Err(error),
        };
        self.kill().await;
        report.add(name, contract, Verdict::from(found.map_err(|error| error.to_string())));
    }

    async fn anothers(&mut self) -> Found {
        let (number, other) = (self.new_work(), self.new_work());
        let (tx, address) = (work(number).transaction.id(), self.store()?.0.address.clone());
        self.promise(number).await?;
        let strangers = [(CLUSTER, NodeId(PARTICIPANT.0 + 1)), (ClusterId(*b"another cluster."), PARTICIPANT)];
        for (cluster, participant) in strangers {
            let whose = format!("participant {participant} of cluster {cluster}");
            let stranger = Store::new(&address, participant, Security::Plaintext, Options::new())?;
            refused(&format!("`Open` by {whose}"), stranger.check(cluster).await)?;
            refused(&format!("`Commit` by {whose}"), stranger.0.commit(cluster, tx).await)?;
            refused(&format!("`Abort` by {whose}"), stranger.0.abort(cluster, tx).await)?;
            let asked = stranger.0.prepare(cluster, &work(other).transaction, &work(other).meta).await;
            refused(&format!("`Prepare` by {whose}"), asked)?;
            refused(&format!("`Prepared` by {whose}"), stranger.0.prepared(cluster).await)?;
        }
        self.restart().await?;
        self.expect_held(&[number], &[other]).await?;
        self.end_all(&[number], true).await?;
        self.expect_shows(&[number], 1).await
    }

    async fn twice_at_once(&mut self) -> Found {
        let numbers: Vec<u64> = (0..AT_ONCE).map(|_| self.new_work()).collect();
        let (first, second) = (self.vote_at_once(&numbers)?, self.vote_at_once(&numbers)?);
        let (first, second) = (first.join_all().await, second.join_all().await);
        for (number, vote) in first.into_iter().chain(second) {
            if vote? != Vote::Prepared {
                return Err(format!("one of two votes on {} at once is to abort", name(number)).into());
            }
        }
        self.expect_held(&numbers, &[]).await?;
        self.end_all(&numbers, true).await?;
        self.expect_shows(&numbers[..4], 1).await
    }

    async fn promises_killed(&mut self) -> Found {
        for round in 0..KILLS {
            let numbers: Vec<u64> = (0..AT_ONCE).map(|_| self.new_work()).collect();
            let votes = self.vote_at_once(&numbers)?;
            // One by one: a kill waits for the answer, another one for a moment in which many are under way.
            let answered = self.kill_under_way(votes, round).await;
            let promised: Vec<u64> = answered
                .into_iter()
                .filter_map(|(number, vote)| (vote.ok()? == Vote::Prepared).then_some(number))
                .collect();
            self.open().await?;
            self.expect_held(&promised, &[]).await?;
            self.end_all(&numbers, false).await?;
            self.expect_held(&[], &numbers).await?;
        }
        Ok(())
    }

    async fn ends_killed(&mut self) -> Found {
        for round in 0..KILLS {
            let numbers: Vec<u64> = (0..AT_ONCE).map(|_| self.new_work()).collect();
            for number in &numbers {
                self.promise(*number).await?;
            }
            let mut ends = JoinSet::new();
            for number in numbers.iter().copied() {
                let store = self.store()?;
                ends.spawn(async move { (number, store.0.commit(CLUSTER, work(number).transaction.id()).await) });
            }
            let answered = self.kill_under_way(ends, round).await;
            self.open().await?;
            let done: Vec<u64> =
                answered.into_iter().filter_map(|(number, end)| (end.ok()? == End::Done).then_some(number)).collect();
            self.expect_held(&[], &done).await?;
            let seen = done.len().min(3);
            self.expect_shows(&done[..seen], 1).await?;
            self.end_all(&numbers, true).await?;
            self.expect_shows(&numbers[..3], 1).await?;
            self.expect_held(&[], &numbers).await?;
        }
        Ok(())
    }

    /// Kills the process when some have answered, a few more each round, and returns all answers that came.
    async fn kill_under_way<T: 'static>(&mut self, mut asked: JoinSet<T>, round: u64) -> Vec<T> {
        let mut answered = Vec::new();
        while (answered.len() as u64) < round * AT_ONCE / KILLS + 1 {
            let Some(answer) = asked.join_next().await else { break };
            answered.extend(answer.ok());
        }
        self.kill().await;
        answered.extend(asked.join_all().await);
        answered
    }

    /// All these votes, at once.
    fn vote_at_once(&self, numbers: &[u64]) -> Result<JoinSet<Voted>, SceneError> {
        let (mut votes, store) = (JoinSet::new(), self.store()?);
        for number in numbers.iter().copied() {
            let store = store.clone();
            votes.spawn(async move {
                let Promised { transaction, meta, .. } = work(number);
                (number, store.0.prepare_once(CLUSTER, &transaction, &meta).await)
            });
        }
        Ok(votes)
    }

    async fn promise(&mut self, number: u64) -> Found {
        let Promised { transaction, meta, .. } = work(number);
        match self.store()?.0.prepare(CLUSTER, &transaction, &meta).await? {
            Vote::Prepared => Ok(()),
            Vote::Aborted => Err(format!("its vote on {} is to abort", name(number)).into()),
        }
    }

    /// Ends these, committed or aborted, in order.
    async fn end_all(&mut self, numbers: &[u64], is_committed: bool) -> Found {
        let store = self.store()?;
        for number in numbers {
            let tx = work(*number).transaction.id();
            let end =
                if is_committed { store.0.commit(CLUSTER, tx).await? } else { store.0.abort(CLUSTER, tx).await? };
            if end != End::Done {
                let what = if is_committed { "a commit" } else { "an abort" };
                return Err(format!("{what} of {tx} is answered {end:?}, and not `Done`").into());
            }
        }
        Ok(())
    }

    async fn expect_held(&mut self, held: &[u64], others: &[u64]) -> Found {
        let found = self.store()?.0.prepared(CLUSTER).await?;
        let has = |number: &u64| found.contains(&work(*number));
        if let Some(lost) = held.iter().find(|number| !has(number)) {
            return Err(format!("{} was promised, and is not held after SIGKILL and a restart", name(*lost)).into());
        }
        match others.iter().find(|number| has(number)) {
            Some(held) => Err(format!("{} is held, though it has ended, or was never promised", name(*held)).into()),
            None => Ok(()),
        }
    }

    async fn expect_shows(&mut self, numbers: &[u64], times: usize) -> Found {
        for number in numbers {
            let shown = self.look(*number).await?;
            if shown != times {
                return Err(format!("{} shows {shown} times, and not {times}", name(*number)).into());
            }
        }
        Ok(())
    }

    /// How many times it shows.
    async fn look(&self, number: u64) -> Result<usize, SceneError> {
        let mut command = command(&self.program.shows, "{work}", &about(number))?;
        let output = command.stderr(Stdio::inherit()).output().await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = said.trim().parse().ok().filter(|_| output.status.success());
        told.ok_or_else(|| {
            format!("`shows` ended with {} and printed {said:?}, and not a number", output.status).into()
        })
    }

    async fn restart(&mut self) -> Found {
        self.kill().await;
        self.open().await.map(|_| ())
    }

    /// SIGKILL, and what is durable stays.
    async fn kill(&mut self) {
        if let Some((_, mut child)) = self.running.take() {
            // It fails if the process has ended by itself.
            let _ = child.kill().await;
        }
    }

    fn store(&self) -> Result<Store, SceneError> {
        self.running.as_ref().map(|(store, _)| store.clone()).ok_or_else(|| "the store is down".into())
    }

    fn new_work(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// What the transaction of a work is about.
fn about(number: u64) -> String {
    format!("work-{number}")
}

fn name(number: u64) -> TxId {
    TxId { origin: NodeId(1), seq: number }
}

fn work(number: u64) -> Promised {
    let meta = Meta::from(about(number).into_bytes());
    let transaction = Transaction::new(name(number), [PARTICIPANT, NodeId(14)], meta.clone());
    Promised::new(transaction.unwrap_or_else(|_| unreachable!("two participants, in order")), meta)
}

/// That a stranger was turned away.
fn refused<T>(what: &str, answer: Result<T, Error>) -> Found {
    match answer {
        Err(Error::Refused { status, .. }) if status.code() == Code::FailedPrecondition => Ok(()),
        Err(error) => Err(format!("{what} is refused otherwise than by FAILED_PRECONDITION: {error}").into()),
        Ok(_) => Err(format!("{what} is answered, and not refused").into()),
    }
}

/// A command in which `value` takes the place of `placeholder`.
fn command(words: &[String], placeholder: &str, value: &str) -> Result<Command, SceneError> {
    let [program, arguments @ ..] = words else { return Err("no program is named".into()) };
    let mut command = Command::new(program);
    command.args(arguments.iter().map(|argument| argument.replace(placeholder, value))).stdin(Stdio::null());
    Ok(command)
}
