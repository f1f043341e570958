//! The shop, run as its users run it: killed when both files have promised, with other programs at the same files.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "runs programs")]

mod example;

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use rusqlite::Connection;
use synod_sqlite::rusqlite;

fn promised(change: rusqlite::Result<usize>) -> bool {
    change.is_err_and(|error| error.to_string().contains("promised to a transaction"))
}

#[test]
fn a_purchase_is_finished_whenever_the_process_dies_and_nobody_takes_what_it_has_promised() {
    let (shop, folder) = (example::build("shop"), tempfile::tempdir().unwrap());
    let run = |flags: &[&str]| {
        let output = Command::new(&shop).args(flags).current_dir(&folder).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (ended, said) = run(&[]);
    assert!(ended && said.ends_with("Committed\nann has 70 left, and there are 9 lamps\n"), "{said}");

    // A process that has promised, and hears no verdict.
    let mut hanging = Command::new(&shop).arg("--hang").current_dir(&folder).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(hanging.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "both have promised, and the process waits\n");
    // Another process, which is this one, knows nothing of it.
    let [accounts, stock] = ["accounts", "stock"]
        .map(|name| Connection::open(folder.path().join("shop").join(name).with_extension("sqlite")).unwrap());
    let try_all = || {
        assert!(promised(accounts.execute("UPDATE account SET balance = 29 WHERE name = 'ann'", [])));
        assert!(promised(accounts.execute("DELETE FROM account", [])));
        assert!(promised(stock.execute("UPDATE stock SET pieces = 0", [])));
        assert!(promised(stock.execute("REPLACE INTO stock VALUES ('lamp', 0)", [])));
    };
    try_all();
    // On Unix this is SIGKILL.
    hanging.kill().unwrap();
    hanging.wait().unwrap();
    try_all();
    // What is not promised may go: the lamps but one, and Ann's money but 30.
    assert_eq!(accounts.execute("UPDATE account SET balance = 30 WHERE name = 'ann'", []), Ok(1));
    assert_eq!(stock.execute("UPDATE stock SET pieces = 1", []), Ok(1));

    // It dies again, by itself, before it has finished. Then it finishes what was left, and cannot make another purchase.
    let (ended, said) = run(&["--crash"]);
    assert!(!ended && said.contains("was left in doubt"), "{said}");
    try_all();
    let (ended, said) = run(&[]);
    assert!(ended && said.contains("was left in doubt"), "{said}");
    assert!(said.ends_with("Aborted\nann has 0 left, and there are 0 lamps\n"), "{said}");
    // Nothing is promised any more.
    assert_eq!(accounts.execute("DELETE FROM account", []), Ok(1));
    assert_eq!(stock.execute("DELETE FROM stock", []), Ok(1));
}

/// Skips nothing where there is no such program: then this process was the other one, above.
#[test]
fn the_command_line_of_sqlite_keeps_off_as_well() {
    let version = Command::new("sqlite3").arg("--version").stdout(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        eprintln!("there is no `sqlite3` here");
        return;
    }
    let (shop, folder) = (example::build("shop"), tempfile::tempdir().unwrap());
    let crashed = Command::new(&shop).arg("--crash").current_dir(&folder).output().unwrap();
    assert!(!crashed.status.success());
    let sqlite = |statement: &str| {
        let mut sqlite = Command::new("sqlite3");
        let output = sqlite.arg("shop/accounts.sqlite").arg(statement).current_dir(&folder).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(sqlite("UPDATE account SET balance = 0").contains("promised to a transaction"));
    assert_eq!(sqlite("UPDATE account SET balance = 30"), "");
}
