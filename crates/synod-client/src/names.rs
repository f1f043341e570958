//! Names for transactions, from a transaction manager's numbers, in blocks.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use synod::{
    TxId,
    commit::{MOST_NAMES, TxRange},
};
use tokio::sync::Mutex as Turn;

use crate::ManagerError;

/// Names that were given and are not used yet. Each block is twice as large as the one before: whoever makes one transaction
/// takes one name, and leaves no gap.
#[derive(Debug, Default)]
pub(crate) struct Names {
    free: Mutex<Free>,
    /// Who asks for a block; the others wait for what comes.
    turn: Turn<()>,
}

#[derive(Debug, Default)]
struct Free {
    names: BTreeSet<TxId>,
    last_block: u64,
}

impl Names {
    /// A name, the lowest one that is free. `ask` asks for a block of so many.
    pub(crate) async fn take<F>(&self, ask: impl FnOnce(u64) -> F) -> Result<TxId, ManagerError>
    where
        F: Future<Output = Result<TxRange, ManagerError>>,
    {
        if let Some(name) = self.free(|free| free.names.pop_first()) {
            return Ok(name);
        }
        let _turn = self.turn.lock().await;
        if let Some(name) = self.free(|free| free.names.pop_first()) {
            return Ok(name);
        }
        let block = ask(self.free(|free| (free.last_block * 2).clamp(1, MOST_NAMES))).await?;
        self.free(|free| {
            let seqs = block.first().seq..=block.last().seq;
            free.last_block = block.last().seq - block.first().seq + 1;
            free.names.extend(seqs.skip(1).map(|seq| TxId { seq, ..block.first() }));
        });
        Ok(block.first())
    }

    /// Gives back a name under which nothing was prepared, and nothing begun.
    pub(crate) fn give_back(&self, name: TxId) {
        self.free(|free| free.names.insert(name));
    }

    fn free<T>(&self, look: impl FnOnce(&mut Free) -> T) -> T {
        look(&mut self.free.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use synod::NodeId;

    use super::*;

    fn name(seq: u64) -> TxId {
        TxId { origin: NodeId(1), seq }
    }

    #[tokio::test]
    async fn blocks_double_and_what_is_given_back_is_given_first() {
        let (names, mut next, mut asked) = (Names::default(), 1, Vec::new());
        for seq in 1..=20 {
            let taken = names.take(|count| {
                asked.push(count);
                let block = TxRange::new(NodeId(1), next, next + count - 1).unwrap();
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
        let block = names.take(|count| async move { Ok(TxRange::new(NodeId(1), 5, 4 + count).unwrap()) });
        assert_eq!(block.await.unwrap(), name(5));
    }
}
