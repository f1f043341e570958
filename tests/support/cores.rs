//! Many runs of one kind, on all cores.

use std::{
    panic,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// What comes of the run with each number below `count`, in order. If one panics, so does this.
pub(crate) fn each<T: Send>(count: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(0);
    // They take very different times: whoever is free takes the next one.
    let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count);
    let work = || std::iter::from_fn(|| take().map(|number| (number, run(number)))).collect::<Vec<_>>();
    let mut done: Vec<(u64, T)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let done = workers.into_iter().map(|worker| worker.join());
        done.flat_map(|done| done.unwrap_or_else(|reason| panic::resume_unwind(reason))).collect()
    });
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}
