//! PostgreSQL.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::process::Signal;

use crate::{Error, Installed, Options, install::by_version, server::Server};

/// What holds unless [`Options::set`] says otherwise. What is written to shared memory goes to files in the data folder,
/// which leave with it.
const SETTINGS: [(&str, &str); 3] =
    [("max_prepared_transactions", "500"), ("max_connections", "300"), ("dynamic_shared_memory_type", "mmap")];

/// A PostgreSQL server. Dropped, it is ended at once, and its folder is removed.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    settings: Vec<(String, String)>,
}

impl Postgres {
    /// The server that [`start`](Self::start) would start, from the PATH or else the newest one of
    /// `/usr/lib/postgresql`; `None` if none is installed.
    pub fn installed() -> Option<Installed> {
        Installed::find("postgres", "initdb", "psql", &by_version("/usr/lib/postgresql"))
    }

    /// Starts a new server on a free loopback port and waits until it answers. Its user `synod` may do everything, without
    /// a password. It keeps what it commits, for `fsync` is on; 500 transactions can be prepared at once, unless `options`
    /// say otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::NotInstalled`]; and any other error, with the end of the server's log if there is one.
    pub fn start(options: Options) -> Result<Self, Error> {
        let installed = Self::installed().ok_or(Error::NotInstalled("PostgreSQL"))?;
        let users = ["postgres", "mysql", "nobody"];
        // At SIGQUIT it ends at once, but removes its shared memory.
        let server = Server::prepare(installed, &options, &users, (Signal::QUIT, "QUIT"))?;
        let mut initialize = server.command(&server.installed.initialize);
        initialize.arg("-D").arg(server.data());
        initialize.args(["--auth=trust", "--username=synod", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        server.run(initialize, "")?;
        let mut postgres = Self { server, settings: options.settings };
        postgres.start_again()?;
        Ok(postgres)
    }

    /// Starts the server again, on the same folder and port, and waits until it answers. Does nothing if it runs.
    ///
    /// # Errors
    ///
    /// If it does not come up: the end of its log.
    pub fn start_again(&mut self) -> Result<(), Error> {
        if self.server.is_up()? {
            return Ok(());
        }
        let mut command = self.server.command(&self.server.installed.server);
        command.arg("-D").arg(self.server.data()).arg("-p").arg(self.port().to_string());
        command.arg("-k").arg(self.folder()).args(["-c", "listen_addresses=127.0.0.1"]);
        let given = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in SETTINGS.into_iter().chain(given) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        self.server.launch(command, |server| is_ready(&server.data(), server.pid()))
    }

    /// Where clients find `database`, as `postgresql://synod@127.0.0.1:<port>/<database>`.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://synod@127.0.0.1:{}/{database}", self.port())
    }

    /// The TCP port, the same one for the server's life.
    pub fn port(&self) -> u16 {
        self.server.port.number
    }

    /// The server's folder: its socket, its log in `log`, and its data in `data`.
    pub fn folder(&self) -> &Path {
        self.server.folder()
    }

    /// The postmaster's process id; `None` after [`kill`](Self::kill) and [`stop`](Self::stop).
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Makes an empty database. There is one already, `postgres`.
    ///
    /// # Errors
    ///
    /// What the server says, for instance that it exists.
    pub fn create_database(&self, name: &str) -> Result<(), Error> {
        self.sql("postgres", &format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""))).map(drop)
    }

    /// Runs `statements`, one after the other and over one connection, and gives their rows, one a line, with tabs between
    /// the columns. It starts a client program for that: it is for preparing and for looking, not for measuring.
    ///
    /// # Errors
    ///
    /// What the client says about the first statement that failed; those after it are not run.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String, Error> {
        let mut client = self.server.command(&self.server.installed.client);
        client.args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--field-separator=\t"]);
        client.args(["--set=ON_ERROR_STOP=1", "--dbname", &self.url(database)]);
        self.server.run(client, statements)
    }

    /// Kills the server as a crash would: the postmaster and all its children, by SIGKILL. Does nothing if it is down.
    ///
    /// # Errors
    ///
    /// If the server's guard cannot be told.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.server.kill()
    }

    /// Stops the server in order, without waiting for clients. Does nothing if it is down.
    ///
    /// # Errors
    ///
    /// If it does not end in a minute: the end of its log.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.server.stop(Signal::INT)
    }
}

/// Whether the postmaster says that it takes connections: the first line of its file is its process, the last one how it is.
fn is_ready(data: &Path, pid: Option<u32>) -> bool {
    let file: PathBuf = data.join("postmaster.pid");
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut lines = text.lines();
    lines.next().and_then(|line| line.trim().parse().ok()) == pid
        && lines.nth(6).is_some_and(|line| line.trim() == "ready")
}
