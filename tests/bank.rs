//! The bank, run as its users run it: with crashes, with SIGKILL, with files that are wrong.
//!
//! What it says about itself is not believed: its databases are read here, too.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "runs processes against the clock")]

#[path = "support/example.rs"]
mod example;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::LazyLock,
    thread,
    time::Duration,
};

use fjall::{Database, KeyspaceCreateOptions};
use tempfile::TempDir;

/// The program, as built for this very test.
static BANK: LazyLock<PathBuf> = LazyLock::new(|| example::build("bank"));

/// A folder with a file of transfers, and room for the bank's data.
struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new(transfers: u32) -> Self {
        let made = Command::new(&*BANK).args(["--generate", &transfers.to_string(), "--seed", "7"]).output().unwrap();
        Self::with(&String::from_utf8(made.stdout).unwrap())
    }

    fn with(transfers: &str) -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        scene.rewrite(transfers);
        scene
    }

    fn rewrite(&self, transfers: &str) {
        fs::write(self.transfers(), transfers).unwrap();
    }

    fn transfers(&self) -> PathBuf {
        self.folder.path().join("transfers.csv")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn bank(&self, flags: &[&str]) -> Command {
        let mut bank = Command::new(&*BANK);
        bank.arg("--transfers").arg(self.transfers()).arg("--data").arg(self.data()).args(flags);
        bank
    }

    /// Runs the bank to its end, which must be a good one.
    fn run(&self, flags: &[&str]) -> Run {
        let output = self.bank(flags).output().unwrap();
        let run = Run::of(&output);
        assert!(output.status.success(), "{run:?}");
        assert_eq!(run.number("money before"), run.number("money after"), "{run:?}");
        assert_eq!(run.number("committed") + run.aborted(), run.number("transfers in the file"), "{run:?}");
        assert!(run.table.lines().all(|line| line.chars().count() <= 80), "wider than a terminal:\n{}", run.table);
        run
    }

    /// Runs the bank to its end, which must be an error.
    fn fail(&self, flags: &[&str]) -> String {
        let output = self.bank(flags).output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Reads the databases: every transfer is applied in all its branches or in none, and the money is all there.
    fn audit(&self, branches: u64) -> Applied {
        let mut money = 0;
        let mut applied = BTreeMap::<u64, BTreeMap<u32, i64>>::new();
        for branch in 0..branches {
            let path = self.data().join("databases").join(format!("branch-{branch}"));
            let database = Database::builder(path).open().unwrap();
            let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default).unwrap();
            for entry in keyspace("accounts").iter() {
                let (_, value) = entry.into_inner().unwrap();
                let sum = |bytes: &[u8]| i64::from_be_bytes(bytes.try_into().unwrap());
                let (opened, balance) = (sum(&value[..8]), sum(&value[8..]));
                assert!(balance >= 0, "an account is overdrawn");
                money += balance - opened;
            }
            for entry in keyspace("applied").iter() {
                let (id, legs) = entry.into_inner().unwrap();
                for leg in legs.chunks(12) {
                    let account = u32::from_be_bytes(leg[..4].try_into().unwrap());
                    let amount = i64::from_be_bytes(leg[4..].try_into().unwrap());
                    let there = applied.entry(u64::from_be_bytes((*id).try_into().unwrap())).or_default();
                    assert_eq!(there.insert(account, amount), None, "a leg is applied twice");
                }
            }
        }
        assert_eq!(money, 0, "money came or went");
        let file = fs::read_to_string(self.transfers()).unwrap();
        for line in file.lines().skip(1) {
            let (id, legs) = legs(line);
            assert!(applied.get(&id).is_none_or(|there| *there == legs), "transfer {id} is applied in part");
        }
        Applied(applied.len() as u64)
    }
}

/// How many transfers were applied.
#[derive(Debug, PartialEq, Eq)]
struct Applied(u64);

/// The id and the legs of a line of a good file.
fn legs(line: &str) -> (u64, BTreeMap<u32, i64>) {
    let [id, _, legs] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
    let leg = |leg: &str| {
        let (account, amount) = leg.trim().split_once(' ').unwrap();
        (account.parse().unwrap(), amount.replace('.', "").parse().unwrap())
    };
    (id.parse().unwrap(), legs.split(';').map(leg).collect())
}

/// What the bank has printed.
#[derive(Debug)]
struct Run {
    table: String,
    #[allow(dead_code, reason = "shown when a test fails")]
    errors: String,
}

