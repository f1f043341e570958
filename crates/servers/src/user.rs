//! Whom a server runs as.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
    process::Command,
};

use rustix::process::geteuid;

use crate::Error;

/// An ordinary user, whom a process of root's runs a server as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// The first of `names` that exists, if this process is root's; `None` if it is not, and can run a server as itself.
    pub(crate) fn to_run_as(names: &[&str]) -> Result<Option<Self>, Error> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd").map_err(Error::io("reading", "/etc/passwd"))?;
        let user = names.iter().find_map(|name| accounts.lines().find_map(|line| Self::parse(line, name)));
        user.map(Some).ok_or_else(|| Error::NoUser(names.join(", ")))
    }

    /// The user in `line`, if that is the one of `name`.
    fn parse(line: &str, name: &str) -> Option<Self> {
        let rest = line.strip_prefix(name)?.strip_prefix(':')?;
        let mut fields = rest.split(':').skip(1).map(|field| field.parse().ok());
        let (uid, gid) = (fields.next()??, fields.next()??);
        Some(Self { uid, gid })
    }

    /// Lets `command` run as this user, in no other group.
    pub(crate) fn runs(self, command: &mut Command) {
        // Setting the user drops root's supplementary groups, too.
        command.uid(self.uid).gid(self.gid);
    }

    /// Gives `path` to this user.
    pub(crate) fn owns(self, path: &Path) -> Result<(), Error> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(Error::io("giving away", path))
    }
}
