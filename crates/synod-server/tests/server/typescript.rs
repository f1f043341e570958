//! The front door in TypeScript, over a cluster of processes.

use std::{path::Path, process::Command};

use synod_servers as servers;

use crate::{
    python::{ACCOUNTS, ORDERS},
    support::{Machines, Process},
};

/// To make it run: `npm ci` in `clients/typescript`, whose script `prepare` compiles it.
#[ignore = "needs packages of Node"]
#[test]
fn two_databases_commit_together_from_typescript_and_go_on_when_a_member_is_killed() {
    let tables = [("accounts", ACCOUNTS), ("orders", ORDERS)];
    let databases = tables.map(|(name, statements)| {
        let server = servers::Postgres::start(servers::Options::default()).unwrap();
        server.create_database(name).unwrap();
        server.sql(name, statements).unwrap();
        let url = server.url(name);
        (server, url)
    });
    let urls = databases.each_ref().map(|(_, url)| url.clone());
    let machines = Machines::new(&urls);
    let mut processes: Vec<Process> = [1, 2, 3, 11, 12].map(|number| machines.start(number)).into();
    processes.iter_mut().for_each(Process::ready);

    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/typescript");
    let mut node = Command::new("node");
    node.current_dir(client).args(["--test", "build/tests/input.test.js", "build/tests/transfers.test.js"]);
    node.env("SYNOD_CLIENT", machines.cluster().join("client-1000"));
    node.env("SYNOD_ACCOUNTS", &urls[0]).env("SYNOD_ORDERS", &urls[1]);
    node.env("SYNOD_MEMBER", processes[0].pid().as_raw_nonzero().to_string());
    let status = node.status().unwrap();
    assert!(status.success(), "{status}");
    for ((name, _), (server, _)) in tables.iter().zip(&databases) {
        let prepared = server.sql(name, "SELECT count(*) FROM pg_prepared_xacts").unwrap();
        assert_eq!(prepared.trim(), "0", "something is left prepared in {name}");
    }
}
