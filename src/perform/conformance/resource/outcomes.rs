//! What an outcome is worth, of whatever kind the resource is.

use super::{
    ResourceUnderTest,
    ask::Ask,
    bench::{Bench, Found},
};
use crate::{
    commit::{Outcome, ResourceKind, Vote},
    perform::Progress,
};

/// How many transactions are under way at once.
const MANY: usize = 32;

impl<U: ResourceUnderTest, A: Ask<U::Resource>> Bench<'_, U, A> {
    pub(super) async fn again(&mut self, outcome: Outcome, times: usize) -> Found {
        let number = self.new_work();
        self.promise(number).await?;
        self.finish(number, outcome, "for the first time").await?;
        self.finish(number, outcome, "again").await?;
        self.write_end(number, outcome).await?;
        self.finish(number, outcome, "again, after the record").await?;
        if outcome == Outcome::Aborted || self.kind() == ResourceKind::VotesElsewhere {
            self.finish_by_name(number, outcome, "again, after the record").await?;
        }
        self.write_end(number, outcome).await?;
        self.expect_shows(number, times, "once it has ended several times").await?;
        self.expect_holds(number, false, "once it has ended several times").await
    }

    pub(super) async fn outlives_crash(&mut self, outcome: Outcome, times: usize) -> Found {
        let number = self.new_work();
        self.promise(number).await?;
        self.end(number, outcome).await?;
        let recovered = self.restart(&[]).await?;
        self.expect_shows(number, times, "after a crash").await?;
        self.expect_holds(number, false, "after a crash, though it has ended").await?;
        // What is reported of what was committed is another check's matter.
        if outcome == Outcome::Aborted { self.expect_not_found(&recovered, &[number]) } else { Ok(()) }
    }

    pub(super) async fn again_after_crash(&mut self, outcome: Outcome, times: usize) -> Found {
        let number = self.new_work();
        self.promise(number).await?;
        self.finish(number, outcome, "for the first time").await?;
        // The node has not written that it is finished: it hands it over again.
        self.restart(&[number]).await?;
        let when = "again after a crash";
        if self.kind() == ResourceKind::VotesElsewhere {
            self.finish_by_name(number, outcome, when).await?;
        } else {
            self.finish(number, outcome, when).await?;
        }
        self.write_end(number, outcome).await?;
        self.expect_shows(number, times, "once it has ended, and ended again after a crash").await?;
        self.expect_holds(number, false, "once it has ended, and ended again after a crash").await?;
        self.restart(&[]).await?;
        self.expect_shows(number, times, "after another crash").await
    }

    pub(super) async fn abort_before_vote(&mut self) -> Found {
        // Of the second one the application has done its part.
        let (unheard, prepared) = (self.new_work(), self.new_work());
        self.prepare(prepared).await?;
        for number in [unheard, prepared] {
            self.finish_by_name(number, Outcome::Aborted, "before any vote").await?;
            self.write_end(number, Outcome::Aborted).await?;
            self.expect_shows(number, 0, "once it is aborted").await?;
            self.expect_holds(number, false, "once it is aborted").await?;
        }
        let recovered = self.restart(&[]).await?;
        self.expect_not_found(&recovered, &[unheard, prepared])
    }

    pub(super) async fn late_vote(&mut self) -> Found {
        let (unheard, promised) = (self.new_work(), self.new_work());
        self.promise(promised).await?;
        self.end(promised, Outcome::Aborted).await?;
        let mut ended = vec![promised];
        // Whether that can be aborted is another check's matter.
        if self.hand_over_by_name(unheard, Outcome::Aborted).await? == Progress::Finished {
            self.write_end(unheard, Outcome::Aborted).await?;
            ended.push(unheard);
        }
        for crashed in [false, true] {
            for number in ended.iter().copied() {
                let too_late = self.try_prepare(number).await?;
                let vote = self.vote(number).await?;
                if self.kind() == ResourceKind::VotesHere {
                    if vote == Vote::Prepared {
                        self.finish_by_name(number, Outcome::Aborted, "after a vote that came too late").await?;
                        self.write_end(number, Outcome::Aborted).await?;
                    }
                } else if vote == Vote::Prepared {
                    let (tx, prepared) =
                        (self.name(number), if too_late.is_ok() { "prepared" } else { "not prepared" });
                    return Err(format!("{tx} was aborted, then {prepared}, and the vote on it is {vote:?}").into());
                }
                let when = if crashed { "after an abort and a crash" } else { "after an abort" };
                self.expect_holds(number, false, when).await?;
                self.expect_shows(number, 0, when).await?;
            }
            let recovered = self.restart(&[]).await?;
            self.expect_not_found(&recovered, &ended)?;
        }
        Ok(())
    }

    pub(super) async fn lost_promise(&mut self) -> Found {
        let number = self.new_work();
        self.promise(number).await?;
        self.crash().await;
        self.lose(number).await?;
        let recovered = self.try_start(&[number]).await?;
        match (self.kind(), recovered) {
            // The node does not start.
            (ResourceKind::VotesHere, Err(_)) => Ok(()),
            (ResourceKind::VotesHere, Ok(_)) => {
                // It holds it again, or may find it later: it is done, or it is not said to be.
                let is_done = self.try_commit(number).await?;
                let when = if is_done { "once it was lost, and committed" } else { "after a commit that it refused" };
                self.expect_shows(number, usize::from(is_done), when).await
            }
            (ResourceKind::VotesElsewhere, recovered) => {
                let recovered = recovered.map_err(|error| format!("`recover` fails: {error}"))?;
                self.expect_not_found(&recovered, &[number])?;
                self.expect_refused(number, "and its promise was lost").await
            }
        }
    }

    pub(super) async fn many_at_once(&mut self) -> Found {
        let numbers: Vec<u64> = (0..MANY).map(|_| self.new_work()).collect();
        for number in &numbers {
            self.prepare(*number).await?;
        }
        for (number, vote) in numbers.iter().zip(self.votes(&numbers).await?) {
            if vote != Vote::Prepared {
                return Err(format!("its vote on {}, one of {MANY} at once, is {vote:?}", self.name(*number)).into());
            }
            self.write_vote(*number).await?;
        }
        for number in &numbers {
            self.expect_holds(*number, true, "among many").await?;
        }
        let outcomes = [Outcome::Aborted, Outcome::Committed, Outcome::Committed].into_iter().cycle();
        let mut verdicts: Vec<_> = numbers.iter().copied().zip(outcomes).collect();
        // Not in the order of the votes.
        verdicts.reverse();
        self.finish_all(&verdicts).await?;
        for (number, outcome) in &verdicts {
            self.write_end(*number, *outcome).await?;
        }
        // The next one has no outcome yet.
        let next = self.new_work();
        self.promise(next).await?;
        let recovered = self.restart(&[next]).await?;
        if self.kind() == ResourceKind::VotesElsewhere && !self.is_among(&recovered, next) {
            return Err(format!("{} is not found, since {MANY} others have ended", self.name(next)).into());
        }
        for (number, outcome) in verdicts {
            let times = usize::from(outcome == Outcome::Committed);
            self.expect_shows(number, times, "among many, after a crash").await?;
            self.expect_holds(number, false, "among many, once it has ended").await?;
        }
        self.expect_not_found(&recovered, &numbers)
    }
}
