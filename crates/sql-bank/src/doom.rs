//! An application that kills itself at a certain step of one transfer. The library knows nothing of it: what kills stands
//! before a database and before the transaction managers, and passes on what it is asked.

use std::{future::pending, path::Path, thread, time::Duration};

use anyhow::bail;
use futures_util::FutureExt;
use synod::commit::{self, ClusterId, TxRange};
use synod_client::{Alone, Asked, Branch, Cause, Database, Manager, Name, NodeId, Outcome, TxId};
use synod_grpc::Client;
use synod_postgres::{Postgres, PostgresBranch};

use crate::{
    books::{Books, Change, End, Transfer},
    node::connect_with,
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
    let options = plan.options().connections(1);
    let [left, right] = [0, 1].map(|this| {
        let (plan, options) = (plan.clone(), options.clone());
        async move {
            let postgres = connect_with(&plan, this, options).await?;
            anyhow::Ok(Doomed { postgres, step, is_first: this == side })
        }
    });
    let (left, right) = (left.await?, right.await?);
    let synod = plan.door(Watched { client: plan.client()?, step, micros })?;
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

/// A database that kills the application.
#[derive(Clone, Debug)]
struct Doomed {
    postgres: Postgres,
    step: Step,
    /// Whether its branch is the one that is prepared or finished before the end.
    is_first: bool,
}

#[derive(Debug)]
struct DoomedBranch {
    inner: PostgresBranch,
    doomed: Doomed,
}

impl Database for Doomed {
    type Branch = DoomedBranch;

    fn participant(&self) -> NodeId {
        self.postgres.participant()
    }

    async fn open(&self, name: Option<Name>) -> Result<DoomedBranch, Cause> {
        Ok(DoomedBranch { inner: self.postgres.open(name).await?, doomed: self.clone() })
    }
}

impl DoomedBranch {
    /// Lets the first branch through, and the other one never.
    async fn wait(&self, step: Step) {
        if self.doomed.step == step && !self.doomed.is_first {
            pending().await
        }
    }

    fn pass(&self, step: Step) {
        if self.doomed.step == step {
            die();
        }
    }
}

impl Branch for DoomedBranch {
    async fn has_written(&mut self) -> Result<bool, Cause> {
        self.inner.has_written().await
    }

    async fn commit_alone(&mut self) -> Result<(), Alone> {
        self.inner.commit_alone().await
    }

    async fn prepare(&mut self, cluster: ClusterId, transaction: &commit::Transaction) -> Result<(), Cause> {
        self.pass(Step::Written);
        self.wait(Step::OnePrepared).await;
        let prepared = self.inner.prepare(cluster, transaction).await;
        self.pass(Step::OnePrepared);
        prepared
    }

    async fn finish(&mut self, outcome: Outcome) -> Result<(), Cause> {
        self.wait(Step::OneFinished).await;
        let finished = self.inner.finish(outcome).await;
        self.pass(Step::OneFinished);
        finished
    }

    async fn roll_back(&mut self) {
        self.inner.roll_back().await
    }
}

impl Books for DoomedBranch {
    async fn change(&mut self, change: Change) -> Result<bool, tokio_postgres::Error> {
        self.inner.change(change).await
    }
}

/// The transaction managers, and what kills the application before or after it asks them.
struct Watched {
    client: Client,
    step: Step,
    micros: u64,
}

impl Manager for Watched {
    fn cluster(&self) -> ClusterId {
        self.client.cluster()
    }

    /// This is the first thing that a commit asks for.
    fn names(&self, count: u64) -> Asked<'_, TxRange> {
        if self.step == Step::Anywhere {
            let wait = Duration::from_micros(self.micros);
            thread::spawn(move || {
                thread::sleep(wait);
                die()
            });
        }
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
