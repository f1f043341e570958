//! What takes long to ask is asked once for all who look, and shown again until the next answer is there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::view;

/// For how long an answer is taken for new.
const FRESH: Duration = Duration::from_millis(1_500);

/// How long a page waits for it.
const PATIENCE: Duration = Duration::from_millis(60);

/// The answers that the console keeps.
#[derive(Default)]
pub(crate) struct Kept {
    /// What is in doubt at the agents of other processes.
    pub(super) elsewhere: Last<view::InDoubt>,
    /// What the databases of this process list.
    pub(super) databases: Last<view::Databases>,
}

/// The last answer.
pub(super) struct Last<T> {
    answer: watch::Sender<Option<(Instant, Arc<T>)>>,
    is_asking: AtomicBool,
}

impl<T> Default for Last<T> {
    fn default() -> Self {
        Self { answer: watch::Sender::new(None), is_asking: AtomicBool::new(false) }
    }
}

impl<T: Send + Sync + 'static> Last<T> {
    /// The last answer, which is asked for again if it is old. If that takes long, it is an old one, or none yet. `of` says
    /// where it is kept, in `owner`.
    pub(super) async fn get<P: Send + Sync + 'static>(
        owner: &Arc<P>,
        of: fn(&P) -> &Self,
        ask: impl Future<Output = T> + Send + 'static,
    ) -> Option<Arc<T>> {
        let last = of(owner);
        let is_fresh = |kept: &Option<(Instant, Arc<T>)>| kept.as_ref().is_some_and(|(at, _)| at.elapsed() < FRESH);
        let mut answers = last.answer.subscribe();
        if !is_fresh(&last.answer.borrow()) {
            if !last.is_asking.swap(true, Ordering::SeqCst) {
                let owner = Arc::clone(owner);
                tokio::spawn(async move {
                    // Whatever becomes of the question, the next one may be asked.
                    let _asking = Asking(&of(&owner).is_asking);
                    let answer = ask.await;
                    of(&owner).answer.send_replace(Some((Instant::now(), Arc::new(answer))));
                });
            }
            let _ = timeout(PATIENCE, answers.wait_for(is_fresh)).await;
        }
        let kept = last.answer.borrow().clone();
        kept.map(|(_, answer)| answer)
    }
}

struct Asking<'a>(&'a AtomicBool);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
