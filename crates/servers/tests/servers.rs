//! Servers that start, are killed, and start again. What is not installed is left out, and the test says so.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "what runs servers waits in real time")]

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use synod_servers::{Error, Maria, Options, Postgres};

/// Whether there is a server to test; says so if not.
macro_rules! or_leave_out {
    ($server:ty) => {
        if <$server>::installed().is_none() {
            eprintln!("left out: no server for {}", stringify!($server));
            return Ok(());
        }
    };
}

#[test]
fn a_killed_postgres_comes_back_with_what_was_committed_and_what_was_prepared() -> Result<(), Error> {
    or_leave_out!(Postgres);
    let mut server = Postgres::start(Options::default())?;
    let (url, pid) = (server.url("bank"), server.pid());
    server.create_database("bank")?;
    server.sql("bank", "CREATE TABLE t (id int); INSERT INTO t VALUES (1);")?;
    server.sql("bank", "BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION 'one';")?;
    server.kill()?;
    assert_eq!(server.pid(), None);
    assert!(matches!(server.sql("bank", "SELECT 1"), Err(Error::Failed { .. })), "it is down");
    server.start_again()?;
    assert_ne!(server.pid(), pid);
    assert_eq!(server.url("bank"), url);
    assert_eq!(server.sql("bank", "SELECT id FROM t")?, "1");
    assert_eq!(server.sql("bank", "SELECT gid, database FROM pg_prepared_xacts")?, "one\tbank");
    server.sql("bank", "COMMIT PREPARED 'one'")?;
    server.stop()?;
    server.start_again()?;
    assert_eq!(server.sql("bank", "SELECT id FROM t ORDER BY id")?, "1\n2");
    Ok(())
}

#[test]
fn a_killed_maria_comes_back_with_what_was_committed_and_what_was_prepared() -> Result<(), Error> {
    or_leave_out!(Maria);
    let mut server = Maria::start(Options::default())?;
    let (url, pid) = (server.url("bank"), server.pid());
    server.create_database("bank")?;
    server.sql("bank", "CREATE TABLE t (id int) ENGINE=InnoDB; INSERT INTO t VALUES (1);")?;
    server.sql("bank", "XA START 'one'; INSERT INTO t VALUES (2); XA END 'one'; XA PREPARE 'one';")?;
    server.kill()?;
    assert_eq!(server.pid(), None);
    assert!(matches!(server.sql("bank", "SELECT 1"), Err(Error::Failed { .. })), "it is down");
    server.start_again()?;
    assert_ne!(server.pid(), pid);
    assert_eq!(server.url("bank"), url);
    assert_eq!(server.sql("bank", "SELECT id FROM t")?, "1");
    assert_eq!(server.sql("bank", "XA RECOVER")?, "1\t3\t0\tone");
    server.sql("bank", "XA COMMIT 'one'")?;
    server.stop()?;
    server.start_again()?;
    assert_eq!(server.sql("bank", "SELECT id FROM t ORDER BY id")?, "1\n2");
    Ok(())
}

#[test]
fn two_servers_start_at_once_with_the_settings_that_were_given() -> Result<(), Error> {
    or_leave_out!(Postgres);
    let start = || Postgres::start(Options::default().set("max_prepared_transactions", "7"));
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(start);
        (start(), first.join())
    });
    let (first, second) = (first?, second.expect("no panic")?);
    assert_ne!(first.port(), second.port());
    for server in [&first, &second] {
        assert_eq!(server.sql("postgres", "SHOW max_prepared_transactions; SHOW fsync;")?, "7\non");
    }
    Ok(())
}

#[test]
fn a_setting_that_the_server_does_not_take_is_an_error_with_its_log_and_leaves_nothing_behind() -> Result<(), Error> {
    or_leave_out!(Postgres);
    let parent = folder();
    let error = Postgres::start(Options::default().set("max_connections", "many").within(&parent));
    let Err(error) = error else { panic!("it started") };
    assert!(error.to_string().contains("max_connections"), "{error}");
    assert_eq!(fs::read_dir(&parent).map(Iterator::count).ok(), Some(0));
    _ = fs::remove_dir(parent);
    Ok(())
}

#[test]
fn a_dropped_server_is_gone_and_so_is_its_folder() -> Result<(), Error> {
    or_leave_out!(Postgres);
    let server = Postgres::start(Options::default())?;
    let (folder, pid) = (server.folder().to_owned(), server.pid());
    drop(server);
    assert!(!folder.exists());
    assert!(!runs(pid.expect("it ran")));
    Ok(())
}

#[test]
fn servers_do_not_outlive_a_killed_process() -> Result<(), Error> {
    or_leave_out!(Postgres);
    or_leave_out!(Maria);
    let test = env::current_exe().expect("a test is a program");
    let mut child = Command::new(test);
    child.args(["--exact", "the_process_that_is_killed", "--ignored", "--nocapture"]);
    let mut child = child.stdout(Stdio::piped()).spawn().expect("it starts again");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let said = lines.map_while(Result::ok).find_map(|line| {
        let (_, said) = line.split_once("servers: ")?;
        Some(said.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>())
    });
    let said = said.expect("it says what it has started");
    child.kill().expect("it is a child");
    child.wait().expect("it is a child");
    let start = Instant::now();
    for server in said.chunks(2) {
        let (pid, folder) = (server[0].parse().expect("a number"), Path::new(&server[1]));
        while runs(pid) || folder.exists() {
            assert!(start.elapsed() < Duration::from_secs(30), "{pid} runs or {} exists", folder.display());
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

#[test]
#[ignore = "waits to be killed by another test"]
fn the_process_that_is_killed() -> Result<(), Error> {
    let (first, second) = (Postgres::start(Options::default())?, Maria::start(Options::default())?);
    let pid = |pid: Option<u32>| pid.expect("it runs");
    let folders = [first.folder().display(), second.folder().display()];
    println!("servers: {} {} {} {}", pid(first.pid()), folders[0], pid(second.pid()), folders[1]);
    thread::sleep(Duration::from_secs(60));
    Ok(())
}

/// A folder into which every user can go.
fn folder() -> PathBuf {
    let folder = env::temp_dir().join(format!("servers-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for temporary files");
    folder
}

/// Whether process `pid` runs; a zombie does not.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
