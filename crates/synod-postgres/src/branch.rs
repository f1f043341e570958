//! The part of a transaction in one database: a transaction of PostgreSQL, over a connection of its own.

use std::{fmt, time::Duration};

use deadpool_postgres::Object;
use synod::commit::{self, ClusterId, Outcome};
use synod_client::{Alone, Branch, Cause, Ticket};
use tokio::time::{Instant, sleep};
use tokio_postgres::{
    Row, RowStream, SimpleQueryMessage, Statement, ToStatement,
    error::SqlState,
    types::{BorrowToSql, ToSql},
};

use crate::{Error, Gid, Postgres, fence};

/// Gives a connection back as it came, but for its prepared statements. (`DISCARD ALL` would drop those, too.)
const RESET: &str = "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; CLOSE ALL; UNLISTEN *; \
    SELECT pg_advisory_unlock_all(); DISCARD SEQUENCES; DISCARD TEMP";

/// A branch in PostgreSQL. Its methods are those of [`tokio_postgres::Client`].
///
/// It is a transaction at the isolation level of the role or database; `SET TRANSACTION ISOLATION LEVEL …` as its first
/// statement changes that. What it `SET`s is gone when it ends. `COMMIT`, `ROLLBACK` and `PREPARE TRANSACTION` are not for it;
/// nor may it use `LISTEN`, `NOTIFY` or temporary tables, which PostgreSQL does not prepare.
pub struct PostgresBranch {
    postgres: Postgres,
    /// Gone when the branch is over.
    connection: Option<Object>,
    state: State,
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
    pub(crate) async fn begin(postgres: Postgres) -> Result<Self, Error> {
        let participant = postgres.participant();
        let connection = postgres.branch().await?;
        connection.batch_execute("BEGIN").await.map_err(|source| Error::Statement {
            participant,
            what: "begin a transaction",
            source,
        })?;
        Ok(Self { postgres, connection: Some(connection), state: State::Open })
    }

    /// The connection, for what has no method here.
    pub fn client(&self) -> &tokio_postgres::Client {
        match &self.connection {
            Some(connection) => connection,
            // The front door lets go of a branch when it is over.
            None => unreachable!("the branch is over"),
        }
    }

    /// [`tokio_postgres::Client::execute`]: how many rows it changed.
    pub async fn execute<T>(&self, statement: &T, params: &[&(dyn ToSql + Sync)]) -> Result<u64, tokio_postgres::Error>
    where
        T: ?Sized + ToStatement,
    {
        self.client().execute(statement, params).await
    }

