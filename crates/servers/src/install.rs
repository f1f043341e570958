//! Where the programs of a server are.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// An installed server.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Which version it says it is, as in `15.18`.
    pub version: String,
    /// Its program.
    pub server: PathBuf,
    /// The program that makes a new data folder.
    pub(crate) initialize: PathBuf,
    /// The command-line client.
    pub(crate) client: PathBuf,
}

impl Installed {
    /// Looks for `server` on the PATH, then in `more`, for the others where it was found and then in the same places.
    pub(crate) fn find(server: &str, initialize: &str, client: &str, more: &[PathBuf]) -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders: Vec<_> = env::split_paths(&path).chain(more.iter().cloned()).collect();
        folders.iter().filter(|folder| folder.join(server).is_file()).find_map(|folder| {
            let beside = |name: &str| {
                let mut places = [folder].into_iter().chain(&folders).map(|place| place.join(name));
                places.find(|program| program.is_file())
            };
            let program = folder.join(server);
            let version = version(&program)?;
            Some(Self { version, server: program, initialize: beside(initialize)?, client: beside(client)? })
        })
    }
}

/// The first word of what `program --version` prints that begins with a digit.
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit())).map(Into::into)
}

/// `<parent>/<version>/bin` for every version in `parent`, the newest one first.
pub(crate) fn by_version(parent: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut versions: Vec<_> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<f64>().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    versions.into_iter().map(|(_, path)| path).collect()
}
