//! When the transaction manager here recovers: a recovery takes one of the places that the node has for them, and a round of its own.

use super::{Claim, Open, Record, Roles, Shared, Sink};
use crate::{Refusal, Urgency};

impl Open {
    /// Recovers, if there is a place for that; otherwise waits for one.
    #[cold]
    pub(super) fn claim_turn(&mut self, shared: &mut Shared, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        let Some(tm) = &mut self.tm else { return Err(Refusal::UnknownTransaction) };
        if tm.role.claim == Claim::None {
            let most = shared.config.cluster.limits().recoveries;
            tm.role.claim = shared.turns.claim(self.transaction.id(), self.since, tm.role.attempts(), most);
        }
        if tm.role.claim == Claim::Holds { self.recover(shared, effects) } else { Ok(()) }
    }

    /// A place to recover is free, and this transaction's turn has come.
    pub(crate) fn take_turn(&mut self, shared: &mut Shared, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        let Some(tm) = &mut self.tm else { return Err(Refusal::UnknownTransaction) };
        tm.role.claim = Claim::Holds;
        self.recover(shared, effects)
    }

    /// Starts a recovery in a round of its own, and writes first that the round is reserved.
    fn recover(&mut self, shared: &mut Shared, effects: &mut Sink<'_>) -> Result<(), Refusal> {
        let (Roles { tm: Some(tm), .. }, cx) = self.split(shared, effects) else {
            return Err(Refusal::UnknownTransaction);
        };
        let Some(above) = tm.role.needs_round(&cx) else {
            // It waited for its turn, and needs it no more.
            shared.turns.give_up(&mut tm.role.claim);
            return Ok(());
        };
        let metrics = &mut shared.metrics;
        let round = shared.rounds.take(above.saturating_add(1), |reserved| {
            metrics.count_write();
            effects.persist(Record::Rounds { reserved }, Urgency::Urgent)
        });
        let Some(round) = round else {
            // The transaction manager goes on waiting: a ballot of another one may still succeed.
            shared.metrics.refuse(Refusal::RoundsUsedUp);
            return Ok(());
        };
        shared.metrics.count_recovery();
        let (roles, mut cx) = self.split(shared, effects);
        roles.tm.as_mut().map_or(Ok(()), |tm| tm.role.recover(&mut cx, round))
    }

    /// Nothing is owed to this transaction any more, and it claims nothing.
    pub(crate) fn let_go(&mut self, shared: &mut Shared) {
        shared.peers.contacts.discharge(self.opener.take());
        if let Some(tm) = &mut self.tm {
            tm.role.let_go(&self.transaction, &mut shared.peers);
            shared.turns.give_up(&mut tm.role.claim);
        }
    }
}
