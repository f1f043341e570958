//! Whether a resource keeps the contract of `docs/RESOURCE.md`.

mod ask;
mod bench;
mod checks;
mod elsewhere;
mod here;
mod outcomes;
mod votes;

use core::{error::Error, future::Future};
use std::time::Duration;

use ask::Direct;

use super::Report;
use crate::{
    commit::{Input, Promised, Record, ResourceKind},
    perform::Resource,
};

/// Why a scene could not do what it was asked to.
///
/// See [`ResourceUnderTest`] for an example.
pub type SceneError = Box<dyn Error + Send + Sync>;

/// A resource to be tested, and the scene around it: what an application, a crash and an onlooker do.
///
/// The suite plays the node. It asks the resource to vote, keeps the record of the vote or loses it, hands over outcomes,
/// and lets the process crash at each point between. Each piece of work has a number of its own, from 0 on, and none is
/// used twice: what the suite does to one must not depend on any other, so give each number a row, a key or an account of
/// its own. Start with an empty database, with room for 40 transactions that are prepared at once.
///
/// Everything here may be async, for a resource of the driver for tokio. For one that is not, write `async fn` as well, and
/// wait for nothing.
///
/// ```
/// use std::{cell::RefCell, collections::BTreeSet, rc::Rc};
/// use synod::{NodeId, TxId, commit::{Meta, Promised, Transaction, Vote}};
/// use synod::perform::{Progress, RecoverError, Resource, conformance::{self, ResourceUnderTest, SceneError}};
///
/// /// A set of numbers: a transaction adds its own. What is in the set is durable, promises are in memory only.
/// struct Numbers {
///     added: Rc<RefCell<BTreeSet<u64>>>,
///     promised: BTreeSet<TxId>,
/// }
///
/// impl Resource for Numbers {
///     fn recover(&mut self, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
///         self.promised = promised.iter().map(|promised| promised.transaction.id()).collect();
///         Ok(Vec::new())
///     }
///
///     fn vote(&mut self, transaction: &Transaction, _: &Meta) -> Option<Vote> {
///         self.promised.insert(transaction.id());
///         Some(Vote::Prepared)
///     }
///
///     fn commit(&mut self, transaction: &Transaction, _: &Meta) -> Progress {
///         self.promised.remove(&transaction.id());
///         self.added.borrow_mut().insert(transaction.id().seq);
///         Progress::Finished
///     }
///
///     fn abort(&mut self, transaction: &Transaction, _: Option<&Meta>) -> Progress {
///         self.promised.remove(&transaction.id());
///         Progress::Finished
///     }
/// }
///
/// #[derive(Default)]
/// struct Scene(Rc<RefCell<BTreeSet<u64>>>);
///
/// impl ResourceUnderTest for Scene {
///     type Resource = Numbers;
///
///     fn work(&self, number: u64) -> Promised {
///         let (id, meta) = (TxId { origin: NodeId(1), seq: number }, Meta::from(b"add it"));
///         Promised::new(Transaction::new(id, [NodeId(1), NodeId(2)], meta.clone()).expect("two participants"), meta)
///     }
///
///     async fn open(&mut self) -> Result<Numbers, SceneError> {
///         Ok(Numbers { added: Rc::clone(&self.0), promised: BTreeSet::new() })
///     }
///
///     async fn shows(&mut self, _: &Numbers, number: u64) -> Result<usize, SceneError> {
///         Ok(usize::from(self.0.borrow().contains(&number)))
///     }
///
///     async fn holds(&mut self, numbers: &Numbers, number: u64) -> Result<Option<bool>, SceneError> {
///         Ok(Some(numbers.promised.contains(&self.work(number).transaction.id())))
///     }
/// }
///
/// conformance::resource(&mut Scene::default()).assert();
/// ```
pub trait ResourceUnderTest {
    /// The resource: a [`Resource`](crate::perform::Resource), or that of the driver for tokio.
    type Resource;

    /// Where its votes are durable: in the node's records, unless given.
    fn kind(&self) -> ResourceKind {
        ResourceKind::default()
    }

    /// The transaction by which work `number` is done, and what it is about: always the same for one number, and another
    /// name for another number.
    fn work(&self, number: u64) -> Promised;

    /// Opens the resource, as a process does that has just started. The suite has it recover next.
    fn open(&mut self) -> impl Future<Output = Result<Self::Resource, SceneError>>;

    /// Ends the process that has the resource open, as a crash would: only what is durable may be there when it is opened
    /// again. Unless given, this drops the resource. Give it if the resource may write something when it is dropped, or if
    /// tasks of its own would outlive it.
    fn crash(&mut self, resource: Self::Resource) -> impl Future<Output = ()> {
        async { drop(resource) }
    }

