//! The part of a transaction in one database: a transaction of PostgreSQL, over a connection of its own.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use deadpool_postgres::Object;
use futures_util::future::join;
use synod::commit::{self, ClusterId, Outcome};
use synod_client::{Alone, Branch, Cause, Ticket, Unprepared};
use tokio::{
    sync::OnceCell,
    task::unconstrained,
    time::{Instant, error::Elapsed, sleep, timeout, timeout_at},
};
use tokio_postgres::{Client, Row, SimpleQueryMessage, Statement, error::SqlState, types::ToSql};

use crate::{
    Error, Gid, Postgres,
    database::Inner,
    fence,
    lent::cancel,
    look::{Found, at},
    participants,
    session::BEGIN,
    statements::{
        AS_ITSELF, HAS_WRITTEN, NotBegun, NotInTransaction, RESET, end_prepared, is_answer, mentions, random,
    },
};

/// How many statements a connection keeps prepared.
const STATEMENTS: usize = 512;

/// A branch in PostgreSQL. Its methods are those of [`tokio_postgres::Client`].
///
/// It is a transaction at the isolation level of the role or database; `SET TRANSACTION ISOLATION LEVEL …` as its first
/// statement changes that. `COMMIT`, `ROLLBACK` and `PREPARE TRANSACTION` are not for it;
/// nor may it use `LISTEN`, `NOTIFY` or temporary tables, which PostgreSQL does not prepare.
///
/// A statement that is still running when the branch is dropped is cancelled, unless it was sent over
/// [`client`](Self::client).
///
/// What its statements leave in the session (`SET`, advisory locks) is gone when it ends. What functions of the database do
/// there unseen is not, unless [`Options::reset_always`](crate::Options::reset_always) says so.
pub struct PostgresBranch {
    postgres: Postgres,
    /// Gone when the branch is over.
    connection: Option<Object>,
    state: State,
    /// BEGIN was sent, perhaps.
    is_touched: AtomicBool,
    /// It was answered.
    begun: OnceCell<()>,
    /// It was refused: nothing that may have been done since can be committed.
    is_refused: AtomicBool,
    /// Whether that is certain.
    has_written: AtomicBool,
    /// Whether something may be left in the session that the next one must not find.
    is_dirty: AtomicBool,
    /// How many statements were sent whose answers nobody has seen. One whose call was dropped may run for long.
    unanswered: AtomicUsize,
}

/// What the text of a statement says of it.
struct Noted {
    /// Whether it writes, if it has rows.
    writes: bool,
    /// Whether it can neither leave anything in the session, nor end the transaction, nor write without one.
    is_plain: bool,
}

enum State {
    Open,
    /// PREPARE was sent. With a ticket, it was answered, too.
    Prepared(Gid, Option<Ticket>),
}

impl fmt::Debug for PostgresBranch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresBranch").field("participant", &self.postgres.participant()).finish_non_exhaustive()
    }
}

impl PostgresBranch {
    /// One that begins with its first statement, if that can be.
    pub(crate) async fn open(postgres: Postgres) -> Result<Self, Error> {
        let is_read_only = postgres.0.is_read_only().await;
        let connection = postgres.0.for_branch().await?;
        let begun = OnceCell::new();
        if is_read_only || postgres.0.heard.is_unguarded() {
            // Nothing may go out before its answer: without a guard and a transaction, a statement would stand at once.
            connection.answer("begin a transaction", connection.batch_execute("BEGIN")).await?;
            begun.set(()).unwrap_or_default();
        }
        Ok(Self {
            postgres,
            connection: connection.keep(),
            state: State::Open,
            is_touched: AtomicBool::new(begun.initialized()),
            begun,
            is_refused: AtomicBool::new(false),
            has_written: AtomicBool::new(false),
            is_dirty: AtomicBool::new(false),
            unanswered: AtomicUsize::new(0),
        })
    }

    /// The connection, for what has no method here. Waits until the transaction has begun.
    pub async fn client(&self) -> Result<&Client, tokio_postgres::Error> {
        self.is_dirty.store(true, Ordering::Relaxed);
        self.call(self.begins()).await?;
        Ok(self.connection())
    }

