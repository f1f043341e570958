//! The part of a transaction in one file.

use std::{
    fmt,
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use rusqlite::{
    Connection, ErrorCode, Row, ToSql, params_from_iter,
    types::{ToSqlOutput, Value},
};
use synod::{
    TxId,
    commit::{ClusterId, Outcome, Transaction},
};
use synod_client::{Alone, Branch, Cause, Ticket, Unprepared};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    Error, Sqlite,
    database::{Inner, blocking},
    fence::{Found, holder, look, promise},
    file::{Failure, roll_back, stands_in},
    touched::Tracked,
};

/// How long a branch that must wait for one of another process waits before it looks again.
const PAUSE: Duration = Duration::from_millis(5);

/// Parameters of a statement: `&[&30, &"ann"]`.
pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A branch in a SQLite file: a transaction of SQLite that has the file's lock from its beginning, so its reads are never out of
/// date.
///
/// When a call is dropped before it is done, the branch can only be rolled back: its later calls fail. So it is when SQLite rolls it
/// back by itself, for want of space or by `ON CONFLICT ROLLBACK`.
pub struct SqliteBranch {
    sqlite: Sqlite,
    state: State,
    /// Until the branch is over, no other one of this process begins.
    turn: Option<OwnedSemaphorePermit>,
}

enum State {
    Open(Box<Tracked>),
    Prepared(TxId, Ticket),
    /// It is over, or a call was interrupted.
    Over,
}

impl fmt::Debug for SqliteBranch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBranch").field("path", &self.sqlite.path()).finish_non_exhaustive()
    }
}

impl SqliteBranch {
    pub(crate) async fn begin(sqlite: Sqlite) -> Result<Self, Error> {
        let (inner, end) = (&sqlite.0, Instant::now() + sqlite.0.options.wait);
        let turn = match timeout(inner.options.wait, Arc::clone(&inner.turn).acquire_owned()).await {
            Ok(Ok(turn)) => turn,
            // The one before may be prepared, and wait for its cluster.
            _ => return Err(inner.look(|db, path| Ok(held(db, path))).await?),
        };
        let lend = Arc::clone(inner);
        let tracked = blocking(&inner.path, move || begin(&lend, end)).await?;
        Ok(Self { state: State::Open(tracked.into()), turn: Some(turn), sqlite })
    }

    /// Runs a statement. Returns how many rows it has changed.
    pub async fn execute(&mut self, sql: impl Into<String>, params: Params<'_>) -> Result<usize, Error> {
        let (sql, params) = (sql.into(), values(params));
        self.run(move |db| db.prepare_cached(&sql)?.execute(params_from_iter(params?))).await
    }

    /// What `map` makes of all rows of a statement.
    pub async fn query<T: Send + 'static>(
        &mut self,
        sql: impl Into<String>,
        params: Params<'_>,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Vec<T>, Error> {
        let (sql, params) = (sql.into(), values(params));
        self.run(move |db| db.prepare_cached(&sql)?.query_map(params_from_iter(params?), map)?.collect()).await
    }

    /// What `map` makes of the first row of a statement, if there is one.
    pub async fn query_first<T: Send + 'static>(
        &mut self,
        sql: impl Into<String>,
        params: Params<'_>,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Option<T>, Error> {
        let (sql, params) = (sql.into(), values(params));
        self.run(move |db| db.prepare_cached(&sql)?.query_map(params_from_iter(params?), map)?.next().transpose()).await
    }

    /// Runs several statements, on a thread that may wait. They are part of the branch, whatever `work` returns.
    pub async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.with(move |tracked| tracked.run(work)).await
    }

    /// Lets `work` have the connection of a branch that goes on.
    async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Tracked) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (tracked, done) = self.lend(|_, tracked| work(tracked)).await?;
        let (is_over, path) = (tracked.db.is_autocommit(), self.sqlite.path());
        match is_over {
            true => self.sqlite.0.give_back(*tracked),
            false => self.state = State::Open(tracked),
        }
        match done {
            Ok(_) if is_over => Err(Error::RolledBack(path.into())),
            done => done.map_err(|source| Error::at(path, "run a statement", source)),
        }
    }

    /// Lets `work`, which ends the branch, have the connection.
    async fn last<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Inner, &Tracked) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (tracked, done) = self.lend(work).await?;
        self.sqlite.0.give_back(*tracked);
        Ok(done)
    }

    /// Lends the connection to `work`. When this is dropped before that is done, the branch is over.
    async fn lend<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Inner, &Tracked) -> T + Send + 'static,
    ) -> Result<(Box<Tracked>, T), Error> {
        let (inner, path) = (Arc::clone(&self.sqlite.0), self.sqlite.path());
        let State::Open(tracked) = std::mem::replace(&mut self.state, State::Over) else {
            return Err(Error::RolledBack(path.into()));
        };
        let work = move || {
            let done = work(&inner, &tracked);
            Ok((tracked, done))
        };
        blocking(path, work).await
    }

    /// Ends what is not prepared.
    fn end(&mut self) {
        if let State::Open(tracked) = std::mem::replace(&mut self.state, State::Over) {
            self.sqlite.0.give_back(*tracked);
        }
        self.turn = None;
    }
}

