//! The examples, as programs.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The program of an example, built for this very test; unless `EXAMPLES_ARE_BUILT` says that it is there already.
pub(crate) fn build(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    if env::var_os("EXAMPLES_ARE_BUILT").is_none() {
        let profile = if folder.ends_with("release") { "release" } else { "test" };
        let mut build = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
        build.args(["build", "--quiet", "--example", name, "--profile", profile]);
        assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    }
    folder.join("examples").join(format!("{name}{}", env::consts::EXE_SUFFIX))
}
