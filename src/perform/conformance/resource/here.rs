//! What a resource owes whose votes are recorded by the node: `recover` lets go.

use super::{
    ResourceUnderTest,
    ask::Ask,
    bench::{Bench, Found, Stop},
};
use crate::{
    commit::{Outcome, Vote},
    perform::conformance::report::shown,
};

impl<U: ResourceUnderTest, A: Ask<U::Resource>> Bench<'_, U, A> {
    pub(super) async fn orphan(&mut self) -> Found {
        let (unheard, orphan, promised) = (self.new_work(), self.new_work(), self.new_work());
        self.promise(promised).await?;
        self.vote_to_commit(orphan).await?;
        if self.holds(orphan).await?.is_none() {
            return Err(Stop::Skipped("the scene does not tell what is held"));
        }
        self.restart(&[promised]).await?;
        self.expect_holds(orphan, false, "after a crash that came before the record of its vote").await?;
        self.expect_holds(unheard, false, "after a crash that came before its vote").await?;
        self.expect_holds(promised, true, "after a crash that came after the record of its vote").await?;
        // They can be asked about again.
        for number in [unheard, orphan] {
            let prepared = self.try_prepare(number).await?.is_ok();
            if prepared && self.vote(number).await? == Vote::Prepared {
                self.write_vote(number).await?;
                self.end(number, Outcome::Committed).await?;
                self.expect_shows(number, 1, "once it was asked about again").await?;
            }
        }
        self.end(promised, Outcome::Committed).await?;
        self.expect_shows(promised, 1, "once it is committed, after another was let go of").await
    }

    pub(super) async fn returns_nothing(&mut self) -> Found {
        let (orphan, promised) = (self.new_work(), self.new_work());
        self.promise(promised).await?;
        self.vote_to_commit(orphan).await?;
        match self.restart(&[promised]).await?.first() {
            None => Ok(()),
            Some(first) => Err(format!("`recover` returns {}", shown(first)).into()),
        }
    }
}