impl Run {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { table: text(&output.stdout), errors: text(&output.stderr) }
    }

    /// The number in the row that is called so.
    fn number(&self, row: &str) -> u64 {
        let found = self.table.lines().find(|line| line.trim_start_matches('│').trim().starts_with(row));
        let cell = found.and_then(|line| line.split('┆').nth(1)).unwrap_or_else(|| panic!("no {row} in {self:?}"));
        cell.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
    }

    fn aborted(&self) -> u64 {
        self.number("aborted: an account") + self.number("aborted: a crash")
    }
}

#[test]
fn money_is_conserved_while_nodes_of_every_kind_crash() {
    let scene = Scene::new(400);
    let crashes =
        ["acceptor-1@40", "branch-2@80", "tm-0@150", "branch-2@200", "tm-1@250", "acceptor-0@300", "branch-0@350"];
    let flags: Vec<_> = crashes.iter().flat_map(|crash| ["--crash", crash]).chain(["--in-flight", "20"]).collect();
    let run = scene.run(&flags);
    assert!(!run.errors.contains("did not crash"), "{run:?}");
    assert!(run.number("recovered at a ballot above 0") > 0, "{run:?}");
    assert_eq!(scene.audit(5), Applied(run.number("committed")));
}

#[test]
fn a_bank_that_is_killed_again_and_again_goes_on_where_it_was() {
    let scene = Scene::new(600);
    for kill in 0..6 {
        let flags = ["--in-flight", "4", "--crash", "branch-1@20", "--crash", "tm-0@40"];
        let mut bank = scene.bank(&flags).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis([30, 150, 300, 450, 600, 250][kill]));
        // On Unix this is SIGKILL.
        bank.kill().unwrap();
        bank.wait().unwrap();
    }
    let run = scene.run(&[]);
    assert_eq!(scene.audit(5), Applied(run.number("committed")));

    let again = scene.run(&[]);
    assert_eq!(again.number("done in this run"), 0);
    assert_eq!(again.number("committed"), run.number("committed"));
    assert_eq!(scene.audit(5), Applied(run.number("committed")));
}

#[test]
fn every_layout_of_the_bank_conserves_money_for_hardly_more_writes_than_the_paper_counts() {
    let layouts: [(&[&str], u64); 5] = [
        (&["--faster"], 5),
        (&["--acceptors", "1"], 5),
        (&["--acceptors", "5", "--branches", "3"], 3),
        (&["--acceptors", "7", "--branches", "1"], 1),
        (&["--branches", "9", "--in-flight", "1000"], 9),
    ];
    for (flags, branches) in layouts {
        let scene = Scene::new(120);
        let run = scene.run(flags);
        assert_eq!(scene.audit(branches), Applied(run.number("committed")));
        let row = run.table.lines().find(|line| line.contains("stable writes")).unwrap();
        let figures: Vec<f64> = row.split(['│', '┆']).filter_map(|cell| cell.trim().parse().ok()).collect();
        let [here, paper] = figures[..] else { panic!("{row}") };
        // A slow disk makes acceptors write what they have, and more later.
        assert!((paper..paper * 1.5).contains(&here), "{flags:?}: {run:?}");
    }
}

#[test]
fn a_second_file_on_the_same_folder_is_done_as_well() {
    let scene = Scene::with("id,purpose,legs\n0,gift,1 -10.00; 2 +10.00\n7,gift,2 -2000.00; 3 +2000.00\n");
    let run = scene.run(&[]);
    assert_eq!((run.number("committed"), run.number("aborted: an account")), (1, 1));
    let last = u64::MAX;
    scene.rewrite(&format!("id,purpose,legs\n0,gift,1 -10.00; 2 +10.00\n{last},gift,4 -3.00; 600 +3.00\n"));
    let run = scene.run(&[]);
    assert_eq!((run.number("done in this run"), run.number("committed")), (1, 2));
    assert_eq!(scene.audit(5), Applied(2));

    scene.rewrite("id,purpose,legs\n0,gift,1 -11.00; 2 +11.00\n");
    assert!(scene.fail(&[]).contains("transfer 0 was made before, with other legs"));
}

