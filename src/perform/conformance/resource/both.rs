//! What every resource owes.

use super::{
    ResourceUnderTest,
    ask::Ask,
    bench::{Bench, Found},
};
use crate::{
    commit::{Outcome, ResourceKind, Vote},
    perform::conformance::Report,
};

/// How many transactions are under way at once.
const MANY: usize = 32;

/// What shows, and when.
pub(super) async fn shows<U: ResourceUnderTest, A: Ask<U::Resource>>(bench: &mut Bench<'_, U, A>, report: &mut Report) {
    bench
        .check(
            report,
            "what is committed shows",
            "once a commit is answered `Finished`, and the node has written that, the work shows, once",
            async |bench| bench.ends(Outcome::Committed, 1).await,
        )
        .await;
    bench
        .check(
            report,
            "what is aborted does not show",
            "an abort that is answered `Finished` leaves nothing of the work",
            async |bench| bench.ends(Outcome::Aborted, 0).await,
        )
        .await;
    bench
        .check(
            report,
            "what is only prepared does not show",
            "a vote is no outcome: nobody may see the work before it is committed, for it may still abort",
            async |bench| bench.only_prepared().await,
        )
        .await;
}

/// What a vote is worth.
pub(super) async fn promises<U: ResourceUnderTest, A: Ask<U::Resource>>(
    bench: &mut Bench<'_, U, A>,
    report: &mut Report,
) {
    bench
        .check(
            report,
            "a vote that is asked for again is the same",
            "`vote` may be asked again: the answer is the same, and the work is held once, so that one outcome ends it",
            async |bench| bench.vote_again().await,
        )
        .await;
    bench
        .check(
            report,
            "a promise outlives a crash",
            "whatever happens after a vote to commit, the work can be committed: here after a crash, with the node's record",
            async |bench| bench.promise_outlives_crash().await,
        )
        .await;
    bench
        .check(
            report,
            "a vote that is asked for again after a crash is the same",
            "a node that is restored may ask again: a vote to commit that was written stays one",
            async |bench| bench.vote_again_after_crash().await,
        )
        .await;
    bench
        .check(
            report,
            "what is held is held until the outcome comes",
            "the resource ends nothing by itself, however long it waits and however often it restarts: others may have \
             committed",
            async |bench| bench.ends_nothing().await,
        )
        .await;
}

/// What an outcome is worth.
pub(super) async fn outcomes<U: ResourceUnderTest, A: Ask<U::Resource>>(
    bench: &mut Bench<'_, U, A>,
    report: &mut Report,
) {
    bench
        .check(
            report,
            "a commit that comes again changes nothing",
            "a node hands an outcome over again and again: the answer is `Finished`, and the work shows once",
            async |bench| bench.again(Outcome::Committed, 1).await,
        )
        .await;
    bench
        .check(
            report,
            "an abort that comes again changes nothing",
            "a node hands an outcome over again and again: the answer is `Finished`, with the content or without",
            async |bench| bench.again(Outcome::Aborted, 0).await,
        )
        .await;
    bench
        .check(
            report,
            "a commit outlives a crash",
            "once a commit is answered `Finished`, it is durable, at the latest with the node's next write: the node lets \
             others forget it",
            async |bench| bench.outlives_crash(Outcome::Committed, 1).await,
        )
        .await;
    bench
        .check(
            report,
            "a commit that comes again after a crash changes nothing",
            "a crash may come after a commit was carried out, and before the node has written that: it comes again, the \
             answer is `Finished`, and the work shows once",
            async |bench| bench.again_after_crash(Outcome::Committed, 1).await,
        )
        .await;
    if bench.kind() == ResourceKind::VotesElsewhere {
        bench
            .check(
                report,
                "an abort outlives a crash",
                "once an abort is answered `Finished`, nothing is found of the work any more: to report it is to promise it",
                async |bench| bench.outlives_crash(Outcome::Aborted, 0).await,
            )
            .await;
    }
    bench
        .check(
            report,
            "an abort that comes again after a crash changes nothing",
            "a crash may come after an abort was carried out, and before the node has written that: it comes again, and \
             the answer is `Finished`",
            async |bench| bench.again_after_crash(Outcome::Aborted, 0).await,
        )
        .await;
    bench
        .check(
            report,
            "what was never voted on can be aborted",
            "a transaction may abort before this resource was asked, or has heard of it at all: the content is missing \
             then, and the answer is `Finished`",
            async |bench| bench.abort_before_vote().await,
        )
        .await;
    bench
        .check(
            report,
            "what was aborted is not held any more",
            match bench.kind() {
                ResourceKind::VotesHere => {
                    "a vote that comes too late, after a crash took the node's record of the abort, is answered with the \
                     same abort: then nothing is held any more"
                }
                ResourceKind::VotesElsewhere => {
                    "once an abort is answered `Finished`, that transaction is never prepared any more, however late the \
                     application or the node comes with it: nobody would ever end it"
                }
            },
            async |bench| bench.late_vote().await,
        )
        .await;
}