    /// [`tokio_postgres::Client::query`]: all rows.
    pub async fn query<T>(
        &self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error>
    where
        T: ?Sized + ToStatement,
    {
        self.client().query(statement, params).await
    }

    /// [`tokio_postgres::Client::query_one`]: the one row.
    pub async fn query_one<T>(
        &self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, tokio_postgres::Error>
    where
        T: ?Sized + ToStatement,
    {
        self.client().query_one(statement, params).await
    }

    /// [`tokio_postgres::Client::query_opt`]: the one row, if there is one.
    pub async fn query_opt<T>(
        &self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, tokio_postgres::Error>
    where
        T: ?Sized + ToStatement,
    {
        self.client().query_opt(statement, params).await
    }

    /// [`tokio_postgres::Client::query_raw`]: rows as they come.
    pub async fn query_raw<T, P, I>(&self, statement: &T, params: I) -> Result<RowStream, tokio_postgres::Error>
    where
        T: ?Sized + ToStatement,
        P: BorrowToSql,
        I: IntoIterator<Item = P>,
        I::IntoIter: ExactSizeIterator,
    {
        self.client().query_raw(statement, params).await
    }

    /// [`tokio_postgres::Client::batch_execute`]: several statements, as text.
    pub async fn batch_execute(&self, statements: &str) -> Result<(), tokio_postgres::Error> {
        self.client().batch_execute(statements).await
    }

    /// A prepared *statement*, which the connection keeps: the next branch over it has it already.
    pub async fn prepare_cached(&self, statement: &str) -> Result<Statement, tokio_postgres::Error> {
        match &self.connection {
            Some(connection) => connection.prepare_cached(statement).await,
            None => unreachable!("the branch is over"),
        }
    }

    /// Whoever has lost the answer to a commit asks for the row that came with it. None, and whoever puts one there first
    /// says that it has not committed, and never will.
    async fn find_out(&self, key: &fence::Alone) -> Result<bool, Cause> {
        let end = Instant::now() + self.postgres.0.options.wait;
        let mut last: Cause = "there was no time to ask".into();
        while Instant::now() < end {
            match self.ask(key).await {
                Ok(Some(committed)) => return Ok(committed),
                Ok(None) => last = "it is still at it".into(),
                Err(error) => last = error,
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(last)
    }

    async fn ask(&self, key: &fence::Alone) -> Result<Option<bool>, Cause> {
        let client = self.postgres.0.for_verdicts().await?;
        let tombstone = "INSERT INTO synod.fence (branch, state) VALUES ($1, 't')";
        match client.execute(tombstone, &[&key.bytes()]).await {
            Ok(_) => Ok(Some(false)),
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(Some(true)),
            // The commit is under way.
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the connection back, clean, once nothing of the branch is left in it; and not at all, if it does not come clean.
    fn give_back(&mut self, first: Option<&'static str>) {
        let Some(connection) = self.connection.take() else { return };
        let clean = async move {
            let rolled_back = match first {
                Some(statement) => connection.batch_execute(statement).await,
                None => Ok(()),
            };
            if rolled_back.is_err() || connection.batch_execute(RESET).await.is_err() {
                drop(Object::take(connection));
            }
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(clean);
        }
    }
}

impl Branch for PostgresBranch {
    async fn has_written(&mut self) -> Result<bool, Cause> {
        let asked = self.client().simple_query("SELECT pg_current_xact_id_if_assigned()").await?;
        let has_written =
            asked.iter().any(|answer| matches!(answer, SimpleQueryMessage::Row(row) if row.get(0).is_some()));
        if !has_written {
            self.client().batch_execute("COMMIT").await?;
            self.give_back(None);
        }
        Ok(has_written)
    }

    async fn commit_alone(&mut self) -> Result<(), Alone> {
        let key = fence::Alone::new(self.postgres.participant(), random());
        // In a failed transaction the first statement fails, too, and COMMIT is not reached.
        let statements = format!(
            "INSERT INTO synod.fence (branch, state) SELECT {}, 'w' WHERE pg_current_xact_id_if_assigned() IS NOT NULL; COMMIT",
            key.literal()
        );
        match self.client().batch_execute(&statements).await {
            Ok(()) => {
                self.give_back(None);
                Ok(())
            }
            Err(error) if is_answer(&error) => {
                self.give_back(Some("ROLLBACK"));
                Err(Alone::RolledBack(error.into()))
            }
            Err(error) => {
                drop(self.connection.take().map(Object::take));
                match self.find_out(&key).await {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(Alone::RolledBack(error.into())),
                    Err(cause) => Err(Alone::Unknown(cause)),
                }
            }
        }
    }

    async fn prepare(&mut self, cluster: ClusterId, transaction: &commit::Transaction) -> Result<(), Cause> {
        let gid = Gid::new(cluster, self.postgres.participant(), transaction.clone())?;
        // PREPARE in a failed transaction rolls back, and is no error. The row before it fails then.
        let statements = format!(
            "INSERT INTO synod.fence (branch, state) VALUES ({}, 'w'); PREPARE TRANSACTION '{gid}'",
            fence::Key::of(&gid).literal()
        );
        self.state = State::Prepared(gid, None);
        match self.client().batch_execute(&statements).await {
            Ok(()) => {
                if let State::Prepared(_, ticket) = &mut self.state {
                    *ticket = Some(self.postgres.0.desk.prepared(transaction.id()));
                }
                Ok(())
            }
            Err(error) => {
                if is_answer(&error) {
                    // It is rolled back already, or the row has failed and it is to be.
                    self.give_back(Some("ROLLBACK"));
                } else {
                    drop(self.connection.take().map(Object::take));
                }
                Err(error.into())
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
        if end_prepared(connection, &statement, self.postgres.0.options.wait).await? {
            ticket.finished(outcome);
        }
        self.give_back(None);
        Ok(())
    }

    async fn roll_back(&mut self) {
        if matches!(self.state, State::Open)
            && let Some(connection) = &self.connection
            && connection.batch_execute("ROLLBACK").await.is_ok()
        {
            self.give_back(None);
        }
    }
}

impl Drop for PostgresBranch {
    fn drop(&mut self) {
        match self.state {
            State::Open => self.give_back(Some("ROLLBACK")),
            // Whatever comes of it comes by its name.
            State::Prepared(..) => drop(self.connection.take().map(Object::take)),
        }
    }
}

/// Ends a prepared branch, or waits until an agent of another process has: what is committed is seen when this returns. False
/// if it is not there any more: whether it was ended, or is lost, is for the agent to find out.
async fn end_prepared(connection: &Object, statement: &str, patience: Duration) -> Result<bool, tokio_postgres::Error> {
    let end = Instant::now() + patience;
    loop {
        match connection.batch_execute(statement).await {
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => return Ok(false),
            // Somebody else is at it.
            Err(error) if error.code() == Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) && Instant::now() < end => {
                sleep(Duration::from_millis(1)).await;
            }
            ended => return ended.map(|()| true),
        }
    }
}

/// Whether the server has answered, and it is known that nothing has happened. What else goes wrong leaves that open.
fn is_answer(error: &tokio_postgres::Error) -> bool {
    let lost = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::TRANSACTION_RESOLUTION_UNKNOWN,
        SqlState::CONNECTION_FAILURE,
    ];
    error.code().is_some_and(|code| !lost.contains(code))
}

/// A number that is drawn once.
#[allow(clippy::disallowed_types, reason = "a name that is drawn once is no part of the protocol")]
fn random() -> u128 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let half = || u128::from(RandomState::new().build_hasher().finish());
    half() << 64 | half()
}
