//! Votes that are durable elsewhere: the resource's own prepared transaction is the vote.
//!
//! The node may forget such a vote in a crash, and learn of it again from the resource. So the initial ballot of its
//! instance carries a vote to commit or nothing, ever. *TLA+*: `RMPrepare`, without `RMChooseToAbort`.

use super::{Phase, ResourceManager};
use crate::{
    Refusal,
    commit::{Meta, Outcome, Record, Targets, Vote, What, context::Context},
};

impl ResourceManager {
    /// The resource answers that it is prepared, or that it cannot be.
    pub(super) fn hear_vote_elsewhere(&mut self, cx: &mut Context<'_>, vote: Vote) -> Result<(), Refusal> {
        match vote {
            Vote::Prepared => {
                self.go_on(cx, Phase::Prepared)?;
                self.send_vote(cx, vote, cx.cluster.targets());
                if self.began {
                    self.send_begin(cx);
                }
                self.persist_copy(cx);
            }
            // Nothing is written: the resource may yet find that it did prepare, and is then believed.
            Vote::Aborted => {
                self.go_on(cx, Phase::Declined)?;
                self.repetitions = 0;
                self.send_decline(cx);
            }
        }
        Ok(())
    }

    /// The resource, whose votes are durable elsewhere, finds the transaction prepared in itself, and binding. `meta` is what it
    /// is about.
    pub(crate) fn found(&mut self, cx: &mut Context<'_>, meta: &Meta) -> Result<(), Refusal> {
        match self.phase {
            Phase::Working { asked: true } | Phase::Declined => self.hear_vote_elsewhere(cx, Vote::Prepared)?,
            Phase::Working { asked: false } => {
                self.go_on(cx, Phase::Prepared)?;
                self.meta = Some(meta.clone());
                // It may have voted long ago: whoever decided has forgotten, or waits for it.
                self.send_vote(cx, Vote::Prepared, Targets::All);
                cx.send(self.manager, What::Inquire);
                self.persist_copy(cx);
            }
            Phase::Prepared => {}
            Phase::Settled(end) => self.hand_over(cx, end.outcome()),
            Phase::Finished(end) => {
                if end.outcome() == Outcome::Committed {
                    cx.metrics.refuse(Refusal::CommitLost);
                }
                self.hand_over(cx, end.outcome());
            }
        }
        Ok(())
    }

    pub(super) fn send_decline(&self, cx: &mut Context<'_>) {
        cx.send(self.manager, What::Decline);
    }

    /// The record of the vote, behind the vote itself.
    fn persist_copy(&self, cx: &mut Context<'_>) {
        cx.persist_copy(Record::ResourceManager(self.record(cx.transaction)));
    }
}
