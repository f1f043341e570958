//! A caller's storage and resource, whatever their types are: a node's task is compiled once, with this library, and not again for
//! each of them.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{future::Future, pin::Pin};

use super::{Cause, Resource, jobs::Verdict};
use crate::{
    TxId,
    commit::{Membership, Meta, Outcome, Promised, Record, Transaction, TxRange, Vote},
    perform::{Progress, RecoverError, Storage},
};

/// A call of the resource, to be run as a task of its own.
pub(super) type Call<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A [`Storage`] that is open.
pub(super) trait AnyStorage: Send {
    fn persist(&mut self, records: &[Record]) -> Result<(), Cause>;
}

/// A [`Resource`]. Its calls hold on to it.
pub(super) trait AnyResource: Send + Sync {
    fn recover(self: Arc<Self>, promised: Vec<Promised>) -> Call<Result<Vec<Promised>, RecoverError>>;
    fn vote(self: Arc<Self>, transaction: Transaction, meta: Meta) -> Call<Vote>;
    fn carry_out(self: Arc<Self>, verdict: Verdict) -> Call<Progress>;
    fn vote_at_once(&self, transaction: &Transaction, meta: &Meta) -> Option<Vote>;
    fn end_at_once(&self, transaction: &Transaction, outcome: Outcome) -> Option<Progress>;
    fn decided(&self, tx: TxId, outcome: Outcome);
    fn completed(&self, tx: TxId, outcome: Outcome);
    fn epoch(&self, number: u64, membership: &Membership);
    fn changed(&self, number: u64, is_mine: bool);
    fn forget(&self, range: TxRange);
}

impl<S: Storage<Error: Send + Sync> + Send> AnyStorage for S {
    fn persist(&mut self, records: &[Record]) -> Result<(), Cause> {
        Storage::persist(self, records).map_err(|error| Arc::new(error) as Cause)
    }
}

impl<R: Resource> AnyResource for R {
    fn recover(self: Arc<Self>, promised: Vec<Promised>) -> Call<Result<Vec<Promised>, RecoverError>> {
        Box::pin(async move { Resource::recover(&*self, &promised).await })
    }

    fn vote(self: Arc<Self>, transaction: Transaction, meta: Meta) -> Call<Vote> {
        Box::pin(async move { Resource::vote(&*self, &transaction, &meta).await })
    }

    fn carry_out(self: Arc<Self>, verdict: Verdict) -> Call<Progress> {
        Box::pin(async move {
            match verdict {
                Verdict::Commit(transaction, meta) => Resource::commit(&*self, &transaction, &meta).await,
                Verdict::Abort(transaction, meta) => Resource::abort(&*self, &transaction, meta.as_ref()).await,
            }
        })
    }

    fn vote_at_once(&self, transaction: &Transaction, meta: &Meta) -> Option<Vote> {
        Resource::vote_at_once(self, transaction, meta)
    }

    fn end_at_once(&self, transaction: &Transaction, outcome: Outcome) -> Option<Progress> {
        Resource::end_at_once(self, transaction, outcome)
    }

    fn decided(&self, tx: TxId, outcome: Outcome) {
        Resource::decided(self, tx, outcome);
    }

    fn completed(&self, tx: TxId, outcome: Outcome) {
        Resource::completed(self, tx, outcome);
    }

    fn epoch(&self, number: u64, membership: &Membership) {
        Resource::epoch(self, number, membership);
    }

    fn changed(&self, number: u64, is_mine: bool) {
        Resource::changed(self, number, is_mine);
    }

    fn forget(&self, range: TxRange) {
        Resource::forget(self, range);
    }
}
