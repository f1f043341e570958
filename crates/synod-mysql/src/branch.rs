//! The part of a transaction in one database: an XA transaction, over a connection of its own.

use std::{fmt, time::Duration};

use mysql_async::{
    Conn, Params,
    prelude::{FromRow, Queryable},
};
use synod::commit::{self, ClusterId, Outcome};
use synod_client::{Alone, Branch, Cause, Ticket, Unprepared};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{
    Error, Mysql, Xid, codes,
    database::set_idle,
    fence::{Key, Row, bar, confirm},
    lent::{Lent, close},
};

/// How many rows this connection has changed since it was reset.
const CHANGES: &str =
    "SHOW SESSION STATUS WHERE Variable_name IN ('Handler_write', 'Handler_update', 'Handler_delete')";

/// A branch in MariaDB or MySQL. Its methods are those of [`mysql_async::prelude::Queryable`].
///
/// It is an XA transaction at the isolation level of [`Options::isolation`](crate::Options::isolation). What it `SET`s is gone
/// when it ends. The server refuses statements in it that would commit it (`COMMIT`, `CREATE TABLE`, …); `XA` statements are
/// not for it.
///
/// When a call is dropped before it is done, what it asked for may or may not be done, and the branch can only be rolled back:
/// its later calls fail.
pub struct MysqlBranch {
    mysql: Mysql,
    xid: Xid,
    /// Gone when the branch is over.
    connection: Option<Conn>,
    state: State,
    call: Call,
    /// The server has said that a row was changed.
    has_changed: bool,
}

/// How the last call over the connection has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Answered,
    /// It is under way, or was dropped before its answer came: the server may be at it.
    Unanswered,
    /// It has broken the connection. The server may have started again, and may have given the connection's number to another.
    Broken,
}

enum State {
    Open,
    /// XA PREPARE was sent. With a ticket, it was answered, too.
    Prepared(Option<Ticket>),
}

impl fmt::Debug for MysqlBranch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlBranch").field("xid", &self.xid).finish_non_exhaustive()
    }
}

impl MysqlBranch {
    pub(crate) async fn begin(mysql: Mysql, xid: Xid) -> Result<Self, Error> {
        let (mut conn, what) = (mysql.0.for_branch().await.map(Lent::new)?, "begin an XA transaction");
        let (participant, waited) = (mysql.participant(), mysql.0.options.wait);
        let end = Instant::now() + waited;
        loop {
            match timeout_at(end, conn.query_drop(format!("XA START {xid}"))).await {
                Ok(Ok(())) => break,
                // The name was given back by another branch, whose connection has not quite ended.
                Ok(Err(error)) if codes::of(&error) == Some(codes::TAKEN) && Instant::now() < end => {
                    sleep(Duration::from_millis(20)).await;
                }
                Ok(Err(source)) => return Err(mysql.0.failed(what, source)),
                Err(_) => return Err(Error::Silent { participant, what, waited }),
            }
        }
        let connection = conn.keep();
        Ok(Self { mysql, xid, connection, state: State::Open, call: Call::Answered, has_changed: false })
    }

    /// Runs a statement, or several, as text.
    pub async fn query_drop(&mut self, statements: impl AsRef<str>) -> mysql_async::Result<()> {
        let result = self.start()?.query_drop(statements.as_ref()).await;
        self.done(result)
    }

