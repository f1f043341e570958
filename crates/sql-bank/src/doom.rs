//! An application that kills itself at a certain step of one transfer. The library knows nothing of it: what kills stands
//! before a database and before the transaction managers, and passes on what it is asked.

use std::{future::pending, path::Path, thread, time::Duration};

use anyhow::bail;
use futures_util::FutureExt;
use synod::commit::{self, ClusterId, GivenNames};
use synod_client::{Alone, Asked, Branch, Cause, Database, Manager, Name, NodeId, Outcome, TxId, Unprepared};
use synod_grpc::Client;
use synod_mysql::Mysql;
use synod_postgres::Postgres;

use crate::{
    books::{Books, Change, End, Failed, Transfer},
    databases::{Databases, Ledger, connect},
    plan::Plan,
};

/// When an application dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Step {
    /// Both branches are written, and nothing is prepared.
    Written,
    /// One branch is prepared, and the other one is not sent that yet.
    OnePrepared,
    /// A random time after the commit has begun.
    Anywhere,
    /// All is prepared, and nobody has begun the transaction.
    AllPrepared,
    /// A transaction manager has begun the transaction.
    Begun,
    /// The outcome is known here, and nobody was told.
    Decided,
    /// One branch is finished, and the other one is not sent that yet.
    OneFinished,
    /// All is done, and the caller was not told.
    Finished,
}

/// All of them, in order.
pub(crate) const STEPS: [Step; 8] = [
    Step::Written,
    Step::OnePrepared,
    Step::Anywhere,
    Step::AllPrepared,
    Step::Begun,
    Step::Decided,
    Step::OneFinished,
    Step::Finished,
];

impl Step {
    /// What is known of a transfer whose application died at this step.
    pub(crate) fn must_be(self) -> Option<Outcome> {
        match self {
            Self::Written | Self::OnePrepared => Some(Outcome::Aborted),
            Self::Decided | Self::OneFinished | Self::Finished => Some(Outcome::Committed),
            // Whoever asks first decides.
            Self::Anywhere | Self::AllPrepared | Self::Begun => None,
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Written => "before anything is prepared",
            Self::OnePrepared => "one branch is prepared",
            Self::Anywhere => "at any moment of the first 6 ms",
            Self::AllPrepared => "all is prepared, nothing begun",
            Self::Begun => "the transaction is begun",
            Self::Decided => "the outcome is known",
            Self::OneFinished => "one branch is finished",
            Self::Finished => "all is finished",
        }
    }
}

/// Makes one transfer, and dies at `step`. The branch on `side` is the one that is prepared or finished before that.
pub(crate) async fn run(data: &Path, transfer: Transfer, step: Step, side: u64, micros: u64) -> anyhow::Result<()> {
    let plan = Plan::read(data)?;
    let fates = [0, 1].map(|this| Fate { step, is_first: this == side, micros });
    match plan.databases {
        Databases::Postgres => meet::<Postgres, Postgres>(&plan, transfer, fates).await,
        Databases::Mariadb => meet::<Mysql, Mysql>(&plan, transfer, fates).await,
        Databases::Mixed => meet::<Postgres, Mysql>(&plan, transfer, fates).await,
    }
}

async fn meet<L: Ledger, R: Ledger>(plan: &Plan, transfer: Transfer, fates: [Fate; 2]) -> anyhow::Result<()> {
    let left = Doomed { inner: connect::<L>(plan, 0, 1).await?, fate: fates[0] };
    let right = Doomed { inner: connect::<R>(plan, 1, 1).await?, fate: fates[1] };
    let step = fates[0].step;
    let synod = plan.door(Watched { client: plan.client()?, step })?;
    let end = transfer.make(&synod, &left, &right).await;
    match &end {
        End::Committed => {}
        // With bad luck the agents were faster than this process, before the moment came.
        End::Aborted(_) if step == Step::Anywhere => {}
        end => bail!("the transfer should have been made, or this process be dead: {end:?}"),
    }
    die();
}

/// Kills this process as a crash would.
fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    loop {
        thread::park();
    }
}

/// What a database does to the application.
#[derive(Clone, Copy, Debug)]
struct Fate {
    step: Step,
    /// Whether its branch is the one that is prepared or finished before the end.
    is_first: bool,
    /// How long after the beginning of the commit the end comes, if it may come anywhere.
    micros: u64,
}

/// A database that kills the application.
struct Doomed<D> {
    inner: D,
    fate: Fate,
}

struct DoomedBranch<B> {
    inner: B,
    fate: Fate,
}

impl<D: Ledger> Database for Doomed<D> {
    type Branch = DoomedBranch<D::Branch>;

    const IS_NAMED: bool = D::IS_NAMED;

    fn participant(&self) -> NodeId {
        Database::participant(&self.inner)
    }

    async fn open(&self, name: Option<Name>) -> Result<Self::Branch, Cause> {
        Ok(DoomedBranch { inner: self.inner.open(name).await?, fate: self.fate })
    }
}

impl Fate {
    /// Lets the first branch through, and the other one never.
    async fn wait(self, step: Step) {
        if self.step == step && !self.is_first {
            pending().await
        }
    }

    fn pass(self, step: Step) {
        if self.step == step {
            die();
        }
    }
}

impl<B: Books> Branch for DoomedBranch<B> {
    /// This is the first thing that a commit asks for.
    async fn has_written(&mut self) -> Result<bool, Cause> {
        if self.fate.step == Step::Anywhere && self.fate.is_first {
            let wait = Duration::from_micros(self.fate.micros);
            thread::spawn(move || {
                thread::sleep(wait);
                die()
            });
        }
        self.inner.has_written().await
    }

    async fn commit_alone(&mut self) -> Result<(), Alone> {
        self.inner.commit_alone().await
    }

    async fn prepare(&mut self, cluster: ClusterId, transaction: &commit::Transaction) -> Result<(), Unprepared> {
        self.fate.pass(Step::Written);
        self.fate.wait(Step::OnePrepared).await;
        let prepared = self.inner.prepare(cluster, transaction).await;
        self.fate.pass(Step::OnePrepared);
        prepared
    }

    async fn finish(&mut self, outcome: Outcome) -> Result<(), Cause> {
        self.fate.wait(Step::OneFinished).await;
        let finished = self.inner.finish(outcome).await;
        self.fate.pass(Step::OneFinished);
        finished
    }

    async fn roll_back(&mut self) {
        self.inner.roll_back().await
    }
}

impl<B: Books> Books for DoomedBranch<B> {
    async fn change(&mut self, change: Change) -> Result<bool, Failed> {
        self.inner.change(change).await
    }
}

/// The transaction managers, and what kills the application before or after it asks them.
struct Watched {
    client: Client,
    step: Step,
}

impl Manager for Watched {
    fn cluster(&self) -> ClusterId {
        self.client.cluster()
    }

    fn names(&self, count: u64) -> Asked<'_, GivenNames> {
        Manager::names(&self.client, count)
    }

    fn begin<'a>(&'a self, transaction: &'a commit::Transaction) -> Asked<'a, ()> {
        async move {
            if self.step == Step::AllPrepared {
                die();
            }
            Manager::begin(&self.client, transaction).await?;
            if self.step == Step::Begun {
                die();
            }
            Ok(())
        }
        .boxed()
    }

    fn outcome(&self, tx: TxId) -> Asked<'_, Outcome> {
        async move {
            let outcome = Manager::outcome(&self.client, tx).await?;
            if self.step == Step::Decided {
                die();
            }
            Ok(outcome)
        }
        .boxed()
    }
}
