//! An application: tellers who make transfers until the input ends, and remember nothing of them.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use synod_client::{Outcome, OutcomeError, Synod, TxId};
use synod_mysql::Mysql;
use synod_postgres::Postgres;
use tokio::{
    io::{AsyncReadExt, stdin},
    select,
    task::JoinSet,
    time::{interval, sleep},
};

use crate::{
    books::{End, Transfer},
    databases::{Databases, Ledger, connect},
    line::{Line, Report, say},
    plan::Plan,
    random::Random,
};

/// How often it says what it has done.
const BEAT: Duration = Duration::from_millis(100);

/// How many transfers an application can number: the rest of the number is its own.
const TRANSFERS: u64 = 1 << 32;

/// What the tellers of an application share.
struct Counter<L, R> {
    synod: Synod,
    left: L,
    right: R,
    accounts: u64,
    next: AtomicU64,
    closing: AtomicBool,
    report: Mutex<Report>,
}

/// Runs the application `number`, which no other has had, with so many tellers.
pub(crate) async fn run(data: &Path, number: u64, tellers: u64, seed: u64) -> anyhow::Result<()> {
    crate::signals::wake_when_parent_dies()?;
    let plan = Plan::read(data)?;
    match plan.databases {
        Databases::Postgres => open::<Postgres, Postgres>(&plan, number, tellers, seed).await,
        Databases::Mariadb => open::<Mysql, Mysql>(&plan, number, tellers, seed).await,
        Databases::Mixed => open::<Postgres, Mysql>(&plan, number, tellers, seed).await,
    }
}

async fn open<L: Ledger, R: Ledger>(plan: &Plan, number: u64, tellers: u64, seed: u64) -> anyhow::Result<()> {
    let (left, right) = (connect(plan, 0, tellers as usize).await?, connect(plan, 1, tellers as usize).await?);
    let counter = Arc::new(Counter::<L, R> {
        synod: plan.door(plan.client()?)?,
        left,
        right,
        accounts: plan.accounts,
        next: AtomicU64::new(number * TRANSFERS),
        closing: AtomicBool::new(false),
        report: Mutex::default(),
    });
    say(&Line::Ready);
    let mut working = JoinSet::new();
    for teller in 0..tellers {
        working.spawn(Arc::clone(&counter).work(Random(seed ^ teller << 48)));
    }
    let (mut beat, mut input, mut byte) = (interval(BEAT), stdin(), [0]);
    loop {
        select! {
            read = input.read(&mut byte), if !counter.closing.load(Ordering::Relaxed) => {
                if read? == 0 {
                    counter.closing.store(true, Ordering::Relaxed);
                }
            }
            _ = beat.tick() => counter.say(),
            ended = working.join_next() => match ended {
                Some(ended) => ended?,
                None => break,
            },
        }
    }
    counter.say();
    Ok(())
}

impl<L: Ledger, R: Ledger> Counter<L, R> {
    async fn work(self: Arc<Self>, mut random: Random) {
        while !self.closing.load(Ordering::Relaxed) {
            let transfer = Transfer {
                id: self.next.fetch_add(1, Ordering::Relaxed),
                accounts: [random.below(self.accounts), random.below(self.accounts)],
                amount: random.between((1, 100)) as i64 * if random.below(2) == 0 { 1 } else { -1 },
            };
            let begun = Instant::now();
            match transfer.make(&self.synod, &self.left, &self.right).await {
                End::Committed => {
                    let micros = begun.elapsed().as_micros() as u64;
                    self.note(|report| {
                        report.committed.push(transfer.id);
                        report.micros.push(micros);
                    });
                }
                End::Refused => self.note(|report| report.error("not enough in the account")),
                End::Aborted(failure) => {
                    let kind = failure.as_ref().map_or_else(|| "aborted".into(), |failure| failure.kind());
                    if let Some(failure) = &failure {
                        tracing::debug!(error = failure as &dyn std::error::Error, "not made");
                    }
                    self.note(|report| {
                        report.aborted.push(transfer.id);
                        report.error(kind);
                    });
                    // Whatever it is, it may need a moment.
                    sleep(Duration::from_millis(10)).await;
                }
                End::Unknown(tx, error) => {
                    tracing::info!(error = &error as &dyn std::error::Error, "not known yet");
                    let kind = match tx {
                        Some(tx) => self.ask(transfer.id, tx).await,
                        None => "answer lost, and not asked again",
                    };
                    self.note(|report| report.error(kind));
                }
            }
        }
    }

    /// Asks how `tx` ended, whose answer was lost.
    async fn ask(&self, transfer: u64, tx: TxId) -> &'static str {
        match self.synod.outcome(tx).await {
            Ok(Outcome::Committed) => {
                self.note(|report| report.committed.push(transfer));
                "answer lost, and committed when asked again"
            }
            Ok(Outcome::Aborted) => {
                self.note(|report| report.aborted.push(transfer));
                "answer lost, and aborted when asked again"
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "not known");
                match error {
                    OutcomeError::Forgotten(_) => "answer lost, and forgotten when asked again",
                    _ => "answer lost, and not known when asked again",
                }
            }
        }
    }

    fn note(&self, note: impl FnOnce(&mut Report)) {
        note(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Says what is new.
    fn say(&self) {
        let mut new = Report::default();
        self.note(|report| std::mem::swap(report, &mut new));
        say(&Line::Report(new));
    }
}
