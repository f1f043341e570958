//! What all servers have in common.

use std::{
    env, fs,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;

use crate::{Error, Installed, Options, folder::Folder, port::Port, process, user::User};

/// How long to wait for a server. It recovers from its log, so a start may take a while on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server in a folder of its own, up or down.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) installed: Installed,
    pub(crate) port: Port,
    user: Option<User>,
    child: Option<Child>,
    /// Ends the server at once, and lets it tidy up where it can.
    drop_by: Signal,
    // The last one: its guard must not begin before all else is over.
    folder: Folder,
}

impl Server {
    /// Makes the folder and takes the port. `drop_by`, and its name, is the signal by which the server is ended when
    /// nobody wants it any more.
    pub(crate) fn prepare(
        installed: Installed,
        options: &Options,
        users: &[&str],
        drop_by: (Signal, &str),
    ) -> Result<Self, Error> {
        let user = User::to_run_as(users)?;
        let folder = Folder::make(options.parent.as_deref(), user, drop_by.1)?;
        Ok(Self { installed, port: Port::free()?, user, child: None, drop_by: drop_by.0, folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder().join("log")
    }

    /// A command that runs as the server's user, in its folder, with nothing of this process's environment but the PATH.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder()).stdin(Stdio::null()).env_clear().env("LC_ALL", "C");
        // MariaDB removes the temporary tables of other servers when it starts, if they are in one folder.
        command.env("TMPDIR", self.folder());
        if let Some(path) = env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Some(user) = self.user {
            user.runs(&mut command);
        }
        command
    }

    /// Runs `command` with `input` until it ends, and gives what it printed, without the last line's end.
    pub(crate) fn run(&self, mut command: Command, input: &str) -> Result<String, Error> {
        let program = PathBuf::from(command.get_program());
        let failed = |doing| Error::io(doing, &program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed("starting"))?;
        // One that fails early does not read all of it; its status says so.
        _ = child.stdin.take().map(|mut pipe| pipe.write_all(input.as_bytes()));
        let output = child.wait_with_output().map_err(failed("waiting for"))?;
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        if output.status.success() {
            return Ok(text);
        }
        let output_text = format!("{text}\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
        Err(Error::Failed { program, status: output.status.to_string(), output: output_text })
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether the server's process runs. Notices when it has ended by itself.
    pub(crate) fn is_up(&mut self) -> Result<bool, Error> {
        let ended = self.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
        if ended {
            self.child = None;
            self.folder.guards(None)?;
        }
        Ok(self.child.is_some())
    }

    /// Starts the server by `command`, and waits until it `answers`.
    pub(crate) fn launch(&mut self, mut command: Command, answers: impl Fn(&Self) -> bool) -> Result<(), Error> {
        let log = File::options().create(true).append(true).open(self.log());
        let log = log.map_err(Error::io("opening", self.log()))?;
        let copy = log.try_clone().map_err(Error::io("opening", self.log()))?;
        let child = command.stdout(copy).stderr(log).spawn();
        let child = self.child.insert(child.map_err(Error::io("starting", &self.installed.server))?);
        self.folder.guards(Some(child.id()))?;
        let up = process::wait_for(PATIENCE, || match self.is_up() {
            Ok(true) => answers(self).then_some(Ok(true)),
            other => Some(other),
        });
        match up {
            Some(Ok(true)) => Ok(()),
            Some(Ok(false)) => {
                let (program, output) = (self.installed.server.clone(), self.end_of_log());
                Err(Error::Failed { program, status: "ended as it started".into(), output })
            }
            Some(Err(error)) => Err(error),
            None => Err(self.too_slow("answer")),
        }
    }

    /// Ends the server by `signal` and waits until it has ended. Does nothing if it is down.
    pub(crate) fn stop(&mut self, signal: Signal) -> Result<(), Error> {
        let Some(child) = &mut self.child else { return Ok(()) };
        process::signal(child, signal);
        if process::end_of(child, PATIENCE).is_none() {
            return Err(self.too_slow("end"));
        }
        self.child = None;
        self.folder.guards(None)
    }

    /// Kills the server and its children. Does nothing if it is down.
    pub(crate) fn kill(&mut self) -> Result<(), Error> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        process::kill(&mut child);
        self.folder.guards(None)
    }

    fn too_slow(&self, what: &'static str) -> Error {
        Error::TooSlow { program: self.installed.server.clone(), what, patience: PATIENCE, log: self.end_of_log() }
    }

    fn end_of_log(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            process::signal(child, self.drop_by);
            if process::end_of(child, Duration::from_secs(5)).is_none() {
                process::kill(child);
            }
            _ = self.folder.guards(None);
        }
    }
}
