//! The one write that is under way, on a blocking thread.
//!
//! The storage goes to that thread with the batch and comes back with the verdict, so there is never a second write,
//! and the node's task never waits for a disk.

use alloc::{boxed::Box, sync::Arc};
use core::{future::pending, time::Duration};

use ::tokio::{
    task::{JoinError, JoinHandle, spawn_blocking},
    time::Instant,
};
use tracing::debug_span;

use super::{Cause, erased::AnyStorage};
use crate::perform::Batch;

/// A storage, here or away writing.
pub(super) struct Writer {
    storage: Option<Box<dyn AnyStorage>>,
    under_way: Option<JoinHandle<Back>>,
    since: Instant,
}

/// What comes back from the blocking thread.
struct Back {
    storage: Box<dyn AnyStorage>,
    batch: Batch,
    result: Result<(), Cause>,
}

/// A write that has ended.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) batch: Batch,
    pub(super) took: Duration,
}

/// The storage has panicked, or the runtime is going down.
#[derive(Debug, thiserror::Error)]
#[error("the write came to no end")]
struct NoEnd(#[from] JoinError);

impl Writer {
    pub(super) fn new(storage: impl AnyStorage + 'static) -> Self {
        Self { storage: Some(Box::new(storage)), under_way: None, since: Instant::now() }
    }

    /// Whether nothing is being written.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// Begins to write `batch`. Nothing may be under way: the outbox gives out one batch at a time.
    pub(super) fn write(&mut self, batch: Batch) {
        let Some(mut storage) = self.storage.take() else { return };
        self.since = Instant::now();
        let span = debug_span!("flush", records = batch.records().len());
        self.under_way = Some(spawn_blocking(move || {
            let result = span.in_scope(|| storage.persist(batch.records()));
            Back { storage, batch, result }
        }));
    }

    /// Waits for the end of the write that is under way; for ever, if there is none. Cancel safe.
    pub(super) async fn written(&mut self) -> Result<Written, Cause> {
        let Some(under_way) = &mut self.under_way else { return pending().await };
        let joined = under_way.await;
        self.under_way = None;
        match joined {
            Ok(Back { storage, batch, result }) => {
                self.storage = Some(storage);
                // On an error the batch is dropped, which fences the outbox.
                result.map(|()| Written { batch, took: self.since.elapsed() })
            }
            Err(error) => Err(Arc::new(NoEnd(error))),
        }
    }

    /// Lets go of the storage when the write that hangs ends, if ever.
    pub(super) fn abandon(self) {}

    /// Lets go of the storage, which may take a disk's time.
    pub(super) async fn close(mut self) {
        if let Some(under_way) = self.under_way.take() {
            let _ = under_way.await;
        }
        let storage = self.storage.take();
        // A storage that panics when it is dropped is gone as well.
        let _ = spawn_blocking(move || drop(storage)).await;
    }
}
