//! `synod dev` with an account in PostgreSQL and the store of `clients/python/examples/seats.py`.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use synod_servers as servers;

use crate::{
    python::PYTHON,
    support::{Ports, Process, Said, until},
};

/// The seats that are sold; and how many are held, promised, or staged.
const READ: &str = "\
import sqlite3
db = sqlite3.connect('seats.db', timeout=30)
one = lambda query: db.execute(query).fetchone()[0]
print(one('SELECT coalesce(group_concat(number), ?) FROM seat WHERE is_sold'.replace('?', chr(39) * 2)), end='; ')
print(one('SELECT count(*) FROM seat WHERE held_by IS NOT NULL AND NOT is_sold'), end=' ')
print(one(\"SELECT count(*) FROM synod_work WHERE state = 'prepared'\"), one('SELECT count(*) FROM synod_staged'))";

/// What runs.
pub(crate) struct Seats {
    server: servers::Postgres,
    pub(crate) url: String,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) address: String,
    dev: Process,
    store: Option<Child>,
}

impl Seats {
    pub(crate) fn open() -> Self {
        let server = servers::Postgres::start(servers::Options::default()).unwrap();
        server.create_database("accounts").unwrap();
        let account = "CREATE TABLE account (name text PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0)); \
                       INSERT INTO account VALUES ('ann', 100)";
        server.sql("accounts", account).unwrap();
        let (url, folder, ports) = (server.url("accounts"), tempfile::tempdir().unwrap(), Ports::new());
        let (port, address) = (ports.at(0).to_string(), ports.address(20));
        let databases = [format!("11={url}"), format!("13=store://{address}")];
        let args = ["dev", "--port", &port, "--database", &databases[0], "--database", &databases[1]];
        let mut dev = Process::start(folder.path(), &args, &ports.address(0), &[]);
        // Its certificate is made by then.
        dev.lines_until("client.close()");
        let mut seats = Self { server, url, folder, address, dev, store: None };
        seats.serve();
        seats.dev.ready();
        seats
    }

    pub(crate) fn serve(&mut self) {
        let mut serve = self.python(&[&in_clients("examples/seats.py").display().to_string(), "serve"]);
        self.store = Some(serve.stdout(Stdio::null()).spawn().unwrap());
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut store) = self.store.take() {
            store.kill().unwrap();
            store.wait().unwrap();
        }
    }

    /// A program in Python, where the seats are.
    pub(crate) fn python(&self, args: &[&str]) -> Command {
        let mut python = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(PYTHON));
        python.args(args).current_dir(self.folder.path()).env("SEATS", &self.address);
        python.env("PYTHONPATH", in_clients("src"));
        python
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        Said::of(self.python(args).output().unwrap())
    }

    /// What `seats.py buy` says.
    pub(crate) fn buy(&self, seat: &str) -> String {
        self.run(&[&in_clients("examples/seats.py").display().to_string(), "buy", &self.url, seat]).done()
    }

    /// Waits until these seats are sold, so much is left, and nothing is held any more, nor staged.
    #[track_caller]
    pub(crate) fn settle(&self, sold: &str, balance: &str) {
        until(&format!("{sold} are sold, and {balance} are left"), || {
            let left = self.server.sql("accounts", "SELECT balance FROM account").unwrap();
            let prepared = self.server.sql("accounts", "SELECT count(*) FROM pg_prepared_xacts").unwrap();
            let read = self.run(&["-c", READ]).done();
            (left.trim(), prepared.trim(), read.trim()) == (balance, "0", &format!("{sold}; 0 0 0"))
        });
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        if let Some(store) = &mut self.store {
            let _ = store.kill();
            let _ = store.wait();
        }
    }
}

pub(crate) fn in_clients(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/python").join(path)
}
