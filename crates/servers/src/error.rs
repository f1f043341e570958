//! Why a server could not be started, ended or asked.

use std::{io, path::PathBuf, time::Duration};

/// Why a server could not be started, ended or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server's programs are nowhere to be found.
    #[error("{0} is not installed: install its server, or put its programs on the PATH")]
    NotInstalled(&'static str),
    /// This process is root's, and there is no ordinary user to run a server as.
    #[error("a server does not run as root, and none of these users exists: {0}; create one, or run as another user")]
    NoUser(String),
    /// All ports that were tried are taken.
    #[error("no loopback port from {from} to {to} is free: end what holds them")]
    NoPort {
        /// The first port that was tried.
        from: u16,
        /// The last one.
        to: u16,
    },
    /// A file or a process could not be worked with.
    #[error("{doing} {path}: {source}", path = path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or program.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A program failed.
    #[error("{program} failed ({status}); it says:\n{output}", program = program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: String,
        /// What it printed, or the end of its log.
        output: String,
    },
    /// A server did not do in time what it was asked to.
    #[error("{program} did not {what} within {patience:?}; its log ends with:\n{log}", program = program.display())]
    TooSlow {
        /// The server's program.
        program: PathBuf,
        /// What it should have done.
        what: &'static str,
        /// How long it was waited for.
        patience: Duration,
        /// The end of its log.
        log: String,
    },
}

impl Error {
    /// For `map_err`: what was being `doing` to `path`.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}