/// What becomes of a promise that was taken away.
pub(super) async fn losses<U: ResourceUnderTest, A: Ask<U::Resource>>(
    bench: &mut Bench<'_, U, A>,
    report: &mut Report,
) {
    bench
        .check(
            report,
            "a lost promise is not taken for done",
            match bench.kind() {
                ResourceKind::VotesHere => {
                    "what was promised, and can neither be found nor be held again, is an error of `recover`: otherwise \
                     the commit is answered `Finished`, and nothing shows"
                }
                ResourceKind::VotesElsewhere => {
                    "what is not found any more is not done: a commit of it is an alarm, and is never answered `Finished`"
                }
            },
            async |bench| bench.lost_promise().await,
        )
        .await;
}

/// What happens when much happens.
pub(super) async fn many<U: ResourceUnderTest, A: Ask<U::Resource>>(bench: &mut Bench<'_, U, A>, report: &mut Report) {
    bench
        .check(
            report,
            "many at once are kept apart",
            "a node asks about many transactions at once, here 32 votes and then 32 verdicts: each has its own end, and \
             none is lost",
            async |bench| bench.many_at_once().await,
        )
        .await;
}

impl<U: ResourceUnderTest, A: Ask<U::Resource>> Bench<'_, U, A> {
    async fn ends(&mut self, outcome: Outcome, times: usize) -> Found {
        let number = self.new_work();
        self.promise(number).await?;
        self.end(number, outcome).await?;
        self.expect_shows(number, times, "once it has ended").await?;
        self.expect_holds(number, false, "once it has ended").await
    }

    async fn only_prepared(&mut self) -> Found {
        let number = self.new_work();
        self.vote_to_commit(number).await?;
        self.expect_shows(number, 0, "after the vote").await?;
        self.write_vote(number).await?;
        self.expect_shows(number, 0, "after the record of the vote").await?;
        self.expect_holds(number, true, "after the record of the vote").await
    }

    async fn vote_again(&mut self) -> Found {
        let (committed, aborted) = (self.new_work(), self.new_work());
        for number in [committed, aborted] {
            self.vote_to_commit(number).await?;
            self.expect_vote(number, "when it is asked again").await?;
            self.write_vote(number).await?;
            self.expect_vote(number, "when it is asked again, after the record").await?;
        }
        self.end(committed, Outcome::Committed).await?;
        self.end(aborted, Outcome::Aborted).await?;
        for (number, times) in [(committed, 1), (aborted, 0)] {
            self.expect_shows(number, times, "after a vote that was asked for again").await?;
            self.expect_holds(number, false, "once it has ended, after a vote that was asked for again").await?;
        }
        Ok(())
    }

    async fn promise_outlives_crash(&mut self) -> Found {
        let (committed, aborted) = (self.new_work(), self.new_work());
        for number in [committed, aborted] {
            self.promise(number).await?;
        }
        self.restart(&[committed, aborted]).await?;
        for number in [committed, aborted] {
            self.expect_holds(number, true, "after a crash").await?;
            self.expect_shows(number, 0, "after a crash").await?;
        }
        self.finish(committed, Outcome::Committed, "after a crash").await?;
        self.write_end(committed, Outcome::Committed).await?;
        self.finish(aborted, Outcome::Aborted, "after a crash").await?;
        self.write_end(aborted, Outcome::Aborted).await?;
        self.expect_shows(committed, 1, "once it is committed after a crash").await?;
        self.expect_shows(aborted, 0, "once it is aborted after a crash").await
    }

    async fn vote_again_after_crash(&mut self) -> Found {
        let number = self.new_work();
        self.promise(number).await?;
        self.restart(&[number]).await?;
        self.expect_vote(number, "when it is asked again after a crash").await?;
        self.end(number, Outcome::Committed).await?;
        self.expect_shows(number, 1, "after a vote that was asked for again").await
    }

    async fn ends_nothing(&mut self) -> Found {
        let number = self.new_work();
        self.promise(number).await?;
        for _ in 0..3 {
            let recovered = self.restart(&[number]).await?;
            self.pause().await;
            if self.kind() == ResourceKind::VotesElsewhere && !self.is_among(&recovered, number) {
                return Err(format!("{} is not found after another restart", self.name(number)).into());
            }
            self.expect_holds(number, true, "after another restart").await?;
            self.expect_shows(number, 0, "after another restart, without an outcome").await?;
        }
        self.end(number, Outcome::Committed).await?;
        self.expect_shows(number, 1, "once it is committed at last").await
    }

    async fn again(&mut self, outcome: Outcome, times: usize) -> Found {
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

    async fn outlives_crash(&mut self, outcome: Outcome, times: usize) -> Found {
        let number = self.new_work();
        self.promise(number).await?;
        self.end(number, outcome).await?;
        let recovered = self.restart(&[]).await?;
        self.expect_shows(number, times, "after a crash").await?;
        self.expect_holds(number, false, "after a crash, though it has ended").await?;
        // What is reported of what was committed is another check's matter.
        if outcome == Outcome::Aborted { self.expect_not_found(&recovered, &[number]) } else { Ok(()) }
    }

    async fn again_after_crash(&mut self, outcome: Outcome, times: usize) -> Found {
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

    async fn abort_before_vote(&mut self) -> Found {
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

    async fn late_vote(&mut self) -> Found {
        let (unheard, promised) = (self.new_work(), self.new_work());
        self.promise(promised).await?;
        self.end(promised, Outcome::Aborted).await?;
        self.finish_by_name(unheard, Outcome::Aborted, "before any vote").await?;
        self.write_end(unheard, Outcome::Aborted).await?;
        for crashed in [false, true] {
            for number in [unheard, promised] {
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
            self.expect_not_found(&recovered, &[unheard, promised])?;
        }
        Ok(())
    }

    async fn lost_promise(&mut self) -> Found {
        let number = self.new_work();
        self.promise(number).await?;
        self.crash().await;
        self.lose(number).await?;
        let recovered = self.try_start(&[number]).await?;
        match (self.kind(), recovered) {
            // The node does not start.
            (ResourceKind::VotesHere, Err(_)) => Ok(()),
            (ResourceKind::VotesHere, Ok(_)) => {
                self.end(number, Outcome::Committed).await?;
                self.expect_shows(number, 1, "once it was lost, and committed").await
            }
            (ResourceKind::VotesElsewhere, recovered) => {
                let recovered = recovered.map_err(|error| format!("`recover` fails: {error}"))?;
                self.expect_not_found(&recovered, &[number])?;
                self.expect_refused(number, "and its promise was lost").await
            }
        }
    }

    async fn many_at_once(&mut self) -> Found {
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
        let outcome = |number: u64| if number.is_multiple_of(3) { Outcome::Aborted } else { Outcome::Committed };
        let verdicts: Vec<_> = numbers.iter().rev().map(|number| (*number, outcome(*number))).collect();
        self.finish_all(&verdicts).await?;
        for (number, outcome) in &verdicts {
            self.write_end(*number, *outcome).await?;
        }
        let recovered = self.restart(&[]).await?;
        for (number, outcome) in verdicts {
            let times = usize::from(outcome == Outcome::Committed);
            self.expect_shows(number, times, "among many, after a crash").await?;
            self.expect_holds(number, false, "among many, once it has ended").await?;
        }
        self.expect_not_found(&recovered, &numbers)
    }
}
