//! Stores in other languages, as processes that are killed.

use std::path::Path;

use synod::perform::conformance::{Check, Verdict};
use synod_store::conformance::{self, Program};

/// Where `.ci/run` installs what `clients/python/requirements.txt` names, from this package.
const PYTHON: &str = "../../target/python/bin/python";

/// Counts the entries of a ledger.
const SHOWS: &str = "\
import sqlite3, sys
(count,) = sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM entry WHERE about = ?', (sys.argv[2],)).fetchone()
print(count)";

/// Takes away what a ledger has promised.
const LOSES: &str = "\
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as db:
    db.execute('DELETE FROM synod_work WHERE payload = ?', (sys.argv[2].encode(),))";

/// The ledger in Python, in a folder; `broken` says which rule it breaks, if any.
fn ledger(folder: &Path, broken: Option<&str>) -> Program {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = |path: &Path| path.display().to_string();
    let (python, file) = (path(&root.join(PYTHON)), path(&folder.join("ledger.db")));
    let script = match broken {
        Some(_) => path(&root.join("../../clients/python/tests/broken_ledger.py")),
        None => path(&root.join("../../clients/python/examples/ledger.py")),
    };
    let mut serve = vec![python.clone(), script, file.clone(), "{address}".into()];
    serve.extend(broken.map(str::to_owned));
    let run = |script: &str| [&python, "-c", script, &file, "{work}"].map(str::to_owned);
    Program::new(serve).shows(run(SHOWS)).loses(run(LOSES))
}

/// To make it run, from the root of the repository: `python3 -m venv target/python`, and then
/// `target/python/bin/pip install -r clients/python/requirements.txt`.
#[ignore = "needs packages of Python"]
#[tokio::test]
async fn a_store_in_python_keeps_its_contract_through_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    let report = conformance::store(&ledger(folder.path(), None)).await;
    print!("{report}");
    report.assert();
    let is_tried = |check: &Check| !matches!(check.verdict, Verdict::Skipped(_));
    assert!(report.checks().len() > 20 && report.checks().iter().all(is_tried), "{report}");
}

/// That the check finds the ledger out that breaks the rule. (The rules are in `clients/python/tests/broken_ledger.py`.)
async fn finds_out(rule: &str, check: &str) {
    let folder = tempfile::tempdir().unwrap();
    let report = conformance::store(&ledger(folder.path(), Some(rule))).await;
    let found: Vec<&str> = report.failures().map(|failed| failed.name).collect();
    println!("{rule}: {found:?}");
    assert!(found.contains(&check), "{rule} is not found by {check:?}: {report}");
}

#[ignore = "needs packages of Python"]
#[tokio::test]
async fn a_vote_that_is_not_durable_is_found_out() {
    let killed = "every promise that was answered outlives SIGKILL, at whatever moment that comes";
    finds_out("votes-before-it-is-durable", killed).await;
}

#[ignore = "needs packages of Python"]
#[tokio::test]
async fn an_abort_without_a_tombstone_is_found_out() {
    finds_out("leaves-no-tombstone", "what was aborted is not held any more").await;
}

#[ignore = "needs packages of Python"]
#[tokio::test]
async fn a_commit_of_what_was_never_promised_is_found_out() {
    finds_out("commits-what-it-does-not-hold", "a commit of what is not there is refused").await;
}

#[ignore = "needs packages of Python"]
#[tokio::test]
async fn a_store_that_obeys_anybody_is_found_out() {
    finds_out("lets-anyone-in", "what is another's is refused, and changes nothing").await;
}

#[ignore = "needs packages of Python"]
#[tokio::test]
async fn a_commit_that_is_done_twice_is_found_out() {
    finds_out("commits-twice", "a commit that comes again changes nothing").await;
}

#[ignore = "needs packages of Python"]
#[tokio::test]
async fn a_tombstone_that_stays_for_ever_is_found_out() {
    finds_out("forgets-nothing", "what is retired leaves no trace").await;
}
