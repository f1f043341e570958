//! How a transaction comes to be over here: its epoch has ended, or all resource managers have finished.

use super::{Open, Outcome, Shared, Sink, ViolationReason, keep};
use crate::{NodeId, Refusal};

impl Open {
    /// How the handover of its epoch has ended it, if that is over here and it is not retired. If another one of its name has
    /// committed, this is listed, and it comes to no outcome here; only what nobody was promised aborts.
    #[inline]
    pub(super) fn ended_by_handover(&mut self, shared: &Shared) -> Option<Outcome> {
        if self.is_of_epoch(shared) || self.is_retired {
            return None;
        }
        match (shared.oracle(&self.transaction), self.violation) {
            (None, Some(ViolationReason::OverElsewhere)) => None,
            (None, _) => {
                self.violation = Some(ViolationReason::OtherTransaction);
                None
            }
            (outcome, _) => outcome,
        }
    }

    /// Its epoch is over: the acceptor here is done, and the other roles hear how it ended, and turn to the managers of the
    /// present epoch. Nobody else goes on as a manager.
    pub(crate) fn hand_over(&mut self, shared: &mut Shared, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        self.acceptor = None;
        let mut result = Ok(());
        if self.rm.is_some() {
            let manager = shared.peers.manager_of(&shared.config.cluster, self.transaction.id(), shared.clock.now());
            result = self.as_rm(shared, effects, |rm, cx| {
                rm.turn_to_epoch(cx, manager);
                Ok(())
            });
        }
        if self.tm.is_some() {
            let heard = self.as_tm(shared, effects, |tm, cx| {
                tm.look_again(cx);
                Ok(())
            });
            result = result.and(heard);
        }
        if !shared.is_manager && self.tm.is_some() {
            self.drop_tm(shared);
        }
        shared.moved = true;
        result
    }

    /// The transaction manager here brings it to no outcome any more.
    pub(super) fn drop_tm(&mut self, shared: &mut Shared) {
        self.let_go(shared);
        keep(&mut shared.spare_tms, self.tm.take());
        shared.moved = true;
    }

    /// The transaction is over, and ended as this node remembers.
    pub(crate) fn end_as(
        &mut self,
        shared: &mut Shared,
        effects: &mut Sink<'_>,
        outcome: Outcome,
    ) -> Result<(), Refusal> {
        self.as_rm(shared, effects, |rm, cx| rm.hear_ending(cx, outcome))
    }

    /// Whether this node is to bring the transaction to its outcome, and has not.
    pub(crate) fn manages_undecided(&self) -> bool {
        self.fence.is_none() && self.tm.as_ref().is_some_and(|tm| tm.role.outcome().is_none())
    }

    /// A frozen acceptor is about to promise: what it has gathered is accepted first.
    pub(crate) fn flush(&mut self, shared: &mut Shared, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        if self.acceptor.is_none() {
            return Ok(());
        }
        self.as_acceptor(shared, effects, |acceptor, cx| {
            acceptor.flush_gathered(cx);
            Ok(())
        })
    }

    /// A node has come into this epoch, and may have refused what was said to it: say again what it is to hear.
    pub(crate) fn say_again(&mut self, shared: &mut Shared, effects: &mut Sink<'_>, to: NodeId) -> Result<(), Refusal> {
        if self.rm.is_some() && shared.config.cluster.acceptors().contains(to) {
            self.as_rm(shared, effects, |rm, cx| {
                rm.vote_again(cx, to);
                Ok(())
            })?;
        }
        if self.tm.is_some() && self.transaction.has(to) {
            self.as_tm(shared, effects, |tm, cx| {
                tm.ask_again(cx, to);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// To a participant that is neither an acceptor nor a transaction manager, the transaction is retired.
    pub(crate) fn hear_retired_by(
        &mut self,
        shared: &mut Shared,
        effects: &mut Sink<'_>,
        from: NodeId,
    ) -> Result<(), Refusal> {
        if !self.transaction.has(from) {
            return Err(Refusal::NotAParticipant);
        }
        self.as_tm(shared, effects, |tm, cx| tm.hear_retired_by(cx, from))
    }

    /// Tells the local resource manager that the transaction is over.
    pub(crate) fn retire(&mut self, shared: &mut Shared, effects: &mut Sink<'_>) {
        if self.rm.is_some() {
            // This cannot fail: there is a resource manager, and `retire` refuses nothing.
            let _ = self.as_rm(shared, effects, |rm, cx| {
                rm.retire(cx);
                Ok(())
            });
        }
    }

    /// Whether the transaction must stay open, whatever other nodes say.
    pub(crate) fn stays(&self) -> bool {
        self.fence.is_some() || self.rm.as_ref().is_some_and(|rm| rm.role.owes())
    }
}
