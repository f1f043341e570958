//! The cluster example, run as its users run it: processes, certificates, signals.
//!
//! What it says about itself is not believed: its databases are read here, too.

#![cfg(unix)]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "runs processes against the clock")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use fjall::{Database, KeyspaceCreateOptions};
use rustix::process::{Pid, Signal, kill_process};
use synod::{
    NodeId, TxId,
    commit::{ClusterId, Outcome, Status, Transaction},
};
use synod_grpc::{CallError, Client, Identity, Options, Security, Tls, tonic::Code};
use tempfile::TempDir;

/// Whatever must happen happens within this time, on a slow machine too.
const BOUND: Duration = Duration::from_secs(120);

/// The program, built for this very test; unless `EXAMPLES_ARE_BUILT` says that it is there already.
static CLUSTER: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    if env::var_os("EXAMPLES_ARE_BUILT").is_none() {
        build(folder);
    }
    folder.join("examples").join("cluster")
});

fn build(folder: &Path) {
    let profile = if folder.ends_with("release") { "release" } else { "test" };
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--example", "cluster", "--profile", profile]);
    // What cargo tells a test of its package would have `ring` built again, and all that is above it.
    for (name, _) in env::vars_os() {
        if ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
            build.env_remove(name);
        }
    }
    assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
}

/// One cluster at a time: eight processes are enough for most machines.
static STAGE: Mutex<()> = Mutex::new(());

struct Scene {
    folder: TempDir,
    _stage: MutexGuard<'static, ()>,
}

impl Scene {
    fn new() -> Self {
        let stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
        let scene = Self { folder: tempfile::tempdir().unwrap(), _stage: stage };
        let transfers = "id,purpose,legs\n1,gift,1 -10.00; 2 +10.00\n2,gift,3 -2000.00; 4 +2000.00\n\
                         3,bill,5 -4.00; 6 -5.00; 7 +9.00\n4,loan,8 -1.00; 12 +1.00\n";
        fs::write(scene.folder.path().join("transfers.csv"), transfers).unwrap();
        scene
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The managers that have databases.
    fn managers(&self) -> BTreeSet<String> {
        let databases = fs::read_dir(self.data().join("databases")).unwrap();
        let names = databases.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("tm-")).collect()
    }

    fn cluster(&self, what: &[&str]) -> Command {
        let mut cluster = Command::new(&*CLUSTER);
        cluster.args(what).arg("--data").arg(self.data());
        cluster
    }

    fn up(&self) -> Command {
        let mut up = self.cluster(&["up"]);
        up.arg("--transfers").arg(self.folder.path().join("transfers.csv"));
        up
    }

    fn ask(&self, what: &[&str]) -> Output {
        self.cluster(what).output().unwrap()
    }

    /// Starts a cluster that stays up, and waits until all of its nodes answer.
    fn stay(&self) -> Running {
        let mut up = self.up();
        let running = Running(up.arg("--stay").stdout(Stdio::null()).spawn().unwrap());
        until(|| text(&self.ask(&["status"]).stdout).matches("┆ up ").count() == 7);
        running
    }

    /// Reads the books: whatever left one account came to another, and no account is overdrawn. Returns the transfers
    /// that were applied.
    fn applied(&self) -> Vec<u64> {
        let (mut money, mut applied) = (0, BTreeMap::<u64, i64>::new());
        for branch in 0..4 {
            let path = self.data().join("databases").join(format!("rm-{branch}"));
            let database = Database::builder(path).open().unwrap();
            let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default).unwrap();
            let sum = |bytes: &[u8]| i64::from_be_bytes(bytes.try_into().unwrap());
            for entry in keyspace("accounts").iter() {
                let (_, value) = entry.into_inner().unwrap();
                let (opened, balance) = (sum(&value[..8]), sum(&value[8..]));
                assert!(balance >= 0, "an account is overdrawn");
                money += balance - opened;
            }
            for entry in keyspace("applied").iter() {
                let (id, legs) = entry.into_inner().unwrap();
                let id = u64::from_be_bytes((*id).try_into().unwrap());
                *applied.entry(id).or_default() += legs.chunks(12).map(|leg| sum(&leg[4..])).sum::<i64>();
            }
        }
        assert_eq!(money, 0, "money came or went");
        assert!(applied.values().all(|sum| *sum == 0), "a transfer was applied in part");
        applied.into_keys().collect()
    }
}

