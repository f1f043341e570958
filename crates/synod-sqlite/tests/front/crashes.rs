//! A process that is killed at any moment, and started again.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{example::build, plain, rows};

#[test]
fn a_process_that_is_killed_again_and_again_loses_nothing_and_leaves_nothing_half_done() {
    let (program, folder) = (build("two_files"), tempfile::tempdir().unwrap());
    let run = |flag: &str| {
        let mut run = Command::new(&program);
        run.arg(flag).current_dir(&folder).stdout(Stdio::piped()).stderr(Stdio::null());
        run
    };
    let number = |file: &str, query: &str| -> i64 {
        plain(&folder.path().join(file)).query_row(query, [], |row| row.get(0)).unwrap()
    };
    assert!(run("--once").output().unwrap().status.success());
    let mut held = 0;
    for kill in 0..25_u64 {
        let mut process = run("--forever").spawn().unwrap();
        let mut said = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ann has bought something\n");
        std::thread::sleep(Duration::from_millis(kill));
        // On Unix this is SIGKILL.
        process.kill().unwrap();
        process.wait().unwrap();
        held += rows(&plain(&folder.path().join("accounts.db")), &["SELECT tx FROM synod_prepared"]).unwrap().len();
    }
    assert!(run("--once").output().unwrap().status.success());
    let (left, bought) =
        (number("accounts.db", "SELECT balance FROM account"), number("orders.db", "SELECT count(*) FROM purchase"));
    assert_eq!(left, 1_000_000 - 30 * bought);
    assert!(bought > 25, "{bought}");
    println!("killed 25 times, {held} times with a prepared branch; {bought} purchases");
    for file in ["accounts.db", "orders.db"] {
        assert_eq!(number(file, "SELECT count(*) FROM synod_prepared"), 0, "{file}");
    }
}
