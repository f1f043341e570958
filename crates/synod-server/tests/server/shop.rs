//! Two databases and a cluster of processes, for the front doors in other languages.

use synod_servers as servers;

use crate::support::{Machines, Process};

const TABLES: [(&str, &str); 2] =
    [("accounts", ACCOUNTS), ("orders", "CREATE TABLE purchase (buyer text NOT NULL, price bigint NOT NULL)")];

const ACCOUNTS: &str = "\
CREATE TABLE account (name text PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0)); \
INSERT INTO account VALUES ('ann', 100); \
CREATE TABLE note (number int UNIQUE DEFERRABLE INITIALLY DEFERRED)";

/// Three members, an agent beside each database, and all of them ready.
pub(crate) struct Shop {
    servers: [servers::Postgres; 2],
    pub(crate) urls: [String; 2],
    pub(crate) machines: Machines,
    pub(crate) processes: Vec<Process>,
}

impl Shop {
    pub(crate) fn open() -> Self {
        let servers = TABLES.map(|(name, statements)| {
            let server = servers::Postgres::start(servers::Options::default()).unwrap();
            server.create_database(name).unwrap();
            server.sql(name, statements).unwrap();
            server
        });
        let urls = [0, 1].map(|at| servers[at].url(TABLES[at].0));
        let machines = Machines::new(&urls);
        let mut processes: Vec<Process> = [1, 2, 3, 11, 12].map(|number| machines.start(number)).into();
        processes.iter_mut().for_each(Process::ready);
        Self { servers, urls, machines, processes }
    }

    /// Nothing is left behind.
    pub(crate) fn assert_nothing_is_prepared(&self) {
        for (server, (name, _)) in self.servers.iter().zip(TABLES) {
            let prepared = server.sql(name, "SELECT count(*) FROM pg_prepared_xacts").unwrap();
            assert_eq!(prepared.trim(), "0", "something is left prepared in {name}");
        }
    }
}
