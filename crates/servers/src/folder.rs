//! A server's folder, and its guard.

use std::{
    env,
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{Error, user::User};

/// Reads process ids until the pipe breaks, which happens when the other end's process is gone; then ends the process
/// that it read last, if any, and removes the folder.
const GUARD: &str = r#"
trap '' HUP INT TERM
while read -r line; do server=$line; done
if [ -n "$server" ] && kill -"$2" "$server"; then
    tries=0
    while kill -0 "$server" && [ $((tries += 1)) -lt 50 ]; do sleep 0.1; done
    kill -KILL "$server"
fi
tries=0
while ! rm -rf "$1" && [ $((tries += 1)) -lt 50 ]; do sleep 0.1; done
"#;

/// A folder for a server. It is removed when it is dropped, or when this process ends, and the server is ended then.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    guard: Child,
}

impl Folder {
    /// Makes a folder in `parent` that belongs to `user`. By the signal `end` the guard ends the server.
    pub(crate) fn make(parent: Option<&Path>, user: Option<User>, end: &str) -> Result<Self, Error> {
        let parent = parent.map_or_else(env::temp_dir, Path::to_owned);
        let made = tempfile::Builder::new().prefix("synod-").tempdir_in(&parent);
        let folder = made.map_err(Error::io("making a folder in", &parent))?;
        if let Some(user) = user {
            user.owns(folder.path())?;
        }
        let mut guard = Command::new("/bin/sh");
        guard.args(["-c", GUARD, "guard"]).arg(folder.path()).arg(end).current_dir("/");
        // In a group of its own: Ctrl-C must not reach it before its work is done.
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let guard = guard.spawn().map_err(Error::io("starting", "/bin/sh"))?;
        Ok(Self { path: folder.keep(), guard })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Sets the process to end together with this one, or clears it with `None`.
    pub(crate) fn guards(&mut self, server: Option<u32>) -> Result<(), Error> {
        let line = server.map_or_else(|| "\n".into(), |pid| format!("{pid}\n"));
        let pipe = self.guard.stdin.as_mut().expect("it is taken when this is dropped");
        pipe.write_all(line.as_bytes()).map_err(Error::io("writing to the guard of", &self.path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // `wait` closes the pipe first. Nobody can be told when the guard has failed.
        _ = self.guard.wait();
    }
}
