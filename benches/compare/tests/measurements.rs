//! Each kind of measurement, for a moment: that it runs and leaves its figures. Nothing here looks at the figures.

use std::{path::Path, process::Command};

/// Runs the program, which must succeed.
fn measure(out: &Path, arguments: &[&str]) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_compare"));
    let status = program.arg("--out").arg(out).args(arguments).status().expect("compare starts");
    assert!(status.success(), "compare {arguments:?}: {status}");
}

/// How many rows of figures are in a file, and that its plot was drawn.
fn rows(out: &Path, name: &str) -> usize {
    let figures = std::fs::read_to_string(out.join(name).with_extension("csv")).expect("figures");
    figures.lines().count() - 1
}

#[test]
fn every_measurement_runs_and_its_figures_can_be_drawn() {
    let out = tempfile::tempdir().expect("a folder");
    let out = out.path();
    measure(out, &["--only", "one value, 3 nodes", "--patience", "1"]);
    measure(out, &["--scale", "--transactions", "10000"]);
    measure(out, &["--changes", "--transactions", "1000"]);
    measure(out, &["plot"]);
    for name in ["decisions", "changes", "handed_over"] {
        assert!(rows(out, name) > 0, "{name} has no row");
    }
    let plots = std::fs::read_dir(out).expect("the folder").filter_map(Result::ok);
    let plots = plots.filter(|file| file.path().extension().is_some_and(|extension| extension == "svg"));
    assert!(plots.count() > 0, "nothing was drawn");
}
