//! Fewer events that break the same property.

use super::{Actor, Run, replay};

/// Leaves out events of a failed run for as long as the same property breaks: first many at a time, then one by one.
pub fn shrink<A: Actor>(failed: &Run) -> Run {
    let Err(violation) = &failed.result else { return failed.clone() };
    let mut best = failed.clone();
    let mut size = best.events.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        let mut progress = false;
        while start < best.events.len() {
            let end = (start + size).min(best.events.len());
            let fewer: Vec<_> = best.events[..start].iter().chain(&best.events[end..]).cloned().collect();
            let run = replay::<A>(&best.setup, &fewer);
            match &run.result {
                Err(other) if other.property == violation.property => {
                    best = run;
                    progress = true;
                }
                _ => start = end,
            }
        }
        if !(progress && size == 1) {
            size /= 2;
        }
    }
    best
}
