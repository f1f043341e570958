//! What a vote is worth, of whatever kind the resource is.

use super::{
    ResourceUnderTest,
    ask::Ask,
    bench::{Bench, Found},
};
use crate::commit::{Outcome, ResourceKind};

impl<U: ResourceUnderTest, A: Ask<U::Resource>> Bench<'_, U, A> {
    pub(super) async fn ends(&mut self, outcome: Outcome, times: usize) -> Found {
        let number = self.new_work();
        self.promise(number).await?;
        self.end(number, outcome).await?;
        self.expect_shows(number, times, "once it has ended").await?;
        self.expect_holds(number, false, "once it has ended").await
    }

    pub(super) async fn only_prepared(&mut self) -> Found {
        let number = self.new_work();
        self.vote_to_commit(number).await?;
        self.expect_shows(number, 0, "after the vote").await?;
        self.write_vote(number).await?;
        self.expect_shows(number, 0, "after the record of the vote").await?;
        self.expect_holds(number, true, "after the record of the vote").await
    }

    pub(super) async fn vote_again(&mut self) -> Found {
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

    pub(super) async fn promise_outlives_crash(&mut self) -> Found {
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

    pub(super) async fn vote_again_after_crash(&mut self) -> Found {
        let number = self.new_work();
        self.promise(number).await?;
        self.restart(&[number]).await?;
        self.expect_vote(number, "when it is asked again after a crash").await?;
        self.end(number, Outcome::Committed).await?;
        self.expect_shows(number, 1, "after a vote that was asked for again").await
    }

    pub(super) async fn ends_nothing(&mut self) -> Found {
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
}
