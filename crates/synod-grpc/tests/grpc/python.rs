//! A client in another language, made from the `.proto` files.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use synod::{NodeId, TxId, commit::Outcome};
use synod_grpc::Identity;
use tempfile::TempDir;

use super::{
    epochs::{NEW, replace},
    soon, until,
    world::{BRANCHES, CLUSTER, MANAGERS, World},
};

/// Where `.ci/run` installs what `tests/python/requirements.txt` names, from this package.
const PYTHON: &str = "../../target/python/bin/python";

/// Starts a client: a program, its script and the arguments, for which `FOLDER` stands for the folder of its papers.
fn start(world: &World, [program, script]: [&str; 2], arguments: &[String]) -> (Child, TempDir) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = TempDir::new().unwrap();
    let client = world.authority.issue(&[&Identity::client(CLUSTER, NodeId(9)).to_string()]);
    for (name, content) in [
        ("authority.pem", &world.authority.certificate),
        ("client.pem", &client.certificate),
        ("client.key", &client.key),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    // One without a folder is looked for in the path.
    let program = if program.contains('/') { root.join(program) } else { program.into() };
    let mut command = Command::new(program);
    command.arg(root.join(script));
    for argument in arguments {
        match &argument[..] {
            "FOLDER" => command.arg(folder.path()),
            argument => command.arg(argument),
        };
    }
    command.args(BRANCHES.map(|node| node.0.to_string()));
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    (child.unwrap(), folder)
}

/// What the client says, up to a line that is `until`, or to its end.
async fn read(mut output: BufReader<ChildStdout>, until: impl Fn(&str) -> bool + Send + 'static) -> (String, Output) {
    let read = tokio::task::spawn_blocking(move || {
        let mut said = String::new();
        while output.read_line(&mut said).unwrap() > 0 && !said.lines().last().is_some_and(&until) {}
        (said, output)
    });
    soon("the client", read).await.unwrap()
}

type Output = BufReader<ChildStdout>;

/// To make it run, from the root of the repository: `python3 -m venv target/python`, and then
/// `target/python/bin/pip install -r crates/synod-grpc/tests/python/requirements.txt`.
#[ignore = "needs packages of Python"]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_begins_transactions_and_reads_how_they_ended() {
    let mut world = World::forgetful().await;
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto").display().to_string();
    let (first, address) = (MANAGERS[0].0.to_string(), world.address(MANAGERS[0]).to_string());
    let arguments = [proto, first, CLUSTER.to_string(), address, "FOLDER".to_owned()];
    let (mut child, _folder) = start(&world, [PYTHON, "tests/python/client.py"], &arguments);
    let (mut said, output) = read(BufReader::new(child.stdout.take().unwrap()), |line| line == "restart").await;
    for node in MANAGERS.into_iter().chain(BRANCHES) {
        world.stop(node).await;
        world.restart(node).await;
    }
    // It may have come to its end, which the output says.
    let _ = child.stdin.take().unwrap().write_all(b"\n");
    said += &read(output, |_| false).await.0;
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

/// The package in `clients/python`.
#[ignore = "needs packages of Python"]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_that_knows_the_founders_goes_on_when_all_of_them_are_replaced() {
    follows([PYTHON, "../../clients/python/tests/follows.py"]).await;
}

/// A client that was given the founders commits transactions while all of them are replaced, one after another.
pub(crate) async fn follows(client: [&str; 2]) {
    let mut world = World::by_contacts().await;
    let founders = MANAGERS.map(|node| format!("{}={}", node.0, world.address(node))).join(",");
    let arguments = ["FOLDER".to_owned(), CLUSTER.to_string(), founders];
    let (mut child, _folder) = start(&world, client, &arguments);
    let mut input = child.stdin.take().unwrap();
    let (mut said, mut output) = read(BufReader::new(child.stdout.take().unwrap()), |line| line == "ready").await;
    let mut managers = MANAGERS.to_vec();
    for (epoch, by) in [(0, None), (1, Some(MANAGERS[1])), (2, Some(MANAGERS[2])), (3, Some(NEW[0]))] {
        if let Some(by) = by {
            let (old, new) = (MANAGERS[epoch - 1], NEW[epoch - 1]);
            replace(&mut world, old, new, by).await;
            world.stop(old).await;
            managers.retain(|node| *node != old);
            managers.push(new);
        }
        // It may have learned of the epoch with the last answer of the first transaction.
        for _ in 0..2 {
            let _ = input.write_all(b"\n");
            let line;
            (line, output) = read(output, |line| line.starts_with("committed ")).await;
            said += &line;
        }
        let expected: Vec<u64> = [epoch as u64].into_iter().chain(managers.iter().map(|node| node.0)).collect();
        let last: Vec<u64> =
            said.lines().last().unwrap().split(' ').skip(1).filter_map(|number| number.parse().ok()).collect();
        let Some((seq, known)) = last.split_first() else { panic!("{said}{:?}", child.wait_with_output()) };
        assert_eq!(known, expected, "the epoch and the managers");
        let tx = TxId { origin: NodeId(9), seq: *seq };
        for branch in BRANCHES {
            until("it commits", || world.ledger(branch).read(tx) == Some(Outcome::Committed)).await;
        }
    }
    drop(input);
    let ran = child.wait_with_output().unwrap();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    print!("{said}");
}