/// A cluster that is up for as long as a test runs, whatever becomes of the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What was printed, which must fit into 80 columns.
fn fitting(bytes: &[u8]) -> String {
    let text = text(bytes);
    let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    text
}

fn until(mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < BOUND, "it takes for ever");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The number before `word` in a line of `text`.
fn number(text: &str, word: &str) -> u64 {
    let words: Vec<&str> = text.split_whitespace().map(|word| word.trim_end_matches(',')).collect();
    let place = words.iter().rposition(|each| *each == word).unwrap_or_else(|| panic!("no {word} in {text}"));
    words[place - 1].replace(',', "").parse().unwrap()
}

#[test]
fn money_is_conserved_while_processes_are_killed_and_stopped() {
    let scene = Scene::new();
    let output = scene.ask(&["chaos", "--minutes", "0.25", "--quiet", "1", "--in-flight", "16"]);
    let said = fitting(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(said.contains("money is conserved, and nothing is open or in doubt anywhere"), "{said}");
    assert!(number(&said, "kills") >= 4 && number(&said, "stops") >= 2, "{said}");
    assert!(said.contains("transfers/s: before ") && said.contains("the longest wait of any transfer: "), "{said}");
    assert!(!scene.applied().is_empty());
}

#[test]
fn money_is_conserved_while_members_are_replaced_at_random_among_processes_that_are_killed_and_stopped() {
    let scene = Scene::new();
    let output = scene.ask(&["chaos", "--changes", "--minutes", "0.25", "--quiet", "1", "--in-flight", "16"]);
    let said = fitting(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(said.contains("money is conserved, and nothing is open or in doubt anywhere"), "{said}");
    assert!(number(&said, "kills") >= 4 && number(&said, "changes") >= 1, "{said}");
    for part in ["because of changes: ", "came back: ", "the longest pause in which no transfer committed: "] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!scene.applied().is_empty());
    // Whoever is no member any more is gone, with its disk.
    let members: BTreeSet<String> =
        serde_json::from_slice(&fs::read(scene.data().join("members.json")).unwrap()).unwrap();
    assert_eq!(scene.managers(), members);
    let again = scene.ask(&["chaos", "--changes"]);
    assert!(!again.status.success() && fitting(&again.stderr).contains("--data"), "{again:?}");
}

#[test]
fn all_founders_are_replaced_and_a_branch_is_written_off_while_money_moves() {
    let scene = Scene::new();
    // How long a pause is depends on what else the machine does.
    let output = scene.ask(&["replace", "--quiet", "1", "--pause", "60", "--in-flight", "16"]);
    let said = fitting(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(said.contains("money is conserved, and nothing is open or in doubt anywhere"), "{said}");
    for line in
        ["tm-2 was killed and wiped, and tm-3 was asked for tm-5", "rm-3 was killed, and tm-3 was asked to write"]
    {
        assert!(said.contains(line), "{said}");
    }
    assert!(said.contains("the longest pause in which no transfer committed: "), "{said}");
    assert!(scene.managers().into_iter().eq(["tm-3", "tm-4", "tm-5"]), "{:?}", scene.managers());
    let again = scene.ask(&["replace"]);
    assert!(!again.status.success() && fitting(&again.stderr).contains("--data"), "{again:?}");
}

#[test]
fn what_a_stopped_process_costs_is_measured() {
    let scene = Scene::new();
    let stop = ["stop", "--who", "rm-0", "--seconds", "1", "--quiet", "2", "--load", "20", "--in-flight", "16"];
    let output = scene.ask(&stop);
    let said = fitting(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(number(&said, "stops") == 1 && said.contains("begun in the first second: "), "{said}");
    assert!(said.contains("committed/s: before "), "{said}");
}

#[test]
fn an_operator_can_ask_a_running_cluster_until_it_is_interrupted() {
    let scene = Scene::new();
    let mut up = scene.stay();
    // The third transfer is done when it is over everywhere.
    until(|| text(&scene.ask(&["status", "n0#3"]).stdout).matches("it is over everywhere").count() >= 3);
    let in_doubt = scene.ask(&["in-doubt"]);
    assert!(in_doubt.status.success() && fitting(&in_doubt.stdout).ends_with("0 in doubt\n"), "{in_doubt:?}");
    let (unread, output) = io::pipe().unwrap();
    drop(unread);
    let unread = scene.cluster(&["status"]).stdout(output).stderr(Stdio::piped()).output().unwrap();
    assert!(unread.status.success() && unread.stderr.is_empty(), "as under `| head`: {unread:?}");
    let over = scene.ask(&["inquire", "n0#3"]);
    assert!(!over.status.success(), "{over:?}");
    assert!(text(&over.stderr).contains("n0#3 is open nowhere"), "{over:?}");
    let nonsense = scene.ask(&["status", "three"]);
    assert!(fitting(&nonsense.stderr).contains("names are like n0#17"), "{nonsense:?}");
    fitting(&scene.ask(&["status"]).stdout);

    kill_process(Pid::from_child(&up.0), Signal::INT).unwrap();
    assert!(up.0.wait().unwrap().success());
    // The second one is more than there is on the account.
    assert_eq!(scene.applied(), [1, 3, 4]);
}

#[test]
fn without_a_file_the_shipped_transfers_are_made_whatever_the_folder() {
    let scene = Scene::new();
    let output = scene.cluster(&["up"]).current_dir(&scene.folder).env_remove("CARGO_MANIFEST_DIR").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(scene.applied().len() > 9_000);
}

#[test]
fn a_run_goes_on_from_what_an_earlier_one_has_left() {
    let scene = Scene::new();
    for again in [false, true] {
        let output = scene.up().output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let row = fitting(&output.stdout).lines().find(|line| line.contains("done in this run")).map(str::to_owned);
        assert_eq!(row.unwrap().contains(" 0 "), again);
        assert_eq!(scene.applied(), [1, 3, 4]);
    }
}

#[test]
fn without_a_cluster_there_is_nobody_to_ask() {
    let scene = Scene::new();
    let nobody = scene.ask(&["status"]);
    assert!(!nobody.status.success());
    let words = text(&nobody.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("is there a cluster?"), "{nobody:?}");
}

/// Processes whose command line names `folder`.
#[cfg(target_os = "linux")]
fn processes(folder: &Path) -> Vec<Pid> {
    let folder = folder.as_os_str().as_encoded_bytes();
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let names = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(folder.len()).any(|window| window == folder)
    };
    pids.filter(names).filter_map(Pid::from_raw).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn processes_end_when_the_one_that_started_them_is_killed() {
    let scene = Scene::new();
    let up = scene.stay();
    let parent = Pid::from_child(&up.0);
    let children = || processes(&scene.data()).into_iter().filter(|pid| *pid != parent).collect::<Vec<Pid>>();
    // One that has just been forked looks like its parent for a moment.
    until(|| children().len() == 7);
    let children = children();
    // One that stands still is woken for it.
    kill_process(children[0], Signal::STOP).unwrap();
    drop(up);
    until(|| processes(&scene.data()).is_empty());

    let output = scene.up().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(scene.applied(), [1, 3, 4]);
}

const ATTEMPT: Duration = Duration::from_secs(1);

/// Every call ends by this time: a machine that is busy has some more.
const SOON: Duration = Duration::from_secs(10);

/// A client of the managers with these numbers, in this order.
#[cfg(target_os = "linux")]
fn client(data: &Path, managers: &[u64]) -> Client {
    let cluster = ClusterId(*b"the bank's seven");
    let me = Identity::client(cluster, NodeId(1 << 32));
    let paper = |name: String| fs::read(data.join("papers").join(name)).unwrap();
    let tls = Tls::from_pem(&paper("authority.pem".into()), &paper(format!("{me}.pem")), &paper(format!("{me}.key")));
    let security = Security::Tls(tls.unwrap());
    let addresses: BTreeMap<String, String> =
        serde_json::from_slice(&fs::read(data.join("addresses.json")).unwrap()).unwrap();
    let way = |manager: u64| (NodeId(manager), &addresses[&format!("tm-{}", manager - 1)]);
    let options = Options::default().with_attempt(ATTEMPT).with_call(ATTEMPT * 5);
    let (node, address) = way(managers[0]);
    let client = Client::new(cluster, node, address, &security, &options).unwrap();
    managers[1..].iter().fold(client, |client, manager| client.with_node(way(*manager).0, way(*manager).1).unwrap())
}

/// The answer, which must come soon.
#[cfg(target_os = "linux")]
async fn answer<T>(call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    tokio::time::timeout(SOON, call).await.expect("every call has a deadline")
}

/// Makes every call where nobody answers.
#[cfg(target_os = "linux")]
async fn no_answer(client: &Client, transaction: &Transaction) {
    let tx = transaction.id();
    let errors = [
        answer(client.begin(transaction.participants().iter().copied(), [])).await.unwrap_err(),
        answer(client.begin_as(transaction, [])).await.unwrap_err(),
        answer(client.outcome(tx)).await.unwrap_err(),
        answer(client.status(tx)).await.unwrap_err(),
        answer(client.in_doubt()).await.unwrap_err(),
        answer(client.inquire(tx)).await.unwrap_err(),
    ];
    let codes = errors.each_ref().map(CallError::code);
    assert!(codes.iter().all(|code| matches!(code, Code::DeadlineExceeded | Code::Unavailable)), "{errors:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn calls_to_a_stopped_process_end_and_turn_to_the_next_manager_by_themselves() {
    let scene = Scene::new();
    let _up = scene.stay();
    let is_first = |pid: &Pid| {
        let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
        line.windows(4).any(|window| window == b"tm-0")
    };
    let first = processes(&scene.data()).into_iter().find(is_first).unwrap();
    let transaction = |seq| Transaction::new(TxId { origin: NodeId(1 << 32), seq }, [4, 5].map(NodeId), []).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (known, alone) = (client(&scene.data(), &[1, 2, 3]), client(&scene.data(), &[1]));
        for client in [&known, &alone] {
            assert_eq!(answer(client.status(transaction(1).id())).await.unwrap(), Status::Unknown);
        }
        kill_process(first, Signal::STOP).unwrap();
        // Over a connection that there is, and over one that there is not yet.
        no_answer(&alone, &transaction(1)).await;
        no_answer(&client(&scene.data(), &[1]), &transaction(1)).await;
        for (seq, client) in [(2, known), (3, client(&scene.data(), &[1, 2, 3]))] {
            let transaction = transaction(seq);
            answer(client.begin_as(&transaction, [])).await.unwrap();
            // A transfer of nothing goes through.
            assert_eq!(answer(client.outcome(transaction.id())).await.unwrap(), Outcome::Committed);
            assert_ne!(answer(client.status(transaction.id())).await.unwrap(), Status::Unknown);
            let began = Instant::now();
            answer(client.begin([4, 5].map(NodeId), [])).await.unwrap();
            assert!(began.elapsed() < ATTEMPT, "it stays with the one that answers");
        }
        kill_process(first, Signal::CONT).unwrap();
        let again = async { while answer(alone.in_doubt()).await.is_err() {} };
        tokio::time::timeout(BOUND, again).await.expect("it goes on where it stopped");
    });
}
