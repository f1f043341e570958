//! The list of mutants, as `cargo mutants` prints it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// A change to the code.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Mutant {
    /// A unique description: the file, the place and the change.
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) genre: String,
    pub(crate) replacement: String,
    pub(crate) span: Span,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Span {
    pub(crate) start: Place,
}

/// A place in a file. Both numbers count from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// The mutants of the checkout in `root`. `filters` are passed to `cargo mutants`.
pub(crate) fn mutants(root: &Path, filters: &[String]) -> Result<Vec<Mutant>> {
    let output = Command::new("cargo")
        .args(["mutants", "--list", "--json", "--colors=never"])
        .args(filters)
        .current_dir(root)
        .output()
        .context("cargo does not start")?;
    ensure!(
        output.status.success(),
        "cargo mutants --list failed (cargo install --locked cargo-mutants): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("the list of cargo mutants has another form than this program knows")
}
