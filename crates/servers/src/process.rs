//! The server's process, and what it leaves behind.

use std::{
    fs,
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How often to look whether something has happened.
const PACE: Duration = Duration::from_millis(10);

/// Asks `look` again and again until it finds something, for `patience` at most.
pub(crate) fn wait_for<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if start.elapsed() >= patience {
            return None;
        }
        thread::sleep(PACE);
    }
}

/// Sends `signal` to `child`, which must not have been waited for: its number is its own until then.
pub(crate) fn signal(child: &Child, signal: Signal) {
    // The only error that is possible is that it ended already; then it is a zombie, and that is no error either.
    _ = kill_process(Pid::from_child(child), signal);
}

/// Waits until `child` has ended, for `patience` at most.
pub(crate) fn end_of(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    wait_for(patience, || child.try_wait().ok().flatten())
}

/// Kills `child` and its children, so that none of them carries anything out any more, and waits until they are gone.
pub(crate) fn kill(child: &mut Child) {
    // A stopped process makes no new children while they are looked for.
    signal(child, Signal::STOP);
    let children = children_of(child.id());
    signal(child, Signal::KILL);
    for pid in &children {
        _ = kill_process(*pid, Signal::KILL);
    }
    _ = child.wait();
    wait_for(Duration::from_secs(10), || children.iter().all(|pid| living_parent(*pid).is_none()).then_some(()));
}

fn children_of(parent: u32) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(Pid::from_raw).filter(|pid| living_parent(*pid).is_some_and(|of| of == parent)).collect()
}

/// The parent of `pid`; `None` if `pid` has ended.
fn living_parent(pid: Pid) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name of the program is in parentheses, and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X");
    if ended { None } else { fields.next()?.parse().ok() }
}
