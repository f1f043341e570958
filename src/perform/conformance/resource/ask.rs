//! How a resource is called, whichever of the two traits it has.

#[cfg(feature = "tokio")]
use core::future::poll_fn;
use core::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};
use std::{
    sync::Arc,
    task::Wake,
    thread::{self, Thread},
};

use crate::{
    commit::{Meta, Outcome, Promised, Transaction, TxRange, Vote},
    perform::{Progress, RecoverError, Resource},
};

/// What a resource is asked about one transaction.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Vote(Promised),
    Commit(Transaction, Meta),
    Abort(Transaction, Option<Meta>),
}

/// What it answers at once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// `None` if its vote comes later.
    Voted(Option<Vote>),
    CarriedOut(Progress),
}

impl Call {
    /// Hands `outcome` over with all that a node can know of the transaction.
    pub(super) fn verdict(work: Promised, outcome: Outcome) -> Self {
        match outcome {
            Outcome::Committed => Self::Commit(work.transaction, work.meta),
            Outcome::Aborted => Self::Abort(work.transaction, Some(work.meta)),
        }
    }

    /// Hands `outcome` over, as a node does that has forgotten what the transaction is about.
    pub(super) fn verdict_by_name(work: Promised, outcome: Outcome) -> Self {
        match outcome {
            Outcome::Committed => Self::Commit(work.transaction, Meta::default()),
            Outcome::Aborted => Self::Abort(work.transaction, None),
        }
    }
}

/// A way to call resources of type `R`.
pub(super) trait Ask<R> {
    async fn recover(&self, resource: &mut R, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError>;

    /// All these calls, each about another transaction, at once if that can be. The answers are in the order of the calls.
    async fn ask(&self, resource: &mut R, calls: &[Call]) -> Vec<Answer>;

    fn forget(&self, resource: &mut R, range: TxRange);
}

/// One call after the other.
pub(super) struct Direct;

impl<R: Resource> Ask<R> for Direct {
    async fn recover(&self, resource: &mut R, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        resource.recover(promised)
    }

    async fn ask(&self, resource: &mut R, calls: &[Call]) -> Vec<Answer> {
        let mut answer = |call: &Call| match call {
            Call::Vote(work) => Answer::Voted(resource.vote(&work.transaction, &work.meta)),
            Call::Commit(transaction, meta) => Answer::CarriedOut(resource.commit(transaction, meta)),
            Call::Abort(transaction, meta) => Answer::CarriedOut(resource.abort(transaction, meta.as_ref())),
        };
        calls.iter().map(&mut answer).collect()
    }

    fn forget(&self, resource: &mut R, range: TxRange) {
        resource.forget(range);
    }
}

/// All calls at once, each as by the driver: what is known without waiting is asked for first.
#[cfg(feature = "tokio")]
pub(super) struct Concurrent;

#[cfg(feature = "tokio")]
impl<R: crate::perform::tokio::Resource> Ask<R> for Concurrent {
    async fn recover(&self, resource: &mut R, promised: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        resource.recover(promised).await
    }

    async fn ask(&self, resource: &mut R, calls: &[Call]) -> Vec<Answer> {
        let resource = &*resource;
        let answer = async |call: &Call| match call {
            Call::Vote(work) => {
                let (transaction, meta) = (&work.transaction, &work.meta);
                Answer::Voted(Some(match resource.vote_at_once(transaction, meta) {
                    Some(vote) => vote,
                    None => resource.vote(transaction, meta).await,
                }))
            }
            Call::Commit(transaction, meta) => {
                Answer::CarriedOut(match resource.end_at_once(transaction, Outcome::Committed) {
                    Some(progress) => progress,
                    None => resource.commit(transaction, meta).await,
                })
            }
            Call::Abort(transaction, meta) => {
                Answer::CarriedOut(match resource.end_at_once(transaction, Outcome::Aborted) {
                    Some(progress) => progress,
                    None => resource.abort(transaction, meta.as_ref()).await,
                })
            }
        };
        all(calls.iter().map(answer)).await
    }

    fn forget(&self, resource: &mut R, range: TxRange) {
        resource.forget(range);
    }
}

/// What `futures` yield, all of them run together.
#[cfg(feature = "tokio")]
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        for (future, output) in running.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(ready) = future.as_mut().poll(context) {
                *output = Some(ready);
            }
        }
        if running.iter().all(|(_, output)| output.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}

/// Runs `future` on this thread, without any runtime.
pub(super) fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let (waker, mut future) = (Waker::from(Arc::new(Unpark(thread::current()))), pin!(future));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
