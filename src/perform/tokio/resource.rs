//! The local resource, in async form.

use alloc::vec::Vec;
use core::future::{Future, ready};

use crate::{
    TxId,
    commit::{Membership, Meta, Outcome, Promised, Transaction, TxRange, Vote},
    perform::{NoResource, Progress, RecoverError},
};

/// What a transaction is about, as [`perform::Resource`](crate::perform::Resource), but async: the driver runs each call
/// as a task of its own and goes on. All methods have defaults, those of a node that manages no resource: it votes to
/// abort.
///
/// Many transactions are asked about at once, as many as the options allow for [votes](super::Options::votes) and for
/// [verdicts](super::Options::verdicts), but of one transaction never two things: a verdict that comes while its vote is
/// being considered waits for the vote.
///
/// Should a call panic, that is counted, and the node goes on: a vote then counts as one to abort, a verdict is asked for
/// again as after [`Progress::Again`], a report ([`decided`](Self::decided), [`completed`](Self::completed)) counts as
/// made, and a node whose [`recover`](Self::recover) panics does not start.
///
/// See the [module](super) for an example.
pub trait Resource: Send + Sync + 'static {
    /// Lets go of everything that the resource holds for transactions other than `promised`, and of nothing else; or, if its
    /// votes are durable elsewhere, returns what it finds prepared in itself:
    /// [`perform::Resource::recover`](crate::perform::Resource::recover). [`spawn`](super::spawn) waits for this before
    /// a restored node does anything, and fails with its error.
    fn recover(&self, promised: &[Promised]) -> impl Future<Output = Result<Vec<Promised>, RecoverError>> + Send;

    /// Votes on `transaction`, which is about `meta`. After a vote of [`Vote::Prepared`] it must be able to commit,
    /// whatever happens.
    fn vote(&self, transaction: &Transaction, meta: &Meta) -> impl Future<Output = Vote> + Send {
        let _ = (transaction, meta);
        ready(Vote::Aborted)
    }

    /// Commits `transaction`. It may be asked again, after a restart too, and must then change nothing.
    ///
    /// [`Progress::Finished`] says that this is carried out, and durable now or with the next write of the node's storage.
    /// After [`Progress::Again`] it is asked again in a while, a longer one each time
    /// ([`Options::retry`](super::Options::retry)). After [`Progress::Later`] it is not asked again before a restart:
    /// [`Handle::finished`](super::Handle::finished) will say when it is done.
    fn commit(&self, transaction: &Transaction, meta: &Meta) -> impl Future<Output = Progress> + Send {
        let _ = (transaction, meta);
        ready(Progress::Finished)
    }

    /// Aborts `transaction`. It may be asked again, and for a transaction that it never voted on: then `meta` may be
    /// missing. Once this is done, the resource must not prepare that transaction any more. The answers are those of
    /// [`commit`](Self::commit).
    fn abort(&self, transaction: &Transaction, meta: Option<&Meta>) -> impl Future<Output = Progress> + Send {
        let _ = (transaction, meta);
        ready(Progress::Finished)
    }

    /// The vote on `transaction`, if it is known without waiting; otherwise [`vote`](Self::vote) is asked. By default it is
    /// not. Called on the node's own task: must not block.
    fn vote_at_once(&self, transaction: &Transaction, meta: &Meta) -> Option<Vote> {
        let _ = (transaction, meta);
        None
    }

    /// How far the resource is with the `outcome` of `transaction`, if that is known without waiting: it may be carried out
    /// already, or be about to be by somebody else ([`Progress::Again`]). Otherwise [`commit`](Self::commit) or
    /// [`abort`](Self::abort) is asked. By default it is not. Called on the node's own task: must not block.
    fn end_at_once(&self, transaction: &Transaction, outcome: Outcome) -> Option<Progress> {
        let _ = (transaction, outcome);
        None
    }

    /// At a transaction manager: the outcome of `tx` is known, for good. Called on the node's own task: must not block.
    fn decided(&self, tx: TxId, outcome: Outcome) {
        let _ = (tx, outcome);
    }

    /// At a transaction manager: every resource manager has carried the outcome of `tx` out. Called on the node's own
    /// task: must not block.
    fn completed(&self, tx: TxId, outcome: Outcome) {
        let _ = (tx, outcome);
    }

    /// This node is in epoch `number` now, of these members. (The transport has taken up their contacts.) Called on the node's
    /// own task: must not block.
    fn epoch(&self, number: u64, membership: &Membership) {
        let _ = (number, membership);
    }

    /// The handover that a [`Handle::change`](super::Handle::change) here asked for has led to epoch `number`: to the membership
    /// that was asked for, or to another one that came first. Called on the node's own task: must not block.
    fn changed(&self, number: u64, is_mine: bool) {
        let _ = (number, is_mine);
    }

    /// These transactions are retired: [`perform::Resource::forget`](crate::perform::Resource::forget). Called on the
    /// node's own task: must not block.
    fn forget(&self, range: TxRange) {
        let _ = range;
    }
}

impl Resource for NoResource {
    /// It holds nothing.
    async fn recover(&self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }
}
