//! The commands in short: real servers, real processes, really killed.

use std::process::Command;

/// Runs the bank, and returns what it prints; nothing, if there are no servers to run it with.
fn bank(args: &[&str]) -> Option<String> {
    let servers = [
        ("PostgreSQL", !args.contains(&"mariadb"), synod_servers::Postgres::installed()),
        ("MariaDB", args.contains(&"mariadb") || args.contains(&"mixed"), synod_servers::Maria::installed()),
    ];
    for (name, is_needed, installed) in servers {
        if is_needed && installed.is_none() {
            eprintln!("left out: {name} is not installed");
            return None;
        }
    }
    let output = Command::new(env!("CARGO_BIN_EXE_sql-bank")).args(args).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?} ended with {}\n{text}\n{errors}", output.status);
    Some(text)
}

/// The number before `what`.
fn number(text: &str, what: &str) -> u64 {
    let before = text.split(what).next().filter(|before| before.len() < text.len());
    let before = before.unwrap_or_else(|| panic!("{what:?} is not in\n{text}"));
    before.split(|character: char| !character.is_ascii_digit()).rfind(|word| !word.is_empty()).unwrap().parse().unwrap()
}

#[test]
fn transfers_are_made_and_the_books_are_right() {
    let Some(text) = bank(&["run", "--clients", "8", "--seconds", "2"]) else { return };
    assert!(number(&text, " committed, ") > 10, "{text}");
    assert!(number(&text, " transfers in both databases") >= number(&text, " committed, "), "{text}");
}

#[test]
fn applications_that_die_at_any_step_leave_nothing_behind() {
    let Some(text) = bank(&["crash", "--times", "12"]) else { return };
    assert!(text.contains("12 of 12 left nothing behind"), "{text}");
}

#[test]
fn no_money_is_lost_when_any_process_is_killed() {
    let Some(text) = bank(&["chaos", "--minutes", "0.17", "--seed", "7"]) else { return };
    assert!(number(&text, " times a server") >= 2 && number(&text, " committed, ") > 10, "{text}");
}

#[test]
fn transfers_are_made_between_postgres_and_mariadb() {
    let Some(text) = bank(&["run", "--databases", "mixed", "--clients", "8", "--seconds", "2"]) else { return };
    assert!(text.contains("a PostgreSQL ") && text.contains(" a MariaDB "), "{text}");
    assert!(number(&text, " committed, ") > 10, "{text}");
    assert!(number(&text, " transfers in both databases") >= number(&text, " committed, "), "{text}");
}

#[test]
fn applications_that_die_at_any_step_leave_nothing_behind_in_postgres_and_mariadb() {
    let Some(text) = bank(&["crash", "--databases", "mixed", "--times", "12"]) else { return };
    assert!(text.contains("12 of 12 left nothing behind"), "{text}");
}

#[test]
fn no_money_is_lost_between_postgres_and_mariadb_when_any_process_is_killed() {
    let Some(text) = bank(&["chaos", "--databases", "mixed", "--minutes", "0.17", "--seed", "7"]) else { return };
    assert!(number(&text, " times a server") >= 2 && number(&text, " committed, ") > 10, "{text}");
}
