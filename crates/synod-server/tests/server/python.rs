//! The front door in Python, over a cluster of processes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, Stdio},
};

use synod_servers as servers;

use crate::support::{Machines, Process};

/// Where `.ci/run` installs what `clients/python/requirements.txt` names, from this package.
const PYTHON: &str = "../../target/python/bin/python";

pub(crate) const ACCOUNTS: &str = "\
CREATE TABLE account (name text PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0)); \
INSERT INTO account VALUES ('ann', 100); \
CREATE TABLE note (number int UNIQUE DEFERRABLE INITIALLY DEFERRED)";

pub(crate) const ORDERS: &str = "CREATE TABLE purchase (buyer text NOT NULL, price bigint NOT NULL)";

/// To make it run, from the root of the repository: `python3 -m venv target/python`, and then
/// `target/python/bin/pip install -r clients/python/requirements.txt`.
#[ignore = "needs packages of Python"]
#[test]
fn two_databases_commit_together_from_python_and_go_on_when_a_member_is_killed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
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

    let mut python = Command::new(root.join(PYTHON));
    python.arg(root.join("../../clients/python/tests/transfers.py")).arg(machines.cluster().join("client-1000"));
    python.args(&urls);
    let mut python = python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut said, mut output) = (String::new(), BufReader::new(python.stdout.take().unwrap()));
    while output.read_line(&mut said).unwrap() > 0 && !said.ends_with("kill\n") {}
    processes[0].kill();
    // It may have come to its end, which the output says.
    let _ = python.stdin.take().unwrap().write_all(b"\n");
    output.read_to_string(&mut said).unwrap();
    let ran = python.wait_with_output().unwrap();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    print!("{said}");
    let expected = "\
bought 50 2 50
rolled-back statement CheckViolation
rolled-back exception RuntimeError
rolled-back deferred Aborted aborted
unchanged 50 2 50
alone 55 2 50
swapped True
nobody-prepared aborted
again REASON_OTHER_TRANSACTION
never True
inquire REASON_UNKNOWN
members 0 1 2 3
kill
went-on 35 22 70
nobody Unreachable
";
    assert_eq!(said, expected);
    for (at, (server, _)) in databases.iter().enumerate() {
        let prepared = server.sql(tables[at].0, "SELECT count(*) FROM pg_prepared_xacts").unwrap();
        assert_eq!(prepared.trim(), "0", "something is left prepared in {}", tables[at].0);
    }
}
