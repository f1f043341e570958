//! What shows that an assumption of the protocol was broken: who waits because of it, what others say of it, and an operator's
//! last resort.

use super::{Claim, Open, Outcome, Shared, Sink, ViolationReason, What};
use crate::{NodeId, Refusal};

impl Open {
    /// Whether the resource manager here is prepared and knows no outcome.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.rm.as_ref().is_some_and(|rm| rm.role.is_in_doubt())
    }

    /// Whether the transaction manager here does not know the outcome.
    pub(crate) fn lacks_outcome(&self) -> bool {
        self.tm.as_ref().is_some_and(|tm| tm.role.outcome().is_none())
    }

    /// Whether a role here waits for the outcome, which others must bring.
    pub(crate) fn is_undecided(&self) -> bool {
        self.is_in_doubt() || self.lacks_outcome()
    }

    /// Whether only the transaction manager here knows of the transaction, and cannot go on with it: others know another
    /// one by this name.
    pub(crate) fn is_stuck(&self) -> bool {
        let others = self.rm.is_some() || self.acceptor.is_some();
        self.violation == Some(ViolationReason::OtherTransaction) && self.lacks_outcome() && !others
    }

    /// Another node knows another transaction by this name. An acceptor's word stops the transaction manager, which tells
    /// the resource managers. It tries again, ever more rarely: the other transaction may end, and this one with it. Until
    /// then others may recover in its place.
    #[cold]
    pub(super) fn hear_other(
        &mut self,
        shared: &mut Shared,
        effects: &mut Sink<'_>,
        from: NodeId,
    ) -> Result<(), Refusal> {
        let Shared { config, .. } = shared;
        let is_asked = self.lacks_outcome() && config.cluster.acceptors().contains(from) && from != config.id;
        if !is_asked && !config.cluster.is_manager(from) {
            return Err(Refusal::NotAManager);
        }
        if !is_asked && !self.is_in_doubt() {
            return Err(Refusal::UnknownTransaction);
        }
        if self.violation != Some(ViolationReason::OverElsewhere) {
            self.violation = Some(ViolationReason::OtherTransaction);
        }
        // Once per attempt: two transaction managers that are acceptors and take part would tell each other for ever.
        let Some(tm) = self.tm.as_mut().filter(|tm| is_asked && tm.role.claim == Claim::Holds) else { return Ok(()) };
        shared.turns.give_up(&mut tm.role.claim);
        self.as_tm(shared, effects, |_, cx| {
            for rm in cx.transaction.participants() {
                cx.send(*rm, What::OtherTransaction);
            }
            Ok(())
        })
    }

    /// An operator settles the outcome here.
    pub(crate) fn resolve(
        &mut self,
        shared: &mut Shared,
        effects: &mut Sink<'_>,
        outcome: Outcome,
    ) -> Result<(), Refusal> {
        self.as_rm(shared, effects, |rm, cx| rm.resolve(cx, outcome))?;
        if self.lacks_outcome() && !self.is_of_epoch(shared) {
            // The acceptors of its epoch are done, and the handover says nothing: the transaction manager here would wait for ever.
            self.drop_tm(shared);
        }
        Ok(())
    }
}
