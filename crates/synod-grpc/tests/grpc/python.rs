//! A client in another language, made from the `.proto` files.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{ChildStdout, Command, Stdio},
};

use synod::{NodeId, TxId, commit::Outcome};
use synod_grpc::Identity;
use tempfile::TempDir;

use super::{
    soon, until,
    world::{BRANCHES, CLUSTER, MANAGERS, World},
};

/// Where `.ci/run` installs what `tests/python/requirements.txt` names, from this package.
const PYTHON: &str = "../../target/python/bin/python";

/// To make it run, from the root of the repository: `python3 -m venv target/python`, and then
/// `target/python/bin/pip install -r crates/synod-grpc/tests/python/requirements.txt`.
#[ignore = "needs packages of Python"]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_begins_transactions_and_reads_how_they_ended() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut world = World::forgetful().await;
    let folder = TempDir::new().unwrap();
    let client = world.authority.issue(&[&Identity::client(CLUSTER, NodeId(9)).to_string()]);
    for (name, content) in [
        ("authority.pem", &world.authority.certificate),
        ("client.pem", &client.certificate),
        ("client.key", &client.key),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let mut command = Command::new(root.join(PYTHON));
    command.arg(root.join("tests/python/client.py")).arg(root.join("proto"));
    command.arg(MANAGERS[0].0.to_string()).arg(CLUSTER.to_string());
    command.arg(world.address(MANAGERS[0]).to_string()).arg(folder.path());
    command.args(BRANCHES.map(|node| node.0.to_string()));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let read = |mut output: BufReader<ChildStdout>, until: &'static str| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut said = String::new();
            while output.read_line(&mut said).unwrap() > 0 && said.lines().last() != Some(until) {}
            (said, output)
        });
        soon("the client", read).await.unwrap()
    };
    let (mut said, output) = read(output, "restart").await;
    for node in MANAGERS.into_iter().chain(BRANCHES) {
        world.stop(node).await;
        world.restart(node).await;
    }
    // It may have come to its end, which the output says.
    let _ = child.stdin.take().unwrap().write_all(b"\n");
    said += &read(output, "").await.0;
    let ran = child.wait_with_output().unwrap();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    print!("{said}");

    let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split(' ').collect()).collect();
    let [possible, impossible, own, rest @ ..] = &lines[..] else { panic!("{said}") };
    let ends = [
        (possible, "possible", MANAGERS[0], Outcome::Committed, "OUTCOME_COMMITTED"),
        (impossible, "impossible", MANAGERS[0], Outcome::Aborted, "OUTCOME_ABORTED"),
        (own, "own-name", NodeId(9), Outcome::Committed, "OUTCOME_COMMITTED"),
    ];
    for (line, name, origin, outcome, called) in ends {
        let tx = TxId { origin, seq: line[2].parse().unwrap() };
        assert_eq!(line[..], [name, &origin.0.to_string(), line[2], called]);
        for branch in BRANCHES {
            until("every branch agrees", || world.ledger(branch).read(tx) == Some(outcome)).await;
        }
    }
    let expected: [&[&str]; 12] = [
        &["turned", "OUTCOME_COMMITTED"],
        &["unknown", "PHASE_UNKNOWN"],
        &["not-open", "NOT_FOUND", "REASON_UNKNOWN"],
        &["over", "FAILED_PRECONDITION", "REASON_OVER"],
        &["in-doubt", "0"],
        &["nobody", "INVALID_ARGUMENT", "REASON_PARTICIPANTS"],
        &["forged", "PERMISSION_DENIED", "REASON_UNSPECIFIED"],
        &["not-a-node", "PERMISSION_DENIED"],
        &["restart"],
        &["forgotten", "DATA_LOSS", "REASON_FORGOTTEN"],
        &["unknown", "NOT_FOUND", "REASON_UNKNOWN"],
        &["refused", "FAILED_PRECONDITION", "REASON_OVER"],
    ];
    assert_eq!(rest, expected);
}
