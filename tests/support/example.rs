//! Examples, run as their users run them.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The program of an example, built for this very test.
pub(crate) fn build(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let profile = if folder.ends_with("release") { "release" } else { "test" };
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--example", name, "--profile", profile]);
    assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    folder.join("examples").join(format!("{name}{}", env::consts::EXE_SUFFIX))
}