    /// All rows of a statement, as text.
    pub async fn query<T: FromRow + Send + 'static>(
        &mut self,
        statement: impl AsRef<str>,
    ) -> mysql_async::Result<Vec<T>> {
        let result = self.start()?.query(statement.as_ref()).await;
        self.done(result)
    }

    /// The first row of a statement, as text.
    pub async fn query_first<T: FromRow + Send + 'static>(
        &mut self,
        statement: impl AsRef<str>,
    ) -> mysql_async::Result<Option<T>> {
        let result = self.start()?.query_first(statement.as_ref()).await;
        self.done(result)
    }

    /// Runs a statement with parameters.
    pub async fn exec_drop(
        &mut self,
        statement: impl AsRef<str>,
        params: impl Into<Params>,
    ) -> mysql_async::Result<()> {
        let params = params.into();
        let result = self.start()?.exec_drop(statement.as_ref(), params).await;
        self.done(result)
    }

    /// All rows of a statement with parameters.
    pub async fn exec<T: FromRow + Send + 'static>(
        &mut self,
        statement: impl AsRef<str>,
        params: impl Into<Params>,
    ) -> mysql_async::Result<Vec<T>> {
        let params = params.into();
        let result = self.start()?.exec(statement.as_ref(), params).await;
        self.done(result)
    }

    /// The first row of a statement with parameters.
    pub async fn exec_first<T: FromRow + Send + 'static>(
        &mut self,
        statement: impl AsRef<str>,
        params: impl Into<Params>,
    ) -> mysql_async::Result<Option<T>> {
        let params = params.into();
        let result = self.start()?.exec_first(statement.as_ref(), params).await;
        self.done(result)
    }

    /// Runs a statement with these parameters, then with those, and so on.
    pub async fn exec_batch<P: Into<Params>>(
        &mut self,
        statement: impl AsRef<str>,
        params: impl IntoIterator<Item = P>,
    ) -> mysql_async::Result<()> {
        let params: Vec<Params> = params.into_iter().map(Into::into).collect();
        let result = self.start()?.exec_batch(statement.as_ref(), params).await;
        self.has_changed = true;
        self.done(result)
    }

    /// How many rows the last statement has changed.
    pub fn affected_rows(&self) -> u64 {
        self.connection.as_ref().map_or(0, Conn::affected_rows)
    }

    /// The number that the last statement has drawn for a row.
    pub fn last_insert_id(&self) -> Option<u64> {
        self.connection.as_ref()?.last_insert_id()
    }

    /// The connection, for a call whose answer is waited for. After a call that was not, what comes over it cannot be told.
    fn start(&mut self) -> mysql_async::Result<&mut Conn> {
        match &mut self.connection {
            Some(conn) if self.call == Call::Answered => {
                self.call = Call::Unanswered;
                Ok(conn)
            }
            _ => Err(mysql_async::Error::Other(
                "an earlier call was interrupted: the branch can only be rolled back".into(),
            )),
        }
    }

    fn done<T>(&mut self, result: mysql_async::Result<T>) -> mysql_async::Result<T> {
        let is_broken = result.as_ref().is_err_and(mysql_async::Error::is_fatal);
        self.call = if is_broken { Call::Broken } else { Call::Answered };
        self.has_changed |= self.affected_rows() > 0;
        result
    }

    /// Whether any row may have been changed.
    async fn may_have_changed(&mut self) -> mysql_async::Result<bool> {
        if !self.has_changed {
            let wait = self.mysql.0.options.wait;
            let asked = timeout(wait, self.query(CHANGES)).await;
            let changes: Vec<(String, u64)> = asked.map_err(|elapsed| mysql_async::Error::Other(elapsed.into()))??;
            self.has_changed = changes.len() != 3 || changes.iter().any(|(_, count)| *count > 0);
        }
        Ok(self.has_changed)
    }

    /// Finds out whether a commit whose answer was lost took place: its row came with it. If there is no row, the first to put
    /// a tombstone there settles that it has not committed, and never will.
    async fn find_out(&self, key: &Key) -> Result<bool, Cause> {
        let end = Instant::now() + self.mysql.0.options.wait;
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

    async fn ask(&self, key: &Key) -> Result<Option<bool>, Cause> {
        let (inner, mut conn) = (&self.mysql.0, self.mysql.0.for_verdicts().await?);
        let asked = async {
            Ok(match bar(&mut conn, key).await? {
                Some(Row::Work) => {
                    confirm(&mut conn, self.xid.participant()).await?;
                    Some(true)
                }
                Some(Row::Tombstone) => Some(false),
                // The commit is under way.
                Some(Row::Nothing) | None => None,
            })
        };
        let answer = inner.answer("say whether it has committed", asked).await?;
        conn.done();
        Ok(answer)
    }

    /// Runs statements that end the branch, and waits for the answer, but not for ever.
    async fn end_by(&mut self, statements: String) -> mysql_async::Result<()> {
        let wait = self.mysql.0.options.wait;
        match timeout(wait, self.query_drop(statements)).await {
            Ok(result) => result,
            // The call was interrupted by that, and nothing more can be said over the connection.
            Err(elapsed) => Err(mysql_async::Error::Other(elapsed.into())),
        }
    }

    /// Gives the connection back: nothing of the branch is left in it.
    fn give_back(&mut self) {
        self.connection = None;
    }

    /// Ends the connection. What was not prepared is rolled back by that; what was is then anybody's to end.
    fn end(&mut self) {
        let Some(conn) = self.connection.take() else { return };
        let (number, mysql) = (conn.id(), self.mysql.clone());
        close(conn);
        // The server may notice only when it has done what it is at, and that may take a while. After an error of the connection
        // itself nothing is killed: once the server has started again, the number may be somebody else's.
        if self.call == Call::Unanswered
            && matches!(self.state, State::Open)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                if let Ok(mut conn) = mysql.0.for_verdicts().await {
                    // An error says that it has ended by itself.
                    let kill = conn.query_drop(format!("KILL CONNECTION {number}"));
                    if !matches!(mysql.0.answer("end a connection", kill).await, Err(Error::Silent { .. })) {
                        conn.done();
                    }
                }
            });
        }
    }
}

