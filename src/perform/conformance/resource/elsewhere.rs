//! What a resource owes whose votes are durable in itself: it knows by itself, and `recover` lets go of nothing.

use super::{
    ResourceUnderTest,
    ask::Ask,
    bench::{Bench, Found, Stop},
};
use crate::{
    commit::{Outcome, Promised, Vote},
    perform::conformance::report::shown,
};

impl<U: ResourceUnderTest, A: Ask<U::Resource>> Bench<'_, U, A> {
    pub(super) async fn vote_tells_the_truth(&mut self) -> Found {
        // The application has done its part for one of them. A resource that prepares in its vote need not care.
        let (unheard, prepared) = (self.new_work(), self.new_work());
        self.prepare(prepared).await?;
        for number in [unheard, prepared] {
            let vote = self.vote(number).await?;
            let recovered = self.restart(&[]).await?;
            if (vote == Vote::Prepared) != self.is_among(&recovered, number) {
                let found = if vote == Vote::Prepared { "not found" } else { "found" };
                let found = format!("its vote on {} is {vote:?}, and after a crash it is {found}", self.name(number));
                return Err(found.into());
            }
        }
        Ok(())
    }

    pub(super) async fn without_record(&mut self) -> Found {
        let (number, other) = (self.new_work(), self.new_work());
        self.promise(other).await?;
        self.vote_to_commit(number).await?;
        // What `recover` returns is another check's matter: here it must still be there the second time.
        self.restart(&[other]).await?;
        self.expect_holds(number, true, "after a crash that took the record of its vote").await?;
        self.restart(&[other]).await?;
        self.expect_holds(number, true, "after a crash that took the record of its vote, and another one").await?;
        self.expect_vote(number, "when it is asked again, after a crash that took the record").await?;
        self.end(number, Outcome::Committed).await?;
        self.expect_shows(number, 1, "once it is committed").await
    }

    pub(super) async fn returns_what_is_held(&mut self) -> Found {
        let [unheard, asked, promised, committed, aborted] = [(); 5].map(|()| self.new_work());
        for number in [promised, committed, aborted] {
            self.promise(number).await?;
        }
        // Whoever holds something twice now reports it twice, or still reports it once it has ended.
        for number in [promised, committed, aborted] {
            self.vote(number).await?;
        }
        self.end(committed, Outcome::Committed).await?;
        self.end(aborted, Outcome::Aborted).await?;
        self.vote_to_commit(asked).await?;
        let recovered = self.restart(&[promised]).await?;
        self.expect_not_found(&recovered, &[unheard, committed, aborted])?;
        for work in [asked, promised].map(|number| self.work(number)) {
            let same = |found: &&Promised| found.transaction.id() == work.transaction.id();
            let found: Vec<_> = recovered.iter().filter(same).collect();
            match found[..] {
                [found] if found.transaction == work.transaction => {}
                _ => {
                    let work = shown(&work.transaction);
                    return Err(format!("of {work}, which is held, `recover` returns {}", shown(&found)).into());
                }
            }
        }
        let strange = recovered.iter().find(|found| self.number(found.transaction.id()).is_none());
        if let Some(strange) = strange {
            return Err(format!("`recover` returns {}, which nobody began", strange.transaction.id()).into());
        }
        Ok(())
    }

    pub(super) async fn by_name(&mut self) -> Found {
        let (committed, aborted) = (self.new_work(), self.new_work());
        for number in [committed, aborted] {
            self.vote_to_commit(number).await?;
        }
        self.restart(&[]).await?;
        for (number, outcome, times) in [(committed, Outcome::Committed, 1), (aborted, Outcome::Aborted, 0)] {
            self.finish_by_name(number, outcome, "after a crash that took the record of the vote").await?;
            self.write_end(number, outcome).await?;
            self.expect_shows(number, times, "once it has ended").await?;
            self.expect_holds(number, false, "once it has ended").await?;
        }
        let recovered = self.restart(&[]).await?;
        self.expect_not_found(&recovered, &[committed, aborted])
    }

    pub(super) async fn absent(&mut self) -> Found {
        let (unheard, aborted) = (self.new_work(), self.new_work());
        self.promise(aborted).await?;
        self.end(aborted, Outcome::Aborted).await?;
        for _ in 0..2 {
            self.expect_refused(unheard, "and it was never prepared").await?;
            self.expect_refused(aborted, "and it was aborted").await?;
            self.restart(&[]).await?;
        }
        Ok(())
    }

    pub(super) async fn forgets_no_other(&mut self) -> Found {
        let [before, retired, after, held] = [(); 4].map(|()| self.new_work());
        for number in [before, retired, after, held] {
            self.promise(number).await?;
        }
        for number in [before, retired, after] {
            self.end(number, Outcome::Committed).await?;
        }
        self.forget(retired)?;
        self.pause().await;
        for _ in 0..2 {
            for number in [before, after] {
                self.finish_by_name(number, Outcome::Committed, "again, when another is retired").await?;
                self.expect_shows(number, 1, "when another is retired").await?;
            }
            self.expect_shows(retired, 1, "once it is retired").await?;
            let recovered = self.restart(&[held]).await?;
            if !self.is_among(&recovered, held) {
                return Err(format!("{} is not found, since another is retired", self.name(held)).into());
            }
        }
        self.end(held, Outcome::Committed).await?;
        self.expect_shows(held, 1, "once it is committed, when another is retired").await
    }

    pub(super) async fn forgets(&mut self) -> Found {
        let number = self.new_work();
        self.promise(number).await?;
        self.end(number, Outcome::Committed).await?;
        self.forget(number)?;
        if !self.expect_forgotten(number).await? {
            return Err(Stop::Skipped("the scene does not tell what is remembered"));
        }
        self.expect_shows(number, 1, "once it is retired").await?;
        // A crash may undo that, but a later range covers it.
        self.restart(&[]).await?;
        self.forget(number)?;
        self.expect_forgotten(number).await.map(|_| ())
    }
}
