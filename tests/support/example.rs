//! Examples, run as their users run them.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The program of an example, built for this very test; unless `EXAMPLES_ARE_BUILT` says that it is there already.
pub(crate) fn build(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    if env::var_os("EXAMPLES_ARE_BUILT").is_none() {
        let profile = if folder.ends_with("release") { "release" } else { "test" };
        let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--example", name, "--profile", profile]);
        assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    }
    folder.join("examples").join(format!("{name}{}", env::consts::EXE_SUFFIX))
}

/// What comes of a program whose output nobody reads: the pipe is closed before it begins, as `| head` closes it soon.
pub(crate) fn unread(program: &mut Command) -> Output {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    program.stdout(writer).stderr(Stdio::piped()).output().unwrap()
}