    /// What the application does before the resource is asked to vote: for a database, the work, and `PREPARE` on a
    /// connection of the application's own. An error says that this cannot be prepared, as it must be after an abort.
    /// Unless given, there is nothing to do: the vote does it all.
    fn prepare(&mut self, resource: &mut Self::Resource, number: u64) -> impl Future<Output = Result<(), SceneError>> {
        let _ = (resource, number);
        async { Ok(()) }
    }

    /// How many times work `number` shows to everyone: 0 before it is committed, 1 from then on. The more a scene can tell,
    /// the more is found: a balance to which a sum was added twice shows it twice.
    fn shows(&mut self, resource: &Self::Resource, number: u64) -> impl Future<Output = Result<usize, SceneError>>;

    /// Whether the resource holds work `number`: has prepared it, and not let go of it yet. Unless given, this is not
    /// known; then it is seen only by what a resource whose votes are durable elsewhere returns when it recovers.
    fn holds(
        &mut self,
        resource: &Self::Resource,
        number: u64,
    ) -> impl Future<Output = Result<Option<bool>, SceneError>> {
        let _ = (resource, number);
        async { Ok(None) }
    }

    /// Whether the resource remembers how work `number` ended: a row, say, that [`forget`](Resource::forget) should take
    /// away. Unless given, this is not known, and not tried.
    fn remembers(
        &mut self,
        resource: &Self::Resource,
        number: u64,
    ) -> impl Future<Output = Result<Option<bool>, SceneError>> {
        let _ = (resource, number);
        async { Ok(None) }
    }

    /// Takes away what the resource holds of work `number`, behind its back, while it is down, and returns true; or returns
    /// false if it has no way to do so, as it does unless given. For a database: `ROLLBACK PREPARED` by hand, and what the
    /// transaction would have left is gone too.
    fn lose(&mut self, number: u64) -> impl Future<Output = Result<bool, SceneError>> {
        let _ = number;
        async { Ok(false) }
    }

    /// The node's storage writes `record`, the node's part in a piece of work. A resource that shares the storage, and puts
    /// its own changes into the same write, does it here. Unless given, there is nothing to do.
    fn write(
        &mut self,
        resource: &mut Self::Resource,
        record: &Record,
    ) -> impl Future<Output = Result<(), SceneError>> {
        let _ = (resource, record);
        async { Ok(()) }
    }

    /// The next answer that comes later: [`Input::Vote`] where `vote` has returned `None`, [`Input::Finished`] after
    /// [`Progress::Later`](crate::perform::Progress::Later). Waits for it if it is on its way; returns nothing if none is.
    /// Unless given, none ever comes.
    fn later(&mut self, resource: &mut Self::Resource) -> impl Future<Output = Option<Input>> {
        let _ = resource;
        async { None }
    }

    /// Waits a little, before the resource is asked again, 200 times at most. Unless given, the thread sleeps for 10 ms.
    #[allow(clippy::disallowed_methods, reason = "a resource that is busy needs real time")]
    fn pause(&mut self) -> impl Future<Output = ()> {
        async { std::thread::sleep(Duration::from_millis(10)) }
    }
}

/// Puts a resource through all that a node relies on, and waits for it.
///
/// See [`ResourceUnderTest`] for an example.
pub fn resource<U>(subject: &mut U) -> Report
where
    U: ResourceUnderTest,
    U::Resource: Resource,
{
    ask::wait(checks::run(subject, Direct))
}

/// Puts a resource of the [driver for tokio](crate::perform::tokio) through all that a node relies on. Many calls are under
/// way at once, as in a node. Every answer is waited for: set a limit to the whole.
///
/// ```
/// # ::tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// use synod::{NodeId, TxId, commit::{Promised, Transaction}, perform::{NoResource, conformance::*}};
///
/// /// Nothing at all.
/// struct Nothing;
///
/// impl ResourceUnderTest for Nothing {
///     type Resource = NoResource;
///
///     fn work(&self, number: u64) -> Promised {
///         let id = TxId { origin: NodeId(1), seq: number };
///         Promised::new(Transaction::new(id, [NodeId(1)], []).expect("one participant"), [].into())
///     }
///
///     async fn open(&mut self) -> Result<NoResource, SceneError> {
///         Ok(NoResource)
///     }
///
///     async fn shows(&mut self, _: &NoResource, _: u64) -> Result<usize, SceneError> {
///         Ok(0)
///     }
/// }
///
/// let report = resource_async(&mut Nothing).await;
/// assert!(!report.is_passed(), "what votes to abort whatever comes is no resource");
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[cfg(feature = "tokio")]
pub async fn resource_async<U>(subject: &mut U) -> Report
where
    U: ResourceUnderTest,
    U::Resource: crate::perform::tokio::Resource,
{
    checks::run(subject, ask::Concurrent).await
}