/// Begins a branch, as soon as no other one is prepared.
fn begin(inner: &Inner, end: Instant) -> Result<Tracked, Error> {
    let path = &inner.path;
    let at = |source| Error::at(path, "begin a branch", source);
    let mut tracked = inner.lend()?;
    loop {
        tracked.follow_schema().map_err(at)?;
        tracked.db.execute_batch("BEGIN IMMEDIATE").map_err(at)?;
        let is_free = || Ok(tracked.is_current()? && holder(&tracked.db)?.is_none());
        match is_free().and_then(|is_free: bool| if is_free { tracked.start().map(|()| true) } else { Ok(false) }) {
            Ok(true) => return Ok(tracked),
            Ok(false) => roll_back(&tracked.db),
            Err(source) => {
                roll_back(&tracked.db);
                return Err(at(source));
            }
        }
        if Instant::now() > end {
            return Err(held(&tracked.db, path));
        }
        sleep(PAUSE);
    }
}

/// Why a branch cannot begin.
fn held(db: &Connection, path: &std::path::Path) -> Error {
    match holder(db) {
        Ok(Some(tx)) => Error::Held { path: path.into(), tx },
        _ => Error::Busy(path.into()),
    }
}

/// The values of parameters: the statement runs on another thread.
fn values(params: Params<'_>) -> rusqlite::Result<Vec<Value>> {
    let value = |param: &&(dyn ToSql + Sync)| match param.to_sql()? {
        ToSqlOutput::Borrowed(value) => {
            Value::try_from(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
        }
        ToSqlOutput::Owned(value) => Ok(value),
        _ => Err(rusqlite::Error::ToSqlConversionFailure("a parameter is no plain value".into())),
    };
    params.iter().map(value).collect()
}

/// Takes the work back, and promises it instead.
fn prepare(inner: &Inner, tracked: &Tracked, cluster: ClusterId, transaction: &Transaction) -> Result<(), Unprepared> {
    let (db, path, tx) = (&tracked.db, &inner.path, transaction.id());
    let promised = (|| {
        stands_in(db, path, inner.participant, cluster)?;
        if look(db, tx)? != Found::Nothing {
            return Err(Error::Late { path: path.clone(), tx }.into());
        }
        let (mut broken, changes) = (tracked.broken()?, tracked.changes()?);
        db.execute_batch("ROLLBACK TO synod_work")?;
        if !broken.is_empty() {
            // Others may keep to no foreign keys. What they have broken is no fault of this branch.
            let before = tracked.broken()?;
            broken.retain(|key, times| *times > before.get(key).copied().unwrap_or_default());
        }
        if let Some(((table, parent, ..), _)) = broken.pop_first() {
            return Err(Error::ForeignKey { path: path.clone(), table, parent }.into());
        }
        promise(db, transaction, &changes)?;
        Ok(())
    })();
    promised.map_err(|failure: Failure| {
        roll_back(db);
        Unprepared::RolledBack(failure.at(path, "prepare a branch").into())
    })?;
    commit(db).map_err(|(source, is_certain)| {
        let cause = Error::at(path, "prepare a branch", source).into();
        if is_certain { Unprepared::RolledBack(cause) } else { Unprepared::Unknown(cause) }
    })
}

/// Commits. An error says, too, whether it is certain that it has not.
fn commit(db: &Connection) -> Result<(), (rusqlite::Error, bool)> {
    db.execute_batch("COMMIT").map_err(|source| {
        roll_back(db);
        let is_certain = matches!(
            source.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::ConstraintViolation
                    | ErrorCode::DiskFull
            )
        );
        (source, is_certain)
    })
}

impl Branch for SqliteBranch {
    async fn has_written(&mut self) -> Result<bool, Cause> {
        let has_written = self.with(Tracked::has_touched).await?;
        if !has_written {
            self.end();
        }
        Ok(has_written)
    }

    async fn commit_alone(&mut self) -> Result<(), Alone> {
        let done = self.last(|_, tracked| commit(&tracked.db)).await;
        self.end();
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err((source, is_certain))) => {
                let cause = Error::at(self.sqlite.path(), "commit", source).into();
                Err(if is_certain { Alone::RolledBack(cause) } else { Alone::Unknown(cause) })
            }
            Err(error) => Err(Alone::RolledBack(error.into())),
        }
    }

    async fn prepare(&mut self, cluster: ClusterId, transaction: &Transaction) -> Result<(), Unprepared> {
        let (tx, transaction) = (transaction.id(), transaction.clone());
        let ticket = self.sqlite.0.desk.prepares(tx);
        let prepared = self.last(move |inner, tracked| prepare(inner, tracked, cluster, &transaction)).await;
        let prepared = prepared.unwrap_or_else(|error| Err(Unprepared::RolledBack(error.into())));
        match prepared {
            Ok(()) => {
                ticket.prepared();
                self.state = State::Prepared(tx, ticket);
            }
            Err(_) => self.end(),
        }
        prepared
    }

    async fn finish(&mut self, outcome: Outcome) -> Result<(), Cause> {
        let State::Prepared(tx, ticket) = std::mem::replace(&mut self.state, State::Over) else {
            self.end();
            return Ok(());
        };
        let done = self.sqlite.0.carry_out(tx, outcome).await;
        self.turn = None;
        match done? {
            None => {
                ticket.finished(outcome);
                Ok(())
            }
            // Its agent raises the alarm.
            Some(kind) => Err(kind.into()),
        }
    }

    async fn roll_back(&mut self) {
        // What is prepared is the agent's.
        self.end();
    }
}

impl Drop for SqliteBranch {
    fn drop(&mut self) {
        self.end();
    }
}
