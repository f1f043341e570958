//! What the databases hold in the end, and whether it is right. Nobody is asked but the databases.

use std::{collections::BTreeSet, fmt, time::Duration};

use anyhow::Context;
use tokio::time::{Instant, sleep};

use crate::{books::BALANCE, databases::Kind, line::Report, server::Server};

/// What there is in one database: the money; the locks of transactions that have written; a line of several columns for each
/// prepared transaction; and the numbers of all transfers.
const fn look(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => {
            "SELECT coalesce(sum(balance), 0) FROM account; \
            SELECT count(*) FROM pg_locks WHERE relation IN ('account'::regclass, 'transfer'::regclass) \
            AND mode = 'RowExclusiveLock' AND pid IS DISTINCT FROM pg_backend_pid(); \
            SELECT gid, database FROM pg_prepared_xacts; \
            SELECT id FROM transfer;"
        }
        // Rows are locked if they are there and yet passed over, those of the fence as well, for who does not prepare any more
        // must not hold one either. InnoDB's list of its transactions would not do: it is renewed only for those who have not
        // asked for 0.1 s.
        Kind::Maria => {
            "SELECT COALESCE(SUM(balance), 0) FROM account; \
            SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED; \
            SELECT there.n - free.n FROM \
            (SELECT (SELECT COUNT(*) FROM account) + (SELECT COUNT(*) FROM synod_fence) AS n) there, \
            (SELECT (SELECT COUNT(*) FROM account FOR UPDATE SKIP LOCKED) \
            + (SELECT COUNT(*) FROM synod_fence FOR UPDATE SKIP LOCKED) AS n) free; \
            SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
            XA RECOVER FORMAT='SQL'; \
            SELECT id FROM transfer;"
        }
    }
}

/// What both databases hold.
#[derive(Debug)]
pub(crate) struct Audit {
    /// How much money there is less than there was.
    pub(crate) lost: i64,
    /// Transfers in both databases.
    pub(crate) whole: BTreeSet<u64>,
    /// Transfers in one of them only.
    pub(crate) half: BTreeSet<u64>,
    /// Prepared transactions.
    pub(crate) prepared: u64,
    /// Locks that transactions hold which have written.
    pub(crate) locks: u64,
}

struct Side {
    money: i64,
    prepared: u64,
    locks: u64,
    transfers: BTreeSet<u64>,
}

impl Audit {
    pub(crate) async fn of(servers: &[Server; 2], accounts: u64) -> anyhow::Result<Self> {
        let [left, right] = [Side::of(&servers[0]).await?, Side::of(&servers[1]).await?];
        Ok(Self {
            lost: (2 * accounts * BALANCE) as i64 - left.money - right.money,
            whole: &left.transfers & &right.transfers,
            half: &left.transfers ^ &right.transfers,
            prepared: left.prepared + right.prepared,
            locks: left.locks + right.locks,
        })
    }

    /// Whether nothing is under way, and nothing missing.
    pub(crate) fn is_clean(&self) -> bool {
        let Self { lost, half, prepared, locks, .. } = self;
        *lost == 0 && half.is_empty() && *prepared == 0 && *locks == 0
    }

    /// Looks again and again until all is clean, for `patience` at most: the last look, and how long it took.
    pub(crate) async fn when_clean(
        servers: &[Server; 2],
        accounts: u64,
        patience: Duration,
    ) -> anyhow::Result<(Self, Duration)> {
        let begun = Instant::now();
        loop {
            let audit = Self::of(servers, accounts).await?;
            if audit.is_clean() || begun.elapsed() >= patience {
                return Ok((audit, begun.elapsed()));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What applications were told that is not so: committed, and not there; aborted, and there.
    pub(crate) fn untrue(&self, report: &Report) -> [usize; 2] {
        let is_there = |id: &&u64| self.whole.contains(*id) || self.half.contains(*id);
        let missing = report.committed.iter().filter(|id| !self.whole.contains(*id)).count();
        [missing, report.aborted.iter().filter(is_there).count()]
    }
}

impl Side {
    async fn of(server: &Server) -> anyhow::Result<Self> {
        let text = server.sql(look(server.kind).into()).await?;
        let (prepared, numbers): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.contains('\t'));
        let number = |line: &str| line.parse::<i64>().with_context(|| format!("{line:?} should be a number"));
        let mut numbers = numbers.into_iter().map(number);
        let mut next = || numbers.next().context("the database has not answered all")?;
        let (money, locks) = (next()?, next()?);
        let transfers = numbers.map(|id| id.map(|id| id as u64)).collect::<anyhow::Result<_>>()?;
        Ok(Self { money, prepared: prepared.len() as u64, locks: locks as u64, transfers })
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, whole, half, prepared, locks } = self;
        writeln!(f, "audit: {} transfers in both databases", whole.len())?;
        writeln!(f, "  money lost                  {lost}")?;
        writeln!(f, "  transfers half applied      {}", half.len())?;
        writeln!(f, "  prepared transactions left  {prepared}")?;
        write!(f, "  locks left                  {locks}")
    }
}

#[cfg(test)]
mod tests {
    use synod_mysql::Mysql;

    use super::*;
    use crate::{books, cast::participant, databases::Databases};

    /// A server with books in which this was done, and what an audit finds there.
    async fn seen(databases: Databases, statements: &str) -> Option<Side> {
        if let Err(error) = databases.installed() {
            eprintln!("left out: {error}");
            return None;
        }
        let kind = databases.kinds()[0];
        let server = Server::start(kind).await.unwrap();
        server.sql(books::make(kind, 20)).await.unwrap();
        if kind == Kind::Maria {
            // Makes the fence.
            Mysql::connect(&server.url().await.unwrap(), participant(0)).await.unwrap();
        }
        let side = Side::of(&server).await.unwrap();
        assert_eq!((side.money, side.prepared, side.locks), (20 * BALANCE as i64, 0, 0));
        server.sql(statements.into()).await.unwrap();
        Some(Side::of(&server).await.unwrap())
    }

    const WORK: &str = "UPDATE account SET balance = balance + 7 WHERE id = 3; INSERT INTO transfer VALUES (1, 3, 7);";

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_left_prepared_in_postgres_is_found_with_its_locks_and_what_is_committed_is_counted() {
        let left = format!("{WORK} BEGIN; UPDATE account SET balance = 0 WHERE id = 4; PREPARE TRANSACTION 'left';");
        let Some(side) = seen(Databases::Postgres, &left).await else { return };
        assert_eq!((side.money, side.prepared, side.locks), (20 * BALANCE as i64 + 7, 1, 1));
        assert_eq!(side.transfers, [1].into());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_left_prepared_in_mariadb_is_found_with_its_locks_and_what_is_committed_is_counted() {
        let left = format!(
            "{WORK} XA START 'left'; UPDATE account SET balance = 0 WHERE id = 4;
             INSERT INTO synod_fence (branch, state) VALUES ('left', 'w'); XA END 'left'; XA PREPARE 'left';"
        );
        let Some(side) = seen(Databases::Mariadb, &left).await else { return };
        assert_eq!((side.money, side.prepared, side.locks), (20 * BALANCE as i64 + 7, 1, 2));
        assert_eq!(side.transfers, [1].into());
    }
}
