//! What a suite has found.

use std::fmt;

/// The checks of one suite, in order, and how each went.
///
/// See the [module](super) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a report may tell of failures: `assert` sees to it"]
pub struct Report {
    subject: &'static str,
    checks: Vec<Check>,
}

/// One check.
///
/// See the [module](super) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name: what is true when it passes.
    pub name: &'static str,
    /// What a node relies on, and why.
    pub contract: &'static str,
    /// How it went.
    pub verdict: Verdict,
}

/// How a check went.
///
/// See the [module](super) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The contract was kept.
    Passed,
    /// It was broken: this was found.
    Failed(String),
    /// Nothing was tried, for this reason.
    Skipped(&'static str),
}

impl Report {
    /// The report of a suite for `subject`, such as "resource", without any check yet: for suites of other packages.
    pub fn new(subject: &'static str) -> Self {
        Self { subject, checks: Vec::new() }
    }

    /// Adds a check that was made.
    pub fn add(&mut self, name: &'static str, contract: &'static str, verdict: Verdict) {
        self.checks.push(Check { name, contract, verdict });
    }

    /// Every check, in the order in which they were made.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The checks that failed, in order. The first one is where to begin: others may fail for the same reason.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| matches!(check.verdict, Verdict::Failed(_)))
    }

    /// Whether no check failed.
    pub fn is_passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// Panics with the whole report if any check failed.
    #[track_caller]
    pub fn assert(&self) {
        assert!(self.is_passed(), "{self}");
    }
}

impl From<Result<(), String>> for Verdict {
    fn from(result: Result<(), String>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Passed)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failures().count();
        writeln!(f, "{}: {failed} of {} checks failed", self.subject, self.checks.len())?;
        self.checks.iter().try_for_each(|check| check.fmt(f))
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Passed => writeln!(f, "  passed   {}", self.name),
            Verdict::Skipped(why) => writeln!(f, "  skipped  {}: {why}", self.name),
            Verdict::Failed(found) => {
                writeln!(f, "  FAILED   {}", self.name)?;
                writeln!(f, "           the contract: {}", self.contract)?;
                writeln!(f, "           found: {found}")
            }
        }
    }
}

/// What `value` looks like, but not all of it.
pub(super) fn shown(value: &impl fmt::Debug) -> String {
    const MOST: usize = 300;
    let text = format!("{value:?}");
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}
