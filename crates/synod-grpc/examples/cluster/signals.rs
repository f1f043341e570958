//! What one process does to another.

use std::io;

/// What is done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGKILL: it is gone, with all that it had in memory.
    Kill,
    /// SIGSTOP: it stands still, and knows nothing of it.
    Stop,
    /// SIGCONT: it goes on.
    Continue,
}

#[cfg(unix)]
pub(crate) fn send(pid: u32, signal: Signal) -> io::Result<()> {
    use rustix::process::{self, Pid};

    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let signal = match signal {
        Signal::Kill => process::Signal::KILL,
        Signal::Stop => process::Signal::STOP,
        Signal::Continue => process::Signal::CONT,
    };
    Ok(process::kill_process(pid, signal)?)
}

#[cfg(not(unix))]
pub(crate) fn send(_: u32, signal: Signal) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, format!("{signal:?} needs Unix")))
}

/// Wakes this process should its parent die while it is stopped, so that it sees that its input has ended.
pub(crate) fn wake_when_parent_dies() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::CONT))?;
    Ok(())
}
