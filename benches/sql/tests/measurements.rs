//! Both measurements, for a moment: that they run and leave their figures. Nothing here looks at the figures.

use std::{path::Path, process::Command};

/// Runs the program, which must succeed, and tells how many rows of figures it leaves.
fn measure(out: &Path, name: &str, arguments: &[&str]) -> usize {
    let mut program = Command::new(env!("CARGO_BIN_EXE_sql-bench"));
    let status = program.arg("--out").arg(out).args(arguments).status().expect("sql-bench starts");
    assert!(status.success(), "sql-bench {arguments:?}: {status}");
    let figures = std::fs::read_to_string(out.join(name)).expect("figures");
    figures.lines().count() - 1
}

#[test]
fn both_measurements_run() {
    let out = tempfile::tempdir().expect("a folder");
    // Six contestants, with so many clients each.
    assert_eq!(measure(out.path(), "sql.csv", &["--patience", "100", "--rounds", "1", "--clients", "1,2"]), 12);
    assert_eq!(measure(out.path(), "sql-syncs.csv", &["--syncs"]), 6);
}