    /// Runs one statement, and returns how many rows it changed: [`tokio_postgres::Client::execute`]. The connection keeps it
    /// prepared for the next time, so values belong into `params`, not into the text.
    pub async fn execute(&self, statement: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, tokio_postgres::Error> {
        let Noted { writes, is_plain } = self.note(statement);
        let call = async {
            let prepared = self.prepared(statement).await?;
            self.connection().execute(&prepared, params).await
        };
        let rows = self.answered(is_plain, call).await?;
        self.has_written.fetch_or(writes && rows > 0, Ordering::Relaxed);
        Ok(rows)
    }

    /// Runs one statement, and returns its rows: [`tokio_postgres::Client::query`]. It is kept as by
    /// [`execute`](Self::execute).
    pub async fn query(
        &self,
        statement: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let Noted { writes, is_plain } = self.note(statement);
        let call = async {
            let prepared = self.prepared(statement).await?;
            self.connection().query(&prepared, params).await
        };
        let rows = self.answered(is_plain, call).await?;
        self.has_written.fetch_or(writes && !rows.is_empty(), Ordering::Relaxed);
        Ok(rows)
    }

    /// The same, of a statement that has one row: [`tokio_postgres::Client::query_one`].
    pub async fn query_one(
        &self,
        statement: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, tokio_postgres::Error> {
        let Noted { writes, is_plain } = self.note(statement);
        let call = async {
            let prepared = self.prepared(statement).await?;
            self.connection().query_one(&prepared, params).await
        };
        let row = self.answered(is_plain, call).await?;
        self.has_written.fetch_or(writes, Ordering::Relaxed);
        Ok(row)
    }

    /// The same, of a statement that has one row at most: [`tokio_postgres::Client::query_opt`].
    pub async fn query_opt(
        &self,
        statement: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, tokio_postgres::Error> {
        let Noted { writes, is_plain } = self.note(statement);
        let call = async {
            let prepared = self.prepared(statement).await?;
            self.connection().query_opt(&prepared, params).await
        };
        let row = self.answered(is_plain, call).await?;
        self.has_written.fetch_or(writes && row.is_some(), Ordering::Relaxed);
        Ok(row)
    }

    /// Runs several statements, as text: [`tokio_postgres::Client::batch_execute`].
    pub async fn batch_execute(&self, statements: &str) -> Result<(), tokio_postgres::Error> {
        self.is_dirty.store(true, Ordering::Relaxed);
        self.answered(false, self.connection().batch_execute(statements)).await
    }

    /// The transaction has begun when this returns.
    async fn begins(&self) -> Result<(), tokio_postgres::Error> {
        self.is_touched.store(true, Ordering::Relaxed);
        let begun = self.begun.get_or_try_init(|| self.connection().batch_execute(BEGIN)).await;
        self.is_refused.fetch_or(begun.is_err(), Ordering::Relaxed);
        begun.copied()
    }

    /// Does a `call` in the transaction. The first one goes out together with BEGIN, if it is `plain`: without a transaction the server
    /// refuses all that it could write.
    async fn in_transaction<T>(
        &self,
        is_plain: bool,
        call: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, tokio_postgres::Error> {
        if self.begun.initialized() {
            return call.await;
        }
        // Others wait for the answer: what one of them says first must not overtake what another has said before.
        let is_first = !self.is_touched.swap(true, Ordering::Relaxed);
        if !is_first || !is_plain || self.postgres.0.heard.is_unguarded() {
            self.begins().await?;
            return call.await;
        }
        // BEGIN goes first, also where the runtime would have it wait for its turn.
        let (begun, answer) = join(unconstrained(self.begins()), call).await;
        begun.and(answer)
    }

    /// Waits for the answer to a call, and knows of it when nobody does any more.
    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        let answer = call.await;
        self.unanswered.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    /// The same, of a statement.
    async fn answered<T>(
        &self,
        is_plain: bool,
        call: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, tokio_postgres::Error> {
        self.heeded(self.call(self.in_transaction(is_plain, call)).await)
    }

    /// Has statements prepared again, on all connections, where an answer says that what is kept is of no use: a table has changed
    /// since, or somebody has dropped what is kept.
    fn heeded<T>(&self, answer: Result<T, tokio_postgres::Error>) -> Result<T, tokio_postgres::Error> {
        let of_no_use = [Some(&SqlState::FEATURE_NOT_SUPPORTED), Some(&SqlState::INVALID_SQL_STATEMENT_NAME)];
        if answer.as_ref().is_err_and(|error| of_no_use.contains(&error.code())) {
            self.postgres.0.forget_statements();
        }
        answer
    }

    /// Waits for the answer to how the branch ends, but not for ever.
    async fn in_time<T>(&self, call: impl Future<Output = T>) -> Result<T, Elapsed> {
        timeout(self.postgres.0.options.wait, call).await
    }

    fn connection(&self) -> &Object {
        match &self.connection {
            Some(connection) => connection,
            // The front door lets go of a branch when it is over.
            None => unreachable!("the branch is over"),
        }
    }

    async fn prepared(&self, statement: &str) -> Result<Statement, tokio_postgres::Error> {
        let connection = self.connection();
        if connection.statement_cache.size() > STATEMENTS {
            // Somebody writes values into the text of statements.
            connection.statement_cache.clear();
        }
        connection.prepare_cached(statement).await
    }

    /// Notes, before it is sent, what may be left in the session by a statement: it may still do so when nobody waits for it any
    /// more.
    fn note(&self, statement: &str) -> Noted {
        let verb = statement.split_whitespace().next().map(str::to_ascii_uppercase);
        // A rule or a trigger may write something else, or nothing: then too much is prepared, which does no harm.
        let writes = matches!(verb.as_deref(), Some("INSERT" | "UPDATE" | "DELETE" | "MERGE"));
        let only_reads = matches!(verb.as_deref(), Some("SELECT" | "WITH" | "VALUES" | "TABLE" | "LOCK"));
        let has = |names: &[&str]| names.iter().any(|name| mentions(statement, name));
        let is_temporary =
            |word: &str| ["TEMP", "TEMPORARY"].iter().any(|temporary| word.eq_ignore_ascii_case(temporary));
        let leaves_something = has(&["set_config", "pg_settings", "advisory_lock", "pg_temp"])
            || statement.split_whitespace().any(is_temporary);
        let is_clean = (writes || only_reads) && !leaves_something;
        self.is_dirty.fetch_or(!is_clean, Ordering::Relaxed);
        // A transaction that may only read lets these write all the same, large objects before PostgreSQL 16.
        let is_plain = is_clean && !has(&["lo_", "lowrite", "pg_notify", "pg_logical_emit_message"]);
        Noted { writes, is_plain }
    }

    /// Finds out how a commit ended whose answer was lost: by the row that was written with it. If the row is missing, this
    /// writes one that says that the branch has not committed, and from then on it never can.
    async fn find_out(&self, key: &fence::Alone) -> Result<bool, Cause> {
        let end = Instant::now() + self.postgres.0.options.wait;
        let mut last: Cause = "there was no time to ask".into();
        while Instant::now() < end {
            match timeout_at(end, self.ask(key)).await {
                Ok(Ok(Some(committed))) => return Ok(committed),
                Ok(Ok(None)) => last = "it is still at it".into(),
                Ok(Err(error)) => last = error,
                Err(elapsed) => last = elapsed.into(),
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(last)
    }

    async fn ask(&self, key: &fence::Alone) -> Result<Option<bool>, Cause> {
        let client = self.postgres.0.for_verdicts().await?;
        let tombstone = "INSERT INTO synod.fence (branch, state) VALUES ($1, 't')";
        let put = client.answer("say whether it has committed", client.execute(tombstone, &[&key.bytes()])).await;
        let answer = match put {
            Ok(_) => Some(false),
            // Its own row, or a tombstone that was put there by an earlier question whose answer was lost.
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                match client.answer("say whether it has committed", at(&client, key.bytes())).await? {
                    Found::Tombstone => Some(false),
                    Found::Nothing => None,
                    Found::Work | Found::Prepared | Found::NotOurs => Some(true),
                }
            }
            // The commit is under way.
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => None,
            Err(error) => return Err(error.into()),
        };
        client.done();
        Ok(answer)
    }

    /// Under which name it is to be prepared, if that may be.
    async fn name(&self, cluster: ClusterId, transaction: &commit::Transaction) -> Result<Gid, Cause> {
        if self.is_refused.load(Ordering::Relaxed) {
            return Err(NotBegun.into());
        }
        self.postgres.0.bind(cluster, false).await?;
        let gid = Gid::new(cluster, self.postgres.participant(), transaction.clone())?;
        if gid.transaction().is_none() {
            // Whoever finds it prepared must be able to find out who takes part.
            let client = self.postgres.0.for_votes().await?;
            client.answer("note who takes part", participants::put(&client, &gid, transaction)).await?;
            client.done();
        }
        Ok(gid)
    }

    /// Ends the connection, and with it what is not prepared. A statement that still runs is cancelled.
    fn end(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let running = connection.cancel_token();
        // It does not go back to its pool: the cancellation might come late, and hit a statement of the next one.
        drop(Object::take(connection));
        if *self.unanswered.get_mut() > 0
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let Inner { participant, options, .. } = &*self.postgres.0;
            runtime.spawn(cancel(running, *participant, options.tls.clone(), options.answer));
        }
    }

    /// Whether nothing has been sent.
    fn is_untouched(&self) -> bool {
        !self.is_touched.load(Ordering::Relaxed)
    }

    /// Puts a row into the fence, and ends the transaction with the `last` statement: COMMIT or PREPARE. In a failed transaction
    /// neither of them is an error, but the row is.
    async fn end_with(&self, row: &[u8], last: &str) -> Result<(), tokio_postgres::Error> {
        let connection = self.connection();
        if self.is_dirty() || !self.begun.initialized() {
            // Outside of a transaction, too, the first of these fails.
            let row = fence::PUT.replace("$1", &fence::literal(row));
            let statements =
                format!("SAVEPOINT synod; RELEASE synod; SET client_min_messages = warning; {row}; {last}");
            return connection.batch_execute(&statements).await;
        }
        let put = self.prepared(fence::PUT).await?;
        let (put, ended) = join(connection.execute(&put, &[&row]), connection.batch_execute(last)).await;
        self.heeded(put.and(ended))
    }

    /// Whether something may be left in the session, or something ended in it.
    fn is_dirty(&self) -> bool {
        self.postgres.0.options.reset_always || self.is_dirty.load(Ordering::Relaxed)
    }

    /// Gives the connection back, clean, once nothing of the branch is left in it; and not at all, if it does not come clean.
    fn give_back(&mut self, first: Option<&'static str>) {
        let Some(connection) = self.connection.take() else { return };
        let is_dirty = self.is_dirty();
        if first.is_none() && !is_dirty {
            return;
        }
        // Outside of a runtime, or in one that ends, this is dropped before it is done.
        let unclean = Unclean(Some(connection));
        let clean = async move {
            let Some(connection) = &unclean.0 else { return };
            for statements in first.into_iter().chain(is_dirty.then_some(RESET)) {
                if connection.batch_execute(statements).await.is_err() {
                    return;
                }
            }
            unclean.release();
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(clean);
        }
    }
}

/// A connection that goes back to its pool only once it is said to be clean: until then it may be in a transaction.
struct Unclean(Option<Object>);

impl Unclean {
    fn release(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Unclean {
    fn drop(&mut self) {
        drop(self.0.take().map(Object::take));
    }
}

impl Branch for PostgresBranch {
    async fn has_written(&mut self) -> Result<bool, Cause> {
        if self.is_refused.load(Ordering::Relaxed) {
            Branch::roll_back(self).await;
            return Err(NotBegun.into());
        }
        if self.has_written.load(Ordering::Relaxed) {
            return Ok(true);
        }
        if self.is_untouched() {
            self.give_back(None);
            return Ok(false);
        }
        let asked = self.in_time(self.connection().simple_query(HAS_WRITTEN)).await??;
        let has_written =
            asked.iter().any(|answer| matches!(answer, SimpleQueryMessage::Row(row) if row.get(0) == Some("t")));
        if !has_written {
            self.in_time(self.connection().batch_execute("COMMIT")).await??;
            self.give_back(None);
        }
        Ok(has_written)
    }

    async fn commit_alone(&mut self) -> Result<(), Alone> {
        // What has only read is committed by that.
        if !Branch::has_written(self).await.map_err(Alone::RolledBack)? {
            return Ok(());
        }
        let key = fence::Alone::new(self.postgres.participant(), random());
        let given_up = self.postgres.0.heard.given_up();
        let lost: Cause = match self.in_time(self.end_with(key.bytes(), "COMMIT")).await {
            Ok(Ok(())) if self.postgres.0.heard.given_up() == given_up => {
                self.give_back(None);
                return Ok(());
            }
            // It is committed here. Whether the standby has it can be found out.
            Ok(Ok(())) => {
                let (participant, what) = (self.postgres.participant(), "commit a branch by itself");
                Error::NotAtStandby { participant, what }.into()
            }
            Ok(Err(error)) if is_answer(&error) => {
                self.give_back(Some("ROLLBACK"));
                return Err(Alone::RolledBack(error.into()));
            }
            Ok(Err(error)) => error.into(),
            Err(elapsed) => elapsed.into(),
        };
        drop(self.connection.take().map(Object::take));
        match self.find_out(&key).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Alone::RolledBack(lost)),
            Err(cause) => Err(Alone::Unknown(cause)),
        }
    }

    async fn prepare(&mut self, cluster: ClusterId, transaction: &commit::Transaction) -> Result<(), Unprepared> {
        let gid = match self.name(cluster, transaction).await {
            Ok(gid) => gid,
            // Whatever is wrong before PREPARE is sent ends the branch, and lets go of its locks.
            Err(cause) => {
                Branch::roll_back(self).await;
                return Err(Unprepared::RolledBack(cause));
            }
        };
        let key = fence::Key::of(&gid);
        let as_itself = if self.is_dirty() { AS_ITSELF } else { "" };
        let prepare = format!("{as_itself}PREPARE TRANSACTION '{gid}'");
        self.state = State::Prepared(gid, None);
        // An agent may end the branch before its answer is here.
        let prepares = self.postgres.0.desk.prepares(transaction.id());
        let given_up = self.postgres.0.heard.given_up();
        match self.in_time(self.end_with(key.bytes(), &prepare)).await {
            Ok(Ok(())) => {
                // The agent finds out by itself whether the standby has it, too.
                let is_at_standby = self.postgres.0.heard.given_up() == given_up;
                if let (State::Prepared(_, ticket), true) = (&mut self.state, is_at_standby) {
                    prepares.prepared();
                    *ticket = Some(prepares);
                }
                Ok(())
            }
            Ok(Err(error)) if error.code() == Some(&SqlState::NO_ACTIVE_SQL_TRANSACTION) => {
                self.give_back(Some("ROLLBACK"));
                Err(Unprepared::RolledBack(NotInTransaction.into()))
            }
            Ok(Err(error)) if is_answer(&error) => {
                // It is rolled back already, or the row has failed and it is to be.
                self.give_back(Some("ROLLBACK"));
                Err(Unprepared::RolledBack(error.into()))
            }
            Ok(Err(error)) => {
                drop(self.connection.take().map(Object::take));
                Err(Unprepared::Unknown(error.into()))
            }
            Err(elapsed) => {
                drop(self.connection.take().map(Object::take));
                Err(Unprepared::Unknown(elapsed.into()))
            }
        }
    }

    async fn finish(&mut self, outcome: Outcome) -> Result<(), Cause> {
        let State::Prepared(gid, ticket) = &mut self.state else { return Ok(()) };
        let (Some(ticket), Some(connection)) = (ticket.take(), &self.connection) else { return Ok(()) };
        let verb = match outcome {
            Outcome::Committed => "COMMIT",
            Outcome::Aborted => "ROLLBACK",
        };
        // An error leaves it to the agent: the ticket is gone.
        let statement = format!("{verb} PREPARED '{gid}'");
        let (wait, heard) = (self.postgres.0.options.wait, &self.postgres.0.heard);
        let given_up = heard.given_up();
        match timeout(wait, end_prepared(connection, &statement, wait)).await {
            Ok(Ok(true)) if heard.given_up() == given_up => ticket.finished(outcome),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error.into()),
            Err(elapsed) => {
                // What comes over it now is the answer to this.
                drop(self.connection.take().map(Object::take));
                return Err(elapsed.into());
            }
        }
        self.give_back(None);
        Ok(())
    }

    async fn roll_back(&mut self) {
        if !matches!(self.state, State::Open) {
            return;
        }
        if *self.unanswered.get_mut() > 0 {
            return self.end();
        }
        if self.is_untouched() {
            return self.give_back(None);
        }
        if let Some(connection) = &self.connection
            && matches!(self.in_time(connection.batch_execute("ROLLBACK")).await, Ok(Ok(())))
        {
            self.give_back(None);
        } else {
            self.end();
        }
    }
}

impl Drop for PostgresBranch {
    fn drop(&mut self) {
        match self.state {
            State::Open if *self.unanswered.get_mut() > 0 => self.end(),
            State::Open if self.is_untouched() => self.give_back(None),
            State::Open => self.give_back(Some("ROLLBACK")),
            // Whatever comes of it comes by its name.
            State::Prepared(..) => drop(self.connection.take().map(Object::take)),
        }
    }
}

#[cfg(test)]
mod tests;
