//! Many runs of one kind, on all cores.

use std::{panic, thread};

/// What comes of the run with each number below `count`, in any order. If one panics, so does this.
pub(crate) fn each<T: Send>(count: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores as u64)
            .map(|first| {
                let run = &run;
                scope.spawn(move || (first..count).step_by(cores).map(run).collect::<Vec<_>>())
            })
            .collect();
        let done = workers.into_iter().map(|worker| worker.join());
        done.flat_map(|done| done.unwrap_or_else(|reason| panic::resume_unwind(reason))).collect()
    })
}
