//! The bench that a resource is on: it does what a node does, step by step, and crashes where a check says so.

use std::collections::BTreeSet;

use super::{
    ResourceUnderTest, SceneError,
    ask::{Answer, Ask, Call},
};
use crate::{
    TxId,
    commit::{Input, Outcome, Promised, Record, ResourceKind, ResourceManagerRecord, TxRange, Vote},
    perform::{
        Progress,
        conformance::{Report, Verdict},
    },
};

/// How often a resource is asked again that says so, or is waited for.
const TRIES: usize = 200;
/// How often it is asked for what it must not do.
const FEW: usize = 3;

/// How a check goes.
pub(super) type Found = Result<(), Stop>;

/// Why a check ends before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The contract is broken.
    Broken(String),
    /// It cannot be tried.
    Skipped(&'static str),
}

impl From<String> for Stop {
    fn from(found: String) -> Self {
        Self::Broken(found)
    }
}

pub(super) struct Bench<'a, U: ResourceUnderTest, A> {
    subject: &'a mut U,
    ask: A,
    kind: ResourceKind,
    /// There is none between a crash and the next start.
    resource: Option<U::Resource>,
    /// The number of the next work.
    next: u64,
    /// The work of the present check that has not ended.
    open: BTreeSet<u64>,
    /// Answers that came while another one was awaited.
    answers: Vec<Input>,
    report: Report,
}

impl<'a, U: ResourceUnderTest, A: Ask<U::Resource>> Bench<'a, U, A> {
    pub(super) fn new(subject: &'a mut U, ask: A) -> Self {
        let kind = subject.kind();
        let report = Report::new("resource");
        Self { subject, ask, kind, resource: None, next: 0, open: BTreeSet::new(), answers: Vec::new(), report }
    }

    /// Makes one check, in a process that has just started, and ends all that it leaves.
    pub(super) async fn check(
        &mut self,
        name: &'static str,
        contract: &'static str,
        check: impl AsyncFnOnce(&mut Self) -> Found,
    ) {
        let found = match self.start(&[]).await {
            Ok(_) => check(self).await,
            Err(stop) => Err(stop),
        };
        self.leave().await;
        let verdict = match found {
            Ok(()) => Verdict::Passed,
            Err(Stop::Broken(found)) => Verdict::Failed(found),
            Err(Stop::Skipped(why)) => Verdict::Skipped(why),
        };
        self.report.add(name, contract, verdict);
    }

    pub(super) fn into_report(self) -> Report {
        self.report
    }

    /// A check that failed may leave work that holds up the next one. Whether this succeeds is no part of any check.
    async fn leave(&mut self) {
        if self.resource.is_none() && self.start(&[]).await.is_err() {
            self.crash().await;
        }
        for number in core::mem::take(&mut self.open) {
            let call = Call::verdict(self.work(number), Outcome::Aborted);
            if matches!(self.carry_out(number, call, FEW).await, Ok(Progress::Finished)) {
                let _ = self.write_end(number, Outcome::Aborted).await;
            }
        }
        self.crash().await;
    }

    pub(super) fn kind(&self) -> ResourceKind {
        self.kind
    }

