//! A cluster in trouble: what is prepared in a database waits for an agent and for members that are gone.

use std::{fs, path::Path};

use synod::NodeId;
use synod_client::Synod;
use synod_grpc::{Client, Options, Security, Tls};
use synod_postgres::Postgres;
use synod_servers as servers;
use tokio::runtime::Runtime;

use crate::support::{Machines, Process, get, until};

/// A database that is called so, by somebody who means harm; and the same in a URL.
const HOSTILE: &str = "<img src=x onerror=alert(1)>&\"'";
const ENCODED: &str = "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E%26%22%27";

/// The first process is member 1, with the agent of the first database.
pub(crate) struct Stage {
    pub(crate) machines: Machines,
    servers: [servers::Postgres; 2],
    processes: Vec<Process>,
    runtime: Runtime,
}

impl Stage {
    /// Three members and two databases; nothing, where no PostgreSQL is installed.
    pub(crate) fn new() -> Option<Self> {
        if servers::Postgres::installed().is_none() {
            eprintln!("left out: no PostgreSQL is installed");
            return None;
        }
        let servers = [HOSTILE, "orders"].map(|name| {
            let server = servers::Postgres::start(servers::Options::default()).unwrap();
            server.create_database(name).unwrap();
            server
        });
        let urls = [servers[0].url(ENCODED), servers[1].url("orders")];
        for (server, url) in servers.iter().zip([ENCODED, "orders"]) {
            server.sql(url, "CREATE TABLE account (name text PRIMARY KEY, balance bigint); INSERT INTO account VALUES ('ann', 9)").unwrap();
        }
        let machines = Machines::new(&urls);
        into_one(&machines.folder(11), &machines.folder(1));
        let mut processes: Vec<Process> = [1, 2, 3, 12].map(|number| machines.start(number)).into();
        processes.iter_mut().for_each(Process::ready);
        Some(Self { machines, servers, processes, runtime: Runtime::new().unwrap() })
    }

    /// Leaves a transaction prepared in the first database, with the second one's agent gone, and all members but one.
    pub(crate) fn leave_in_doubt(&mut self) -> String {
        let machines = &self.machines;
        let file = |name: &str| machines.cluster().join("client-1000").join(name);
        let tls = Tls::from_files(file("authority.pem"), file("client-1000.pem"), file("client-1000.key")).unwrap();
        let (cluster, security) = (tls.identity().cluster, Security::Tls(tls));
        let urls = [self.servers[0].url(ENCODED), self.servers[1].url("orders")];
        let (synod, databases) = self.runtime.block_on(async {
            let address = machines.ports.address(1);
            let client = Client::new(cluster, NodeId(1), &address, &security, &Options::default()).unwrap();
            let first = Postgres::connect(&urls[0], NodeId(11)).await.unwrap();
            (Synod::new(client), [first, Postgres::connect(&urls[1], NodeId(12)).await.unwrap()])
        });
        self.processes[1..].iter_mut().for_each(Process::kill);
        // Its answer never comes as long as this is so.
        self.runtime.spawn(async move {
            let mut tx = synod.transaction();
            for database in &databases {
                tx.on(database).await.unwrap().execute("UPDATE account SET balance = balance + 1", &[]).await.unwrap();
            }
            let _ = tx.commit().await;
        });
        let http = self.machines.http(1);
        let mut name = String::new();
        until("that it is in doubt", || {
            let (_, text) = get(&http, "/api/in-doubt").unwrap();
            let listed: serde_json::Value = serde_json::from_str(&text).unwrap();
            name = listed["transactions"][0]["tx"].as_str().unwrap_or_default().to_owned();
            !name.is_empty()
        });
        name
    }

    /// Prepares something in the first database that does not belong to the cluster.
    #[allow(dead_code, reason = "not every test does")]
    pub(crate) fn prepare_foreign(&self, name: &str) {
        let name = name.replace('\'', "''");
        let statements = format!("BEGIN; CREATE TABLE foreign_work (n int); PREPARE TRANSACTION '{name}'");
        self.servers[0].sql(ENCODED, &statements).unwrap();
    }

    /// Starts again whatever is gone.
    pub(crate) fn bring_all_back(&mut self) {
        for (process, number) in self.processes[1..].iter_mut().zip([2, 3, 12]) {
            *process = self.machines.start(number);
        }
        self.processes.iter_mut().for_each(Process::ready);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the first process says: {}", self.processes[0].log());
        }
    }
}

/// Has the process in `folder` run the nodes of another one, too.
fn into_one(other: &Path, folder: &Path) {
    let read = |folder: &Path| fs::read_to_string(folder.join("node.toml")).unwrap();
    let (theirs, own) = (read(other), read(folder));
    let node = theirs.split_once("[[node]]").unwrap().1.split_once("[http]").unwrap().0.to_owned();
    fs::write(folder.join("node.toml"), own.replace("[http]", &format!("[[node]]{node}[http]"))).unwrap();
    for entry in fs::read_dir(other).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_owned();
        if name.to_string_lossy().starts_with("node-") {
            fs::copy(&path, folder.join(name)).unwrap();
        }
    }
}
