//! The measurement on a disk, for a moment: that it runs and leaves its figures. Nothing here looks at the figures.

use std::process::Command;

#[test]
fn the_measurement_on_a_disk_runs() {
    let out = tempfile::tempdir().expect("a folder");
    let mut program = Command::new(env!("CARGO_BIN_EXE_durable"));
    let status = program.args(["--patience", "1", "--out"]).arg(out.path()).status().expect("durable starts");
    assert!(status.success(), "durable: {status}");
    let figures = std::fs::read_to_string(out.path().join("durable.csv")).expect("figures");
    assert!(figures.lines().count() > 1, "no row of figures: {figures}");
}
