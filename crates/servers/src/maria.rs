//! MariaDB.

use std::{fs, path::Path};

use rustix::process::Signal;

use crate::{Error, Installed, Options, server::Server};

/// What holds unless [`Options::set`] says otherwise.
const SETTINGS: [(&str, &str); 1] = [("max_connections", "500")];

/// Run at every start, before clients are let in.
const USER: &str = "CREATE USER IF NOT EXISTS 'synod'@'127.0.0.1';
GRANT ALL PRIVILEGES ON *.* TO 'synod'@'127.0.0.1' WITH GRANT OPTION;
";

/// A MariaDB server. Dropped, it is killed, and its folder is removed.
#[derive(Debug)]
pub struct Maria {
    server: Server,
    settings: Vec<(String, String)>,
}

impl Maria {
    /// The server that [`start`](Self::start) would start, from the PATH or else the usual folders; `None` if none is
    /// installed.
    pub fn installed() -> Option<Installed> {
        let more = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"].map(Into::into);
        Installed::find("mariadbd", "mariadb-install-db", "mariadb", &more)
    }

    /// Starts a new server on a free loopback port and waits until it answers. Its user `synod` may do everything over TCP,
    /// without a password. It keeps what it commits: InnoDB's log is written and synced at every commit.
    ///
    /// # Errors
    ///
    /// [`Error::NotInstalled`]; and any other error, with the end of the server's log if there is one.
    pub fn start(options: Options) -> Result<Self, Error> {
        let installed = Self::installed().ok_or(Error::NotInstalled("MariaDB"))?;
        let server = Server::prepare(installed, &options, &["mysql", "nobody"], (Signal::KILL, "KILL"))?;
        let mut initialize = server.command(&server.installed.initialize);
        initialize.arg("--no-defaults").arg(format!("--datadir={}", server.data().display()));
        initialize.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
        server.run(initialize, "")?;
        let users = server.folder().join("users.sql");
        fs::write(&users, USER).map_err(Error::io("writing", users))?;
        let mut maria = Self { server, settings: options.settings };
        maria.start_again()?;
        Ok(maria)
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
        let folder = self.folder().display();
        let mut command = self.server.command(&self.server.installed.server);
        command.args(["--no-defaults", "--skip-name-resolve", "--bind-address=127.0.0.1"]);
        command.arg(format!("--port={}", self.port())).arg(format!("--datadir={folder}/data"));
        command.arg(format!("--socket={folder}/socket")).arg(format!("--pid-file={folder}/pid"));
        command.arg(format!("--init-file={folder}/users.sql"));
        let given = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in SETTINGS.into_iter().chain(given) {
            command.arg(format!("--{name}={value}"));
        }
        self.server.launch(command, |server| sql(server, "", "SELECT 1").is_ok())
    }

    /// Where clients find `database`, as `mysql://synod@127.0.0.1:<port>/<database>`.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://synod@127.0.0.1:{}/{database}", self.port())
    }

    /// The TCP port, the same one for the server's life.
    pub fn port(&self) -> u16 {
        self.server.port.number
    }

    /// The server's folder: its socket, its log in `log`, and its data in `data`.
    pub fn folder(&self) -> &Path {
        self.server.folder()
    }

    /// The server's process id; `None` after [`kill`](Self::kill) and [`stop`](Self::stop).
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Makes an empty database. There is one already, `mysql`.
    ///
    /// # Errors
    ///
    /// What the server says, for instance that it exists.
    pub fn create_database(&self, name: &str) -> Result<(), Error> {
        self.sql("mysql", &format!("CREATE DATABASE `{}`", name.replace('`', "``"))).map(drop)
    }

    /// Runs `statements`, one after the other and over one connection, and gives their rows, one a line, with tabs between
    /// the columns. It starts a client program for that: it is for preparing and for looking, not for measuring.
    ///
    /// # Errors
    ///
    /// What the client says about the first statement that failed; those after it are not run.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String, Error> {
        sql(&self.server, database, statements)
    }

    /// Kills the server as a crash would, by SIGKILL. Does nothing if it is down.
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
        self.server.stop(Signal::TERM)
    }
}

fn sql(server: &Server, database: &str, statements: &str) -> Result<String, Error> {
    let mut client = server.command(&server.installed.client);
    client.args(["--no-defaults", "--batch", "--skip-column-names", "--host=127.0.0.1", "--user=synod"]);
    client.arg(format!("--port={}", server.port.number)).arg(database);
    server.run(client, statements)
}
