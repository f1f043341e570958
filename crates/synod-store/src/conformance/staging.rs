//! What a store owes that offers `Stage`: for transactions that have no content of their own.

use synod::{
    NodeId,
    commit::{ClusterId, Meta, Promised, Transaction, TxRange, Vote},
    perform::conformance::{Report, ResourceUnderTest as _, SceneError, Verdict},
};
use synod_grpc::Security;
use tokio::task::JoinSet;

use super::{AT_ONCE, CLUSTER, Found, KILLS, PARTICIPANT, Scene, about, name, refused};
use crate::{Error, Options, Store, store::Staged};

/// More than fits into one page of what Python lists.
const MANY: u64 = 300;

/// Each check, its contract, and how it is tried.
type Tried = (&'static str, &'static str, for<'a, 'b> fn(&'a mut Scene<'b>) -> Trial<'a>);
type Trial<'a> = std::pin::Pin<Box<dyn Future<Output = Found> + 'a>>;

const CHECKS: [Tried; 7] = [
    (
        "what is staged outlives SIGKILL, at whatever moment that comes, and is what its transaction promises and commits",
        "`STAGE_DONE` is durable before it is said: the transaction begins at once, and other databases are prepared for it; \
         `Prepare` without `meta` is about what is staged under its name",
        |scene| Box::pin(scene.stages_killed()),
    ),
    (
        "what is not staged, or was taken back, is not promised",
        "without `meta`, and with nothing staged, the vote is VOTE_ABORTED: its application has died, or has changed its mind",
        |scene| Box::pin(scene.nothing_staged()),
    ),
    (
        "one name has one content",
        "what is staged stays as it is, through a crash, too; the same content again is `STAGE_DONE`, other content is \
         `STAGE_OTHERWISE`",
        |scene| Box::pin(scene.one_content()),
    ),
    (
        "under the name of what is promised or over nothing is staged any more",
        "`Stage` that comes late is `STAGE_LATE`, and what was staged goes with the end of its transaction: nobody would ever \
         take it back",
        |scene| Box::pin(scene.staged_late()),
    ),
    (
        "what is promised is not taken back",
        "`Unstage` never touches what is promised: others may have committed",
        |scene| Box::pin(scene.unstaged_late()),
    ),
    (
        "the agent is told of everything that is staged",
        "`Staged` lists all that is staged and not promised, in order of name, page by page: by it the agent finds what an \
         application has left behind",
        |scene| Box::pin(scene.told()),
    ),
    (
        "what is to be staged in another's store is refused, and changes nothing",
        "a store is one participant's, in one cluster: an application with the wrong address must hear of it",
        |scene| Box::pin(scene.anothers_stages()),
    ),
];

impl Scene<'_> {
    /// Tries all of it, if the store offers it.
    pub(super) async fn check_staging(&mut self, report: &mut Report) {
        let is_offered = match self.open().await {
            Ok(_) => self.offers_staging().await,
            Err(error) => Err(error),
        };
        self.kill().await;
        for (sentence, contract, tried) in CHECKS {
            match &is_offered {
                Ok(true) => self.check(report, sentence, contract, async |scene| tried(scene).await).await,
                Ok(false) => {
                    let why = "the store does not offer `Stage`, so it takes part in transactions among stores only";
                    report.add(sentence, contract, Verdict::Skipped(why));
                }
                Err(error) => report.add(sentence, contract, Verdict::Failed(error.to_string())),
            }
        }
    }

    async fn offers_staging(&self) -> Result<bool, SceneError> {
        match self.store()?.0.unstage(CLUSTER, &[]).await {
            Ok(()) => Ok(true),
            Err(Error::NoStaging { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn stages_killed(&mut self) -> Found {
        for round in 0..KILLS {
            let numbers: Vec<u64> = (0..AT_ONCE).map(|_| self.new_work()).collect();
            let mut stages = JoinSet::new();
            for number in numbers.iter().copied() {
                let store = self.store()?;
                stages.spawn(async move {
                    (number, store.0.stage_once(CLUSTER, name(number), about(number).into_bytes()).await)
                });
            }
            let answered = self.kill_under_way(stages, round).await;
            self.open().await?;
            let is_done = |staged: Result<Staged, Error>| matches!(staged, Ok(Staged::Done));
            let done: Vec<u64> =
                answered.into_iter().filter_map(|(number, staged)| is_done(staged).then_some(number)).collect();
            self.expect_staged(&done, &[]).await?;
            for number in &done {
                self.expect_vote(*number, Vote::Prepared).await?;
            }
            self.restart().await?;
            self.expect_promised(&done).await?;
            self.end_all(&done, true).await?;
            let seen = done.len().min(3);
            self.expect_shows(&done[..seen], 1).await?;
            let others: Vec<u64> = numbers.into_iter().filter(|number| !done.contains(number)).collect();
            self.unstage(&others).await?;
        }
        Ok(())
    }

    async fn nothing_staged(&mut self) -> Found {
        let (never, taken_back) = (self.new_work(), self.new_work());
        self.stage(taken_back, Staged::Done).await?;
        self.unstage(&[taken_back]).await?;
        for _ in 0..2 {
            self.expect_staged(&[], &[never, taken_back]).await?;
            for number in [never, taken_back] {
                self.expect_vote(number, Vote::Aborted).await?;
            }
            self.restart().await?;
        }
        self.end_all(&[never, taken_back], false).await?;
        self.expect_shows(&[never, taken_back], 0).await
    }

    async fn one_content(&mut self) -> Found {
        let (number, other) = (self.new_work(), self.new_work());
        for _ in 0..2 {
            self.stage(number, Staged::Done).await?;
            let staged = self.store()?.0.stage(CLUSTER, name(number), about(other).into_bytes()).await?;
            if staged != Staged::Otherwise {
                return Err(format!("other content under the name {} is {staged:?}", name(number)).into());
            }
            self.restart().await?;
        }
        self.expect_vote(number, Vote::Prepared).await?;
        self.end_all(&[number], true).await?;
        self.expect_shows(&[number], 1).await?;
        self.expect_shows(&[other], 0).await
    }

    async fn staged_late(&mut self) -> Found {
        let (never, aborted, promised) = (self.new_work(), self.new_work(), self.new_work());
        for number in [aborted, promised] {
            self.stage(number, Staged::Done).await?;
        }
        self.expect_vote(promised, Vote::Prepared).await?;
        self.end_all(&[never, aborted], false).await?;
        for _ in 0..2 {
            for number in [never, aborted, promised] {
                self.stage(number, Staged::Late).await?;
            }
            self.restart().await?;
        }
        for number in [never, aborted] {
            self.expect_vote(number, Vote::Aborted).await?;
        }
        self.end_all(&[promised], true).await?;
        self.stage(promised, Staged::Late).await?;
        for number in [never, aborted, promised] {
            self.store()?.0.forget(CLUSTER, TxRange::only(name(number))).await?;
        }
        self.expect_staged(&[], &[never, aborted, promised]).await?;
        self.expect_shows(&[promised], 1).await?;
        self.expect_shows(&[never, aborted], 0).await
    }

    async fn unstaged_late(&mut self) -> Found {
        let number = self.new_work();
        self.stage(number, Staged::Done).await?;
        self.expect_vote(number, Vote::Prepared).await?;
        self.unstage(&[number]).await?;
        self.restart().await?;
        self.expect_promised(&[number]).await?;
        self.unstage(&[number]).await?;
        self.end_all(&[number], true).await?;
        self.expect_shows(&[number], 1).await
    }

    async fn told(&mut self) -> Found {
        let numbers: Vec<u64> = (0..MANY).map(|_| self.new_work()).collect();
        for number in &numbers {
            self.stage(*number, Staged::Done).await?;
        }
        self.expect_staged(&numbers, &[]).await?;
        let [promised, aborted, left @ ..] = &numbers[..] else { return Ok(()) };
        self.expect_vote(*promised, Vote::Prepared).await?;
        self.end_all(&[*aborted], false).await?;
        self.restart().await?;
        self.expect_staged(left, &[*promised, *aborted]).await?;
        self.unstage(left).await?;
        self.expect_staged(&[], left).await?;
        self.end_all(&[*promised], true).await
    }

    async fn anothers_stages(&mut self) -> Found {
        let (number, other) = (self.new_work(), self.new_work());
        self.stage(number, Staged::Done).await?;
        let address = self.store()?.0.address.clone();
        let strangers = [(CLUSTER, NodeId(PARTICIPANT.0 + 1)), (ClusterId(*b"another cluster."), PARTICIPANT)];
        for (cluster, participant) in strangers {
            let whose = format!("for participant {participant} of cluster {cluster}");
            let stranger = Store::new(&address, participant, Security::Plaintext, Options::new())?;
            let asked = stranger.0.stage(cluster, name(other), about(other).into_bytes()).await;
            refused(&format!("`Stage` {whose}"), asked)?;
            refused(&format!("`Unstage` {whose}"), stranger.0.unstage(cluster, &[name(number)]).await)?;
            refused(&format!("`Staged` {whose}"), stranger.0.staged(cluster).await)?;
        }
        self.restart().await?;
        self.expect_staged(&[number], &[other]).await?;
        self.unstage(&[number]).await
    }

    async fn stage(&self, number: u64, expected: Staged) -> Found {
        let staged = self.store()?.0.stage(CLUSTER, name(number), about(number).into_bytes()).await?;
        if staged == expected {
            return Ok(());
        }
        Err(format!("`Stage` of {} is answered {staged:?}, and not {expected:?}", name(number)).into())
    }

    async fn unstage(&self, numbers: &[u64]) -> Found {
        let names: Vec<_> = numbers.iter().map(|number| name(*number)).collect();
        Ok(self.store()?.0.unstage(CLUSTER, &names).await?)
    }

    async fn expect_vote(&self, number: u64, expected: Vote) -> Found {
        let Promised { transaction, meta, .. } = wanting(number);
        let vote = self.store()?.0.prepare(CLUSTER, &transaction, &meta).await?;
        if vote == expected {
            return Ok(());
        }
        Err(format!("the vote on {}, which has no `meta`, is {vote:?}, and not {expected:?}", name(number)).into())
    }

    async fn expect_promised(&self, numbers: &[u64]) -> Found {
        let held = self.store()?.0.prepared(CLUSTER).await?;
        match numbers.iter().find(|number| !held.contains(&wanting(**number))) {
            Some(lost) => Err(format!("{} was promised, and is not held as it was promised", name(*lost)).into()),
            None => Ok(()),
        }
    }

    async fn expect_staged(&self, there: &[u64], others: &[u64]) -> Found {
        let staged = self.store()?.0.staged(CLUSTER).await?;
        let has = |number: &&u64| staged.binary_search(&name(**number)).is_ok();
        if let Some(lost) = there.iter().find(|number| !has(number)) {
            return Err(format!("{} was staged, and `Staged` does not list it", name(*lost)).into());
        }
        match others.iter().find(has) {
            Some(other) => {
                Err(format!("`Staged` lists {}, which nobody has staged, or which is gone", name(*other)).into())
            }
            None => Ok(()),
        }
    }
}

/// The transaction that wants of the store what is staged under its name.
fn wanting(number: u64) -> Promised {
    let transaction = Transaction::new(name(number), [PARTICIPANT, NodeId(14)], Meta::default());
    Promised::new(transaction.unwrap_or_else(|_| unreachable!("two participants, in order")), Meta::default())
}
