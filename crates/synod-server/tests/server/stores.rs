//! Stores in Python behind their agents, over a cluster of processes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use crate::{
    python::PYTHON,
    seats::{Seats, in_clients},
    support::{Machines, Process, get, until},
};

/// Entries of a ledger that is being written.
const COUNT: &str = "\
import sqlite3, sys
for about, count in sqlite3.connect(sys.argv[1]).execute('SELECT about, count(*) FROM entry GROUP BY about'):
    print(about, count)
for (state, count) in sqlite3.connect(sys.argv[1]).execute('SELECT state, count(*) FROM synod_work GROUP BY state'):
    print('state', state, count)";

fn python() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(PYTHON))
}

/// The ledger of a participant, as a process.
struct Ledger {
    file: PathBuf,
    address: String,
    folder: PathBuf,
    number: u16,
    child: Option<Child>,
}

impl Ledger {
    fn start(&mut self) {
        let mut command = python();
        command.arg(in_clients("examples/ledger.py")).arg(&self.file).arg(&self.address).arg(&self.folder);
        let child = command.arg(self.number.to_string()).stdout(Stdio::null()).spawn().unwrap();
        self.child = Some(child);
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn read(&self) -> String {
        let output = python().args(["-c", COUNT]).arg(&self.file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn count(&self, about: &str) -> usize {
        let count = self.read().lines().find_map(|line| line.strip_prefix(&format!("{about} "))?.parse().ok());
        count.unwrap_or(0)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Two ledgers, at ports of the machines that no process has.
fn ledgers(machines: &Machines) -> Vec<Ledger> {
    let ledger = |number: u16| Ledger {
        file: machines.root.path().join(format!("ledger-{number}.db")),
        address: machines.ports.address(number - 6),
        folder: machines.folder(number),
        number,
        child: None,
    };
    [11, 12].map(ledger).into()
}

/// To make it run, from the root of the repository: `python3 -m venv target/python`, and then
/// `target/python/bin/pip install -r clients/python/requirements.txt`.
#[ignore = "needs packages of Python"]
#[test]
fn stores_in_python_commit_together_or_not_at_all_while_they_and_their_agents_are_killed() {
    // Their addresses have to be known before the machines are there.
    let machines = Machines::new_with(|ports| [5, 6].map(|at| format!("store://{}", ports.address(at))).into());
    let mut ledgers = ledgers(&machines);
    let mut processes: Vec<Process> = [1, 2, 3, 11, 12].map(|number| machines.start(number)).into();
    // The agents wait for them.
    until("the first agent says that its store is away", || {
        get(&processes[3].http, "/readyz").is_some_and(|(code, said)| code == 503 && said.contains("does not answer"))
    });
    ledgers.iter_mut().for_each(Ledger::start);
    processes.iter_mut().for_each(Process::ready);

    let mut client = python();
    client.arg(in_clients("tests/stores.py")).arg(machines.cluster().join("client-1000"));
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, output) = (client.stdin.take().unwrap(), BufReader::new(client.stdout.take().unwrap()));
    let mut entries = 0;
    let mut write = |count: u32| {
        for _ in 0..count {
            entries += 1;
            writeln!(input, "entry-{entries}").unwrap();
        }
    };
    write(30);
    for round in 0..6_usize {
        write(10);
        sleep(Duration::from_millis(70 * (round as u64 + 1)));
        let at = round % 2;
        ledgers[at].kill();
        if round % 3 == 2 {
            processes[3 + at].kill();
            processes[3 + at] = machines.start(11 + at as u16);
        }
        sleep(Duration::from_millis(300));
        ledgers[at].start();
        processes[3 + at].ready();
    }
    write(20);
    drop(input);
    let lines: Vec<String> = output.lines().map(Result::unwrap).collect();
    assert!(client.wait().unwrap().success(), "{lines:?}");
    assert_eq!(lines.len(), 110, "{lines:?}");
    let committed = lines.iter().filter(|line| line.ends_with(" committed")).count();
    println!("{committed} of {} have committed", lines.len());
    assert!(committed >= 20, "{lines:?}");

    until("nothing is prepared any more", || ledgers.iter().all(|ledger| !ledger.read().contains("state prepared")));
    for line in &lines {
        let (about, outcome) = line.split_once(' ').unwrap();
        let times = usize::from(outcome == "committed");
        let counted: Vec<usize> = ledgers.iter().map(|ledger| ledger.count(about)).collect();
        assert_eq!(counted, [times; 2], "{line}");
    }
}

#[ignore = "needs packages of Python"]
#[test]
fn a_store_with_the_certificate_of_another_is_not_believed_and_one_of_another_participant_is_refused() {
    let machines = Machines::new_with(|ports| [5, 6].map(|at| format!("store://{}", ports.address(at))).into());
    let mut ledgers = ledgers(&machines);
    // The second store with its own certificate, at the address of the first.
    ledgers[1].address = ledgers[0].address.clone();
    ledgers[1].start();
    let mut agent = machines.start(11);
    until("the agent does not believe it", || {
        get(&agent.http, "/readyz").is_some_and(|(code, said)| code == 503 && said.contains("certificate"))
    });
    ledgers[1].kill();
    agent.kill();
    // It takes part as 11, and then its file is served as 12.
    ledgers[0].start();
    let (mut members, mut agent): (Vec<_>, _) =
        ([1, 2, 3].map(|number| machines.start(number)).into(), machines.start(11));
    members.iter_mut().for_each(Process::ready);
    agent.ready();
    ledgers[0].kill();
    ledgers[1].file = ledgers[0].file.clone();
    ledgers[1].address = machines.ports.address(6);
    ledgers[1].start();
    let other = machines.start(12);
    until("the agent of 12 says whose it is", || other.log().contains("this is the store of participant 11"));
    assert!(other.log().contains("the certificate of its own participant"), "{}", other.log());
}

#[ignore = "needs packages of Python"]
#[test]
fn a_seat_of_the_example_is_sold_and_paid_for_or_neither() {
    let mut seats = Seats::open();
    assert_eq!(seats.buy("1"), "seat 1 is sold and paid for\n");
    seats.settle("1", "70");
    for taken in ["1", "9"] {
        let said = seats.buy(taken);
        assert!(said.starts_with("nothing has changed: "), "{said}");
        seats.settle("1", "70");
    }
    // While the store is away, its agent cannot promise for it; nor can the application say what it wants.
    seats.kill();
    let buys = seats.python(&[&in_clients("examples/seats.py").display().to_string(), "buy", &seats.url, "2"]);
    let mut buys = { buys }.stdout(Stdio::piped()).spawn().unwrap();
    sleep(Duration::from_millis(500));
    seats.serve();
    let mut said = String::new();
    buys.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(buys.wait().unwrap().success(), "{said}");
    assert_eq!(said, "seat 2 is sold and paid for\n", "it has waited for the store");
    seats.settle("1,2", "40");
    assert_eq!(seats.buy("3"), "seat 3 is sold and paid for\n");
    seats.settle("1,2,3", "10");
}

#[ignore = "needs packages of Python"]
#[test]
fn clients_of_the_cluster_may_stage_in_a_store_and_nothing_else_and_nobody_else_may() {
    let seats = Seats::open();
    let said = seats.run(&[&in_clients("tests/strangers.py").display().to_string(), &seats.address]).done();
    print!("{said}");
    let expected = "\
client-1000 Stage STAGE_DONE
client-1000 Stage STAGE_DONE
client-1000 Stage STAGE_OTHERWISE
client-1000 Staged PERMISSION_DENIED
client-1000 Prepare PERMISSION_DENIED
client-1000 Abort PERMISSION_DENIED
client-1000 Unstage done
client-1000 Stage INVALID_ARGUMENT
node-11 Stage PERMISSION_DENIED
node-11 Unstage PERMISSION_DENIED
node-13 Stage STAGE_DONE
node-13 Unstage done
as-12 refused True
elsewhere False
nobody True
";
    assert_eq!(said, expected);
    seats.settle("", "100");
}