    /// The number of a work that nothing was done for yet.
    pub(super) fn new_work(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    pub(super) fn name(&self, number: u64) -> TxId {
        self.subject.work(number).transaction.id()
    }

    pub(super) fn work(&self, number: u64) -> Promised {
        self.subject.work(number)
    }

    /// The number of a work by its transaction.
    pub(super) fn number(&self, tx: TxId) -> Option<u64> {
        (0..self.next).find(|number| self.name(*number) == tx)
    }

    // The process.

    /// Ends the process.
    pub(super) async fn crash(&mut self) {
        self.answers.clear();
        if let Some(resource) = self.resource.take() {
            self.subject.crash(resource).await;
        }
    }

    /// Starts the process, with records of votes for these works, and returns what the resource finds prepared in itself.
    pub(super) async fn start(&mut self, promised: &[u64]) -> Result<Vec<Promised>, Stop> {
        self.try_start(promised).await?.map_err(|error| format!("`recover` fails: {error}").into())
    }

    /// Starts the process. The resource may fail to recover.
    pub(super) async fn try_start(&mut self, promised: &[u64]) -> Result<Result<Vec<Promised>, SceneError>, Stop> {
        let mut resource = self.subject.open().await.map_err(scene("open the resource"))?;
        let promised: Vec<_> = promised.iter().map(|number| self.subject.work(*number)).collect();
        let recovered = self.ask.recover(&mut resource, &promised).await;
        self.resource = Some(resource);
        Ok(recovered)
    }

    /// A crash, and the next start.
    pub(super) async fn restart(&mut self, promised: &[u64]) -> Result<Vec<Promised>, Stop> {
        self.crash().await;
        self.start(promised).await
    }

    // What a node asks.

    /// The application's part in a work.
    pub(super) async fn prepare(&mut self, number: u64) -> Found {
        self.try_prepare(number).await?.map_err(scene("prepare"))
    }

    /// The application's part in a work that it may be too late for.
    pub(super) async fn try_prepare(&mut self, number: u64) -> Result<Result<(), SceneError>, Stop> {
        self.open.insert(number);
        let resource = self.resource.as_mut().ok_or_else(down)?;
        Ok(self.subject.prepare(resource, number).await)
    }

    pub(super) async fn vote(&mut self, number: u64) -> Result<Vote, Stop> {
        self.open.insert(number);
        let call = Call::Vote(self.work(number));
        let answers = self.ask(&[call]).await?;
        self.settle_vote(number, answers.first().copied()).await
    }

    /// A work that the resource has voted to commit, without the node's record of it.
    pub(super) async fn vote_to_commit(&mut self, number: u64) -> Found {
        self.prepare(number).await?;
        self.expect_vote(number, "when it is asked for the first time").await
    }

    /// A work that the resource has voted to commit, with the node's record of it.
    pub(super) async fn promise(&mut self, number: u64) -> Found {
        self.vote_to_commit(number).await?;
        self.write_vote(number).await
    }

    pub(super) async fn expect_vote(&mut self, number: u64, when: &str) -> Found {
        match self.vote(number).await? {
            Vote::Prepared => Ok(()),
            vote @ Vote::Aborted => Err(format!("its vote on {} is {vote:?} {when}", self.name(number)).into()),
        }
    }

    /// Hands an outcome over, until the resource does not want to be asked again.
    pub(super) async fn hand_over(&mut self, number: u64, outcome: Outcome) -> Result<Progress, Stop> {
        self.carry_out(number, Call::verdict(self.work(number), outcome), TRIES).await
    }

    /// The same, by the transaction's name alone.
    pub(super) async fn hand_over_by_name(&mut self, number: u64, outcome: Outcome) -> Result<Progress, Stop> {
        self.carry_out(number, Call::verdict_by_name(self.work(number), outcome), TRIES).await
    }

    pub(super) async fn finish(&mut self, number: u64, outcome: Outcome, when: &str) -> Found {
        let progress = self.hand_over(number, outcome).await?;
        self.expect_finished(number, outcome, progress, when)
    }

    pub(super) async fn finish_by_name(&mut self, number: u64, outcome: Outcome, when: &str) -> Found {
        let progress = self.hand_over_by_name(number, outcome).await?;
        self.expect_finished(number, outcome, progress, &format!("{when}, by its name alone"))
    }

    /// The whole end of a work: it is carried out, and the node has written that.
    pub(super) async fn end(&mut self, number: u64, outcome: Outcome) -> Found {
        self.finish(number, outcome, "for the first time").await?;
        self.write_end(number, outcome).await
    }

    fn expect_finished(&self, number: u64, outcome: Outcome, progress: Progress, when: &str) -> Found {
        if progress == Progress::Finished {
            return Ok(());
        }
        let tx = self.name(number);
        Err(format!("it is told {when} that {tx} is {outcome:?}, and its answer is {progress:?}, not `Finished`")
            .into())
    }

    /// Tells the resource of a commit that it may be unable to carry out. Whether it says that it has.
    pub(super) async fn try_commit(&mut self, number: u64) -> Result<bool, Stop> {
        let call = Call::verdict(self.work(number), Outcome::Committed);
        let is_done = self.carry_out(number, call, FEW).await? == Progress::Finished;
        if is_done {
            self.write_end(number, Outcome::Committed).await?;
        }
        Ok(is_done)
    }

    /// Tells the resource of a commit that cannot be carried out: it must not say that it was.
    pub(super) async fn expect_refused(&mut self, number: u64, why: &str) -> Found {
        for call in [Call::verdict_by_name, Call::verdict] {
            let call = call(self.work(number), Outcome::Committed);
            if self.carry_out(number, call, FEW).await? == Progress::Finished {
                return Err(format!("a commit of {} is answered `Finished`, {why}", self.name(number)).into());
            }
        }
        self.expect_shows(number, 0, "after a commit that it refused").await
    }

    pub(super) fn forget(&mut self, number: u64) -> Found {
        let range = TxRange::only(self.name(number));
        self.ask.forget(self.resource.as_mut().ok_or_else(down)?, range);
        Ok(())
    }

    /// Many votes at once.
    pub(super) async fn votes(&mut self, numbers: &[u64]) -> Result<Vec<Vote>, Stop> {
        let calls: Vec<_> = numbers.iter().map(|number| Call::Vote(self.work(*number))).collect();
        let (answers, mut votes) = (self.ask(&calls).await?, Vec::new());
        for (number, answer) in numbers.iter().zip(answers) {
            votes.push(self.settle_vote(*number, Some(answer)).await?);
        }
        Ok(votes)
    }

    /// Many verdicts at once. What is to be asked again is then asked one by one.
    pub(super) async fn finish_all(&mut self, verdicts: &[(u64, Outcome)]) -> Found {
        let calls: Vec<_> =
            verdicts.iter().map(|(number, outcome)| Call::verdict(self.work(*number), *outcome)).collect();
        for ((number, outcome), answer) in verdicts.iter().zip(self.ask(&calls).await?) {
            let progress = match answer {
                Answer::CarriedOut(Progress::Again) => self.hand_over(*number, *outcome).await?,
                answer => self.settle(*number, answer).await?,
            };
            self.expect_finished(*number, *outcome, progress, "among many others")?;
        }
        Ok(())
    }

    async fn ask(&mut self, calls: &[Call]) -> Result<Vec<Answer>, Stop> {
        Ok(self.ask.ask(self.resource.as_mut().ok_or_else(down)?, calls).await)
    }

    async fn carry_out(&mut self, number: u64, call: Call, tries: usize) -> Result<Progress, Stop> {
        for _ in 0..tries {
            for answer in self.ask(core::slice::from_ref(&call)).await? {
                let progress = self.settle(number, answer).await?;
                if progress != Progress::Again {
                    return Ok(progress);
                }
            }
            self.subject.pause().await;
        }
        Ok(Progress::Again)
    }

    async fn settle_vote(&mut self, number: u64, answer: Option<Answer>) -> Result<Vote, Stop> {
        if let Some(Answer::Voted(Some(vote))) = answer {
            return Ok(vote);
        }
        let tx = self.name(number);
        match self.later(|input| matches!(input, Input::Vote { transaction, .. } if transaction.id() == tx)).await? {
            Some(Input::Vote { vote, .. }) => Ok(vote),
            _ => Err(format!("`vote` on {tx} answers `None`, and no vote comes later").into()),
        }
    }

    /// What becomes of a verdict whose answer may come later.
    async fn settle(&mut self, number: u64, answer: Answer) -> Result<Progress, Stop> {
        let tx = self.name(number);
        match answer {
            Answer::CarriedOut(Progress::Later) => {
                let finished = self.later(|input| *input == Input::Finished(tx)).await?;
                Ok(if finished.is_some() { Progress::Finished } else { Progress::Later })
            }
            Answer::CarriedOut(progress) => Ok(progress),
            Answer::Voted(_) => Ok(Progress::Again),
        }
    }

    async fn later(&mut self, wanted: impl Fn(&Input) -> bool) -> Result<Option<Input>, Stop> {
        for _ in 0..TRIES {
            if let Some(place) = self.answers.iter().position(&wanted) {
                return Ok(Some(self.answers.remove(place)));
            }
            let Some(input) = self.subject.later(self.resource.as_mut().ok_or_else(down)?).await else { break };
            self.answers.push(input);
        }
        Ok(None)
    }

    // What a node writes.

    pub(super) async fn write_vote(&mut self, number: u64) -> Found {
        self.write(number, None).await
    }

    pub(super) async fn write_end(&mut self, number: u64, outcome: Outcome) -> Found {
        self.write(number, Some(outcome)).await?;
        self.open.remove(&number);
        Ok(())
    }

    async fn write(&mut self, number: u64, finished: Option<Outcome>) -> Found {
        let Promised { transaction, meta } = self.work(number);
        let vote = Some(Vote::Prepared);
        let record = Record::ResourceManager(ResourceManagerRecord { transaction, meta: Some(meta), vote, finished });
        let resource = self.resource.as_mut().ok_or_else(down)?;
        self.subject.write(resource, &record).await.map_err(scene("write a record"))
    }

    // What an onlooker sees.

    pub(super) async fn expect_shows(&mut self, number: u64, times: usize, when: &str) -> Found {
        let resource = self.resource.as_ref().ok_or_else(down)?;
        let shows = self.subject.shows(resource, number).await.map_err(scene("look"))?;
        if shows == times {
            return Ok(());
        }
        Err(format!("{when}, the work of {} shows {shows} times instead of {times}", self.name(number)).into())
    }

    /// Whether the resource holds a work, if the scene can tell.
    pub(super) async fn holds(&mut self, number: u64) -> Result<Option<bool>, Stop> {
        let resource = self.resource.as_ref().ok_or_else(down)?;
        self.subject.holds(resource, number).await.map_err(scene("tell what is held"))
    }

    /// Compares that, if the scene can tell.
    pub(super) async fn expect_holds(&mut self, number: u64, expected: bool, when: &str) -> Found {
        match self.holds(number).await? {
            Some(holds) if holds != expected => {
                let not = if holds { "still " } else { "not " };
                Err(format!("{when}, {} is {not}held", self.name(number)).into())
            }
            _ => Ok(()),
        }
    }

    /// Waits until nothing is remembered of a work. Returns false if the scene cannot tell.
    pub(super) async fn expect_forgotten(&mut self, number: u64) -> Result<bool, Stop> {
        for _ in 0..TRIES {
            let resource = self.resource.as_ref().ok_or_else(down)?;
            match self.subject.remembers(resource, number).await.map_err(scene("tell what is remembered"))? {
                None => return Ok(false),
                Some(false) => return Ok(true),
                Some(true) => self.subject.pause().await,
            }
        }
        Err(format!("{} is retired, and there is still a trace of it", self.name(number)).into())
    }

    /// Takes a promise away while the process is down.
    pub(super) async fn lose(&mut self, number: u64) -> Found {
        match self.subject.lose(number).await.map_err(scene("lose a promise"))? {
            true => Ok(()),
            false => Err(Stop::Skipped("there is no way to let a promise be lost")),
        }
    }

    /// Whether the resource has found a work prepared.
    pub(super) fn is_among(&self, recovered: &[Promised], number: u64) -> bool {
        let tx = self.name(number);
        recovered.iter().any(|found| found.transaction.id() == tx)
    }

    /// None of these may be found prepared. What other checks have left is no matter.
    pub(super) fn expect_not_found(&self, recovered: &[Promised], numbers: &[u64]) -> Found {
        match numbers.iter().find(|number| self.is_among(recovered, **number)) {
            None => Ok(()),
            Some(number) => Err(format!("`recover` returns {}, of which nothing is held", self.name(*number)).into()),
        }
    }

    pub(super) async fn pause(&mut self) {
        self.subject.pause().await;
    }
}

/// What a scene is to be blamed for, not the resource.
fn scene(what: &'static str) -> impl Fn(SceneError) -> Stop {
    move |error| Stop::Broken(format!("the scene could not {what}: {error}"))
}

fn down() -> Stop {
    Stop::Broken("the resource is not open".into())
}
