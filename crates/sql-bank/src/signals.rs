//! What one process does to another.

use std::io;

pub(crate) use rustix::process::Signal;
use rustix::process::{self, Pid};

pub(crate) fn send(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(process::kill_process(pid, signal)?)
}

/// Wakes this process should its parent die while it stands still, so that it sees that its input has ended.
pub(crate) fn wake_when_parent_dies() -> io::Result<()> {
    Ok(process::set_parent_process_death_signal(Some(Signal::CONT))?)
}
