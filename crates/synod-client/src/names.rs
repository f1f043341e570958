//! Names for transactions, from a transaction manager's numbers, in blocks.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use synod::{
    TxId,
    commit::{GivenNames, MOST_NAMES},
};
use tokio::sync::Mutex as Turn;

use crate::ManagerError;

/// Names that were given and are not used yet. Each block is twice as large as the one before, so a client that makes
/// one transaction takes one name, and leaves no gap.
#[derive(Debug, Default)]
pub(crate) struct Names {
    free: Mutex<Free>,
    /// Who asks for a block; the others wait for what comes.
    turn: Turn<()>,
}

/// A name, and the epoch in which it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GivenName {
    pub(crate) tx: TxId,
    pub(crate) epoch: u64,
}

#[derive(Debug, Default)]
struct Free {
    /// Each with its epoch.
    names: BTreeMap<TxId, u64>,
    last_block: u64,
    /// Names of epochs below this one are of no use any more.
    least_epoch: u64,
}

impl Names {
    /// A name, the lowest one that is free. `ask` asks for a block of so many.
    pub(crate) async fn take<F>(&self, ask: impl FnOnce(u64) -> F) -> Result<GivenName, ManagerError>
    where
        F: Future<Output = Result<GivenNames, ManagerError>>,
    {
        if let Some(name) = self.free(Free::pop) {
            return Ok(name);
        }
        let _turn = self.turn.lock().await;
        if let Some(name) = self.free(Free::pop) {
            return Ok(name);
        }
        let GivenNames { names: block, epoch } =
            ask(self.free(|free| (free.last_block * 2).clamp(1, MOST_NAMES))).await?;
        self.free(|free| {
            let seqs = block.first().seq..=block.last().seq;
            free.last_block = block.last().seq - block.first().seq + 1;
            free.leave_before(epoch);
            for seq in seqs.skip(1) {
                free.put(GivenName { tx: TxId { seq, ..block.first() }, epoch });
            }
        });
        Ok(GivenName { tx: block.first(), epoch })
    }

    /// Gives back a name under which nothing was prepared, and nothing begun.
    pub(crate) fn give_back(&self, name: GivenName) {
        self.free(|free| free.put(name));
    }

    /// The epoch is over: its names, and those of epochs before, are of no use any more.
    pub(crate) fn leave(&self, epoch: u64) {
        self.free(|free| free.leave_before(epoch.saturating_add(1)));
    }

    fn free<T>(&self, look: impl FnOnce(&mut Free) -> T) -> T {
        look(&mut self.free.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Free {
    fn pop(&mut self) -> Option<GivenName> {
        self.names.pop_first().map(|(tx, epoch)| GivenName { tx, epoch })
    }

    fn put(&mut self, name: GivenName) {
        if name.epoch >= self.least_epoch {
            self.names.insert(name.tx, name.epoch);
        }
    }

    fn leave_before(&mut self, epoch: u64) {
        self.least_epoch = self.least_epoch.max(epoch);
        self.names.retain(|_, epoch| *epoch >= self.least_epoch);
    }
}

#[cfg(test)]
mod tests {
    use synod::{NodeId, commit::TxRange};

    use super::*;

    fn name(seq: u64) -> GivenName {
        GivenName { tx: TxId { origin: NodeId(1), seq }, epoch: 3 }
    }

    fn block(epoch: u64, first: u64, count: u64) -> GivenNames {
        GivenNames { names: TxRange::new(NodeId(1), first, first + count - 1).unwrap(), epoch }
    }

    #[tokio::test]
    async fn blocks_double_and_what_is_given_back_is_given_first() {
        let (names, mut next, mut asked) = (Names::default(), 1, Vec::new());
        for seq in 1..=20 {
            let taken = names.take(|count| {
                asked.push(count);
                let block = block(3, next, count);
                next += count;
                async move { Ok(block) }
            });
            assert_eq!(taken.await.unwrap(), name(seq));
        }
        assert_eq!(asked, [1, 2, 4, 8, 16]);
        names.give_back(name(7));
        let unasked = |_| async { unreachable!("there are names") };
        assert_eq!(names.take(unasked).await.unwrap(), name(7));
        assert_eq!(names.take(unasked).await.unwrap(), name(21));
    }

    #[tokio::test]
    async fn a_manager_that_refuses_costs_nothing() {
        let names = Names::default();
        let refused = names.take(|_| async { Err(ManagerError::Forgotten) }).await;
        assert!(matches!(refused, Err(ManagerError::Forgotten)));
        let block = names.take(|count| async move { Ok(block(3, 5, count)) });
        assert_eq!(block.await.unwrap(), name(5));
    }

    #[tokio::test]
    async fn no_name_is_used_once_its_epoch_is_known_to_be_over() {
        let names = Names::default();
        for (epoch, first, count) in [(3, 1, 1), (3, 2, 2)] {
            assert_eq!(names.take(|_| async move { Ok(block(epoch, first, count)) }).await.unwrap(), name(first));
        }
        // One is left of the block, and one comes back late.
        names.leave(3);
        names.give_back(name(2));
        let fourth = names.take(|_| async { Ok(block(4, 9, 4)) }).await.unwrap();
        assert_eq!(fourth, GivenName { tx: name(9).tx, epoch: 4 });
        // A block of a later epoch says it, too.
        names.leave(2);
        names.give_back(fourth);
        let unasked = |_| async { unreachable!("there are names") };
        assert_eq!(names.take(unasked).await.unwrap(), fourth);
        for _ in 10..=12 {
            assert_eq!(names.take(unasked).await.unwrap().epoch, 4);
        }
        assert_eq!(names.take(|_| async { Ok(block(6, 13, 4)) }).await.unwrap().epoch, 6);
        names.give_back(fourth);
        assert_eq!(names.take(unasked).await.unwrap().epoch, 6);
    }
}