#[test]
fn a_bad_line_is_reported_with_file_line_and_reason_before_anything_is_done() {
    let good = "1,gift,1 -10.00; 2 +10.00";
    let bad = [
        ("x,gift,1 -10.00; 2 +10.00", "the id \"x\" is not a number"),
        ("1,gift,1 -10.00; 2 +10.00", "the id 1 was used on line 2 already"),
        ("2,gift", "2 columns where 3 are due"),
        ("2,gift,1 -10.00", "a transfer has 2 to 64 legs, not 1"),
        ("2,gift,1 -10.00; 2 +9.99", "the legs add up to -0.01, not to zero"),
        ("2,gift,1 -10.00; 1 +10.00", "account 1 has more than one leg"),
        ("2,gift,1 -10.00; 2", "the leg \"2\" is not an account and an amount"),
        ("2,gift,a -10.00; 2 +10.00", "the account \"a\" is not a number"),
        ("2,gift,1 -10.0; 2 +10.00", "the amount \"-10.0\" is not an amount"),
        ("2,gift,1 -99999999999999999999.00; 2 +10.00", "is not an amount"),
        ("2,gift,1 0.00; 2 0.00", "the amount of account 1 is zero"),
    ];
    for (line, reason) in bad {
        let scene = Scene::with(&format!("id,purpose,legs\n{good}\n{line}\n"));
        let error = scene.fail(&[]);
        assert!(error.contains("transfers.csv, line 3: "), "{error}");
        assert!(error.contains(reason), "{error}");
        assert!(!scene.data().exists(), "{error}");
    }
    assert!(Scene::with("").fail(&[]).contains("line 1: the header must be id,purpose,legs"));
    let scene = Scene::with("");
    fs::write(scene.transfers(), b"id,purpose,legs\n1,\xff,1 -10.00; 2 +10.00\n").unwrap();
    assert!(scene.fail(&[]).contains("line 2: the line is not UTF-8"));
    fs::remove_file(scene.transfers()).unwrap();
    assert!(scene.fail(&[]).contains("transfers.csv cannot be read"));
}

#[test]
fn a_crash_of_nobody_and_a_folder_of_another_bank_are_errors() {
    let scene = Scene::with("id,purpose,legs\n1,gift,1 -10.00; 2 +10.00\n");
    assert!(scene.fail(&["--crash", "branch-5@1"]).contains("there is no branch-5 to crash"));
    assert!(scene.fail(&["--crash", "teller-1@1"]).contains("\"teller-1\" is no name of a node"));
    assert!(scene.fail(&["--crash", "branch-1"]).contains("a crash is written NODE@COUNT"));
    assert!(!scene.data().exists());
    scene.run(&[]);
    assert!(scene.fail(&["--branches", "6"]).contains("the folder was made for 5 branches, not for 6"));
    assert!(scene.fail(&["--acceptors", "5"]).contains("the folder was made for 3 acceptors, not for 5"));
    fs::remove_dir_all(scene.data().join("databases").join("acceptor-2")).unwrap();
    assert!(scene.fail(&[]).contains("the database of acceptor-2 is gone"));
}

#[test]
fn an_even_number_of_acceptors_is_refused_with_the_numbers_to_use_instead() {
    let scene = Scene::with("id,purpose,legs\n1,gift,1 -10.00; 2 +10.00\n");
    assert!(scene.fail(&["--acceptors", "2"]).contains("use 1, or 3 to outlive 1 failure\n"));
    assert!(scene.fail(&["--acceptors", "6"]).contains("use 5, or 7 to outlive 3 failures\n"));
    assert!(!scene.data().exists());
}

#[test]
fn a_folder_that_another_process_uses_is_named_in_the_error() {
    let scene = Scene::with("id,purpose,legs\n1,gift,1 -10.00; 2 +10.00\n");
    scene.run(&[]);
    let teller = scene.data().join("databases").join("teller");
    let used = Database::builder(&teller).open().unwrap();
    let error = scene.fail(&[]);
    assert!(error.contains(&format!("the folder {} is in use by another process", teller.display())), "{error}");
    drop(used);
    scene.run(&[]);
}

#[test]
fn the_bank_runs_in_any_folder_on_the_transfers_that_are_shipped_inside_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut bank = Command::new(&*BANK);
    bank.args(["--in-flight", "1000"]).current_dir(&folder).env_remove("CARGO_MANIFEST_DIR");
    let output = bank.output().unwrap();
    let run = Run::of(&output);
    assert!(output.status.success(), "{run:?}");
    assert_eq!(run.number("transfers in the file"), 10_000);
    assert!(folder.path().join("bank-data").exists());
}

#[test]
fn a_bank_whose_output_nobody_reads_does_all_the_same() {
    let scene = Scene::new(20);
    // It is told that there are not so many transfers.
    let mut bank = scene.bank(&["--crash", "tm-0@1000"]);
    let output = example::unread(&mut bank);
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && complaints.starts_with("bank: tm-0 did not crash"), "{complaints}");
    assert_eq!(complaints.lines().count(), 1, "{complaints}");
    assert_eq!(scene.run(&[]).number("done in this run"), 0);

    let output = example::unread(Command::new(&*BANK).args(["--generate", "1000"]));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_shipped_file_is_the_one_that_the_program_makes() {
    let shipped = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/bank/transfers.csv")).unwrap();
    let made = Command::new(&*BANK).args(["--generate", "10000"]).output().unwrap();
    assert!(made.stdout == shipped, "run the example with --generate 10000 and keep what it prints");
}
