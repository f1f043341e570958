//! What the databases hold in the end, and whether it is right. Nobody is asked but the databases.

use std::{collections::BTreeSet, fmt, time::Duration};

use anyhow::Context;
use tokio::time::{Instant, sleep};

use crate::{books::BALANCE, line::Report, scene::Server};

/// What there is in one database: one statement, one row, for each.
const LOOK: &str = "SELECT coalesce(sum(balance), 0) FROM account; \
    SELECT count(*) FROM pg_prepared_xacts; \
    SELECT count(*) FROM pg_locks WHERE relation IN ('account'::regclass, 'transfer'::regclass) \
    AND mode = 'RowExclusiveLock' AND pid IS DISTINCT FROM pg_backend_pid(); \
    SELECT id FROM transfer;";

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
        let text = server.sql(LOOK.into()).await?;
        let mut lines = text.lines();
        let mut number = || {
            let line = lines.next().context("the database has not answered all")?;
            line.parse::<i64>().with_context(|| format!("{line:?} should be a number"))
        };
        let (money, prepared, locks) = (number()?, number()?, number()?);
        let mut transfers = BTreeSet::new();
        while let Ok(id) = number() {
            transfers.insert(id as u64);
        }
        Ok(Self { money, prepared: prepared as u64, locks: locks as u64, transfers })
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
