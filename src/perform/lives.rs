//! One life of a storage at a time.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What all handles to one storage share, and which of them may write: those of its last life.
///
/// A storage that is loaded again begins a new life (see [`Storage`](super::Storage)). With this in its handles a storage
/// keeps that contract: `load` calls [`begin`](Lives::begin), and `persist` writes while it holds what
/// [`write`](Lives::write) returns. So a write that is under way when the storage is loaded again lands before the load,
/// and one that comes later is refused.
///
/// A clone belongs to the life that the handle belongs to which it is a clone of.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use synod::{commit::Record, perform::{EarlierLife, Lives, Storage}};
///
/// /// Keeps everything that was ever written.
/// #[derive(Clone)]
/// struct Log(Lives<Vec<Record>>);
///
/// impl Storage for Log {
///     type Error = EarlierLife;
///
///     fn load(&mut self) -> Result<Vec<Record>, EarlierLife> {
///         Ok(self.0.begin().clone())
///     }
///
///     fn persist(&mut self, records: &[Record]) -> Result<(), EarlierLife> {
///         self.0.write()?.extend_from_slice(records);
///         Ok(())
///     }
/// }
///
/// let mut crashed = Log(Lives::new(Vec::new()));
/// crashed.persist(&[Record::Rounds { reserved: 1 }])?;
/// let mut restored = crashed.clone();
/// assert_eq!(restored.load()?.len(), 1);
/// assert!(crashed.persist(&[Record::Rounds { reserved: 2 }]).is_err());
/// # Ok(())
/// # }
/// ```
pub struct Lives<T> {
    shared: Arc<Mutex<Shared<T>>>,
    /// The life of this handle.
    own: u64,
}

/// What the handles share.
#[derive(Debug, Default)]
pub(super) struct Shared<T> {
    /// The last life that was begun.
    last: u64,
    state: T,
}

/// A write was refused, because the storage was loaded again since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error(
    "nothing was written: the storage was loaded again since, and a write of its earlier life could undo what it has \
     promised in the new one; drop the node that has written this, and go on with the one that was restored"
)]
pub struct EarlierLife;

/// Access to what the handles share. Nobody else has it meanwhile.
pub struct LifeGuard<'a, T>(MutexGuard<'a, Shared<T>>);

impl<T> Lives<T> {
    /// The only handle to `state`, in its first life.
    pub fn new(state: T) -> Self {
        Self { shared: Arc::new(Mutex::new(Shared { last: 0, state })), own: 0 }
    }

    /// One more handle to what others share, of the last life.
    #[cfg(feature = "fjall")]
    pub(super) fn join(shared: Arc<Mutex<Shared<T>>>) -> Self {
        let own = lock(&shared).last;
        Self { shared, own }
    }

    /// What the handles share.
    #[cfg(feature = "fjall")]
    pub(super) fn shared(&self) -> &Arc<Mutex<Shared<T>>> {
        &self.shared
    }

    /// Begins a new life, to which this handle belongs from now on. Waits for the end of a write that is under way.
    pub fn begin(&mut self) -> LifeGuard<'_, T> {
        let mut shared = lock(&self.shared);
        shared.last += 1;
        self.own = shared.last;
        LifeGuard(shared)
    }

    /// Access for a write, which must be over when this is dropped. Refused if a new life has begun elsewhere.
    pub fn write(&self) -> Result<LifeGuard<'_, T>, EarlierLife> {
        let shared = lock(&self.shared);
        if shared.last == self.own { Ok(LifeGuard(shared)) } else { Err(EarlierLife) }
    }

    /// Access for a caller that does not write for a node, whatever the life.
    pub fn inspect(&self) -> LifeGuard<'_, T> {
        LifeGuard(lock(&self.shared))
    }
}

/// A thread that panicked while it held the state left it to those who come next.
fn lock<T>(shared: &Mutex<Shared<T>>) -> MutexGuard<'_, Shared<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Clone for Lives<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), own: self.own }
    }
}

impl<T: Default> Default for Lives<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Lives<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lives").field("own", &self.own).field("shared", &self.shared).finish()
    }
}

impl<T> Deref for LifeGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.state
    }
}

impl<T> DerefMut for LifeGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0.state
    }
}

impl<T: fmt::Debug> fmt::Debug for LifeGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