impl Branch for MysqlBranch {
    async fn has_written(&mut self) -> Result<bool, Cause> {
        if self.may_have_changed().await? {
            return Ok(true);
        }
        let commit = format!("XA END {xid}; XA COMMIT {xid} ONE PHASE", xid = self.xid);
        self.end_by(commit).await?;
        self.give_back();
        Ok(false)
    }

    async fn commit_alone(&mut self) -> Result<(), Alone> {
        let has_changed = match self.may_have_changed().await {
            Ok(has_changed) => has_changed,
            Err(error) => {
                self.end();
                return Err(Alone::RolledBack(error.into()));
            }
        };
        let (key, xid) = (Key::alone(self.xid.participant(), random()), self.xid);
        let mut statements = format!("XA END {xid}; XA COMMIT {xid} ONE PHASE");
        if has_changed {
            statements = format!("{}; {statements}", key.insert());
        }
        let Err(error) = self.end_by(statements).await else {
            self.give_back();
            return Ok(());
        };
        self.end();
        if !has_changed {
            return Err(Alone::RolledBack(error.into()));
        }
        match self.find_out(&key).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Alone::RolledBack(error.into())),
            Err(cause) => Err(Alone::Unknown(cause)),
        }
    }

    async fn prepare(&mut self, cluster: ClusterId, transaction: &commit::Transaction) -> Result<(), Unprepared> {
        let xid = self.xid;
        if !xid.is_of(cluster, transaction) {
            self.end();
            return Err(Unprepared::RolledBack("the branch was begun for a transaction of another name".into()));
        }
        if self.call != Call::Answered {
            self.end();
            let why = "a call was interrupted, so it is not known what the branch has done: it is rolled back";
            return Err(Unprepared::RolledBack(why.into()));
        }
        // Until its connection ends, nobody else can end a prepared branch: should this host die, the server must notice.
        let (row, idle) = (Key::of(&xid).insert(), set_idle(self.mysql.0.options.wait));
        let ticket = self.mysql.0.desk.prepares(xid.tx());
        self.state = State::Prepared(None);
        match self.end_by(format!("{row}; {idle}; XA END {xid}; XA PREPARE {xid}")).await {
            Ok(()) => {
                ticket.prepared();
                self.state = State::Prepared(Some(ticket));
                Ok(())
            }
            Err(error) => {
                // Prepared or not, it is out of these hands.
                self.end();
                let is_unprepared = codes::is_unprepared(&error);
                Err(if is_unprepared { Unprepared::RolledBack } else { Unprepared::Unknown }(error.into()))
            }
        }
    }

    async fn finish(&mut self, outcome: Outcome) -> Result<(), Cause> {
        let State::Prepared(ticket) = &mut self.state else { return Ok(()) };
        let Some(ticket) = ticket.take() else { return Ok(()) };
        let verb = match outcome {
            Outcome::Committed => "COMMIT",
            Outcome::Aborted => "ROLLBACK",
        };
        let ended = self.end_by(format!("XA {verb} {}", self.xid)).await;
        match ended {
            Ok(()) => {
                ticket.finished(outcome);
                self.give_back();
                Ok(())
            }
            Err(error) => {
                // The agent gets at it only when this connection has ended.
                self.end();
                Err(error.into())
            }
        }
    }

    async fn roll_back(&mut self) {
        let xid = self.xid;
        if !matches!(self.state, State::Open) || self.connection.is_none() {
            return;
        }
        let rolled_back = match self.end_by(format!("XA END {xid}")).await {
            // After a deadlock it is ended already.
            Err(error) if codes::of(&error) != Some(codes::WRONG_STATE) => Err(error),
            _ => self.end_by(format!("XA ROLLBACK {xid}")).await,
        };
        match rolled_back {
            Ok(()) => self.give_back(),
            Err(_) => self.end(),
        }
    }
}

impl Drop for MysqlBranch {
    fn drop(&mut self) {
        self.end();
    }
}

/// A number that is drawn once.
#[allow(clippy::disallowed_types, reason = "a name that is drawn once is no part of the protocol")]
fn random() -> u128 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let half = || u128::from(RandomState::new().build_hasher().finish());
    half() << 64 | half()
}
