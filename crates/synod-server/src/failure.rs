//! What went wrong: what it is about, why, and what to do about it; and the exit code for scripts.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

/// How the program ends. The numbers are for scripts, and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Exit {
    /// It is done; of a transaction: it is committed.
    Done = 0,
    /// The transaction is aborted.
    Aborted = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A file, a setting, a certificate or a clock is wrong.
    Configuration = 3,
    /// Nobody answers.
    Unreachable = 4,
    /// It was refused, and nothing was done.
    Refused = 5,
    /// The transaction is not decided yet.
    Undecided = 6,
    /// Nobody knows the transaction, or nobody knows any more how it ended.
    Unknown = 7,
    /// The machine does not let it: a port, a folder, or what is stored in it.
    Machine = 8,
    /// A database cannot take part.
    Database = 9,
    /// It ran, and failed.
    Failed = 10,
}

impl Exit {
    pub(crate) const ALL: [Self; 11] = [
        Self::Done,
        Self::Aborted,
        Self::Usage,
        Self::Configuration,
        Self::Unreachable,
        Self::Refused,
        Self::Undecided,
        Self::Unknown,
        Self::Machine,
        Self::Database,
        Self::Failed,
    ];

    /// The number.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// What it says.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done; of a transaction: it is committed",
            Self::Aborted => "the transaction is aborted",
            Self::Usage => "the command line is wrong",
            Self::Configuration => "a file, a setting, a certificate or the clock is wrong",
            Self::Unreachable => "nobody answers",
            Self::Refused => "refused: nothing was done",
            Self::Undecided => "the transaction is not decided yet: ask again",
            Self::Unknown => "the transaction is not known, or not any more",
            Self::Machine => "a port, a folder or what is stored in it is of no use",
            Self::Database => "a database cannot take part",
            Self::Failed => "it ran, and failed",
        }
    }
}

/// Why a command came to nothing, in the words of the person who gave it.
#[derive(Debug)]
pub(crate) struct Failure(Box<Told>);

#[derive(Debug, Serialize, Deserialize)]
struct Told {
    error: String,
    cause: Option<String>,
    remedy: String,
    exit: Exit,
    code: u8,
}

impl Failure {
    /// It is about `what`; `remedy` says what to do.
    pub(crate) fn new(exit: Exit, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (error, remedy) = (what.into(), remedy.into());
        Self(Box::new(Told { error, cause: None, remedy, exit, code: exit.code() }))
    }

    /// The same, because of `cause`.
    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// The same, because of `error` and all that is behind it.
    pub(crate) fn caused_by(self, error: &(dyn Error + 'static)) -> Self {
        self.because(chain(error))
    }

    pub(crate) fn exit(&self) -> Exit {
        self.0.exit
    }

    /// What `json` has said elsewhere.
    pub(crate) fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { error, cause, remedy, .. } = &*self.0;
        write!(f, "synod: {error}")?;
        if let Some(cause) = cause {
            write!(f, "\n  cause:  {}", cause.trim_end().replace('\n', "\n          "))?;
        }
        write!(f, "\n  remedy: {}", remedy.replace('\n', "\n          "))
    }
}

/// An error, and all that is behind it, without what is said twice.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = source.source();
    }
    text
}
