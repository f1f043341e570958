//! The front door in Python, over a cluster of processes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, Stdio},
};

use synod_servers as servers;

use crate::{
    shop::Shop,
    support::{Ports, Process, until},
};

/// Where `.ci/run` installs what `clients/python/requirements.txt` names, from this package.
pub(crate) const PYTHON: &str = "../../target/python/bin/python";

/// To make it run, from the root of the repository: `python3 -m venv target/python`, and then
/// `target/python/bin/pip install -r clients/python/requirements.txt`.
#[ignore = "needs packages of Python"]
#[test]
fn two_databases_commit_together_from_python_and_go_on_when_a_member_is_killed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut shop = Shop::open();
    let mut python = Command::new(root.join(PYTHON));
    python.arg(root.join("../../clients/python/tests/transfers.py")).arg(shop.machines.cluster().join("client-1000"));
    python.args(&shop.urls);
    let mut python = python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut said, mut output) = (String::new(), BufReader::new(python.stdout.take().unwrap()));
    while output.read_line(&mut said).unwrap() > 0 && !said.ends_with("kill\n") {}
    shop.processes[0].kill();
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
many 1 1 aborted
standby OutcomeUnknown
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
    shop.assert_nothing_is_prepared();
}

/// What `synod dev` prints is what runs: as it is, but for the statement.
#[ignore = "needs packages of Python"]
#[test]
fn what_dev_prints_for_python_runs_as_it_is_printed() {
    let server = servers::Postgres::start(servers::Options::default()).unwrap();
    let urls = ["accounts", "orders"].map(|name| {
        server.create_database(name).unwrap();
        server.sql(name, "CREATE TABLE pasted (number int)").unwrap();
        server.url(name)
    });
    let (folder, ports) = (tempfile::tempdir().unwrap(), Ports::new());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (port, store) = (ports.at(0).to_string(), ports.address(20));
    let databases = [format!("11={}", urls[0]), format!("12={}", urls[1]), format!("13=store://{store}")];
    let mut args = vec!["dev", "--port", &port];
    databases.iter().for_each(|database| args.extend(["--database", database]));
    let mut dev = Process::start(folder.path(), &args, &ports.address(0), &[]);
    let greeting = dev.lines_until("client.close()");
    let mut ledger = Command::new(root.join(PYTHON));
    ledger.arg(root.join("../../clients/python/examples/ledger.py")).args(["ledger.db", &store, "synod-data", "13"]);
    let mut ledger = ledger.current_dir(folder.path()).stdout(Stdio::null()).spawn().unwrap();
    dev.ready();

    let (_, printed) = greeting.split_once("In Python, with the package in clients/python:\n").unwrap();
    let script: String = printed.lines().flat_map(|line| [line.strip_prefix("  ").unwrap_or(line), "\n"]).collect();
    assert_eq!(script.matches("\"SELECT 1\"").count(), 2, "{greeting}");
    let run = |script: &str| {
        let mut python = Command::new(root.join(PYTHON));
        python.args(["-c", script]).current_dir(folder.path()).env("PYTHONPATH", root.join("../../clients/python/src"));
        let output = python.output().unwrap();
        assert!(output.status.success(), "{script}{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = run(&script);
    assert!(said.starts_with("Members(epoch=0, "), "{said}");
    run(&script.replace("SELECT 1", "INSERT INTO pasted VALUES (1)"));
    for name in ["accounts", "orders"] {
        assert_eq!(server.sql(name, "SELECT count(*) FROM pasted").unwrap().trim(), "1");
    }
    until("that the agent has the store commit", || {
        let shown = run("import sqlite3; print(*sqlite3.connect('ledger.db').execute('SELECT about FROM entry'))");
        shown == "('what it is about',) ('what it is about',)\n"
    });
    ledger.kill().unwrap();
    ledger.wait().unwrap();
}
