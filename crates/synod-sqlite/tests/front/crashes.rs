//! A process that is killed at any moment, and started again.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{example::build, plain, rows};

#[test]
fn a_process_that_is_killed_again_and_again_loses_nothing_and_leaves_nothing_half_done() {
    let (program, folder) = (build("two_files"), tempfile::tempdir().unwrap());
    let data = folder.path().join("two-files");
    let run = |flags: &[&str]| {
        let mut run = Command::new(&program);
        run.args(flags).current_dir(&folder).stdout(Stdio::piped()).stderr(Stdio::null());
        run
    };
    let number =
        |file: &str, query: &str| -> i64 { plain(&data.join(file)).query_row(query, [], |row| row.get(0)).unwrap() };
    let prepared = |file: &str| rows(&plain(&data.join(file)), &["SELECT tx FROM synod_prepared"]).unwrap().len();
    assert!(run(&[]).output().unwrap().status.success());
    let mut held = 0;
    for kill in 0..25_u64 {
        let mut process = run(&["--forever"]).spawn().unwrap();
        // It is read from until it is dead, or it would end by itself.
        let mut output = BufReader::new(process.stdout.take().unwrap());
        // On a busy machine the first purchases may give up: what was killed is not over yet.
        let mut told = output.by_ref().lines().map(Result::unwrap).take(100);
        let told = told.find(|line| line != "nothing has changed");
        assert_eq!(told.as_deref(), Some("ann has bought something"));
        std::thread::sleep(Duration::from_millis(kill));
        // On Unix this is SIGKILL.
        process.kill().unwrap();
        assert!(!process.wait().unwrap().success());
        drop(output);
        held += ["accounts.db", "orders.db"].map(prepared).iter().sum::<usize>();
    }
    assert!(run(&[]).output().unwrap().status.success());
    let (left, bought) =
        (number("accounts.db", "SELECT balance FROM account"), number("orders.db", "SELECT count(*) FROM purchase"));
    assert_eq!(left, 1_000_000 - 30 * bought);
    assert!(bought > 25, "{bought}");
    println!("killed 25 times, which left {held} branches prepared; {bought} purchases");
    assert!(held > 0, "it was never killed in the middle");
    assert_eq!(["accounts.db", "orders.db"].map(prepared), [0, 0]);
}
