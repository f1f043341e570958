//! The suite finds what it should, and nothing else.

use std::path::Path;

use synod::perform::conformance::{Check, Report, Verdict};
use synod_store::conformance::{self, Program};

/// Where `.ci/run` installs what `clients/python/requirements.txt` names, from this package.
pub(crate) const PYTHON: &str = "../../target/python/bin/python";

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
    assert!(report.checks().len() > 27 && report.checks().iter().all(is_tried), "{report}");
}

fn is_tried(check: &Check) -> bool {
    !matches!(check.verdict, Verdict::Skipped(_))
}

#[ignore = "needs packages of Python"]
#[tokio::test]
async fn a_store_that_stages_nothing_keeps_the_rest_of_the_contract_and_the_report_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let report = conformance::store(&ledger(folder.path(), Some("stages-nothing"))).await;
    report.assert();
    let left_out = report.checks().iter().filter(|check| !is_tried(check)).count();
    assert_eq!(left_out, 7, "{report}");
    assert!(report.to_string().contains("does not offer `Stage`"), "{report}");
}

/// That the check finds the ledger out that breaks the rule. (The rules are in `clients/python/tests/broken_ledger.py`.)
async fn finds_out(rule: &str, check: &str) {
    let folder = tempfile::tempdir().unwrap();
    is_found(rule, check, &conformance::store(&ledger(folder.path(), Some(rule))).await);
}

/// The same of a check of what is staged.
async fn finds_out_in_staging(rule: &str, check: &str) {
    let folder = tempfile::tempdir().unwrap();
    is_found(rule, check, &conformance::staging(&ledger(folder.path(), Some(rule))).await);
}

fn is_found(rule: &str, check: &str, report: &Report) {
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

#[ignore = "needs packages of Python"]
#[tokio::test]
async fn a_stage_that_is_not_durable_is_found_out() {
    let killed = "what is staged outlives SIGKILL, at whatever moment that comes, and is what its transaction promises and commits";
    finds_out_in_staging("stages-before-it-is-durable", killed).await;
}

#[ignore = "needs packages of Python"]
#[tokio::test]
async fn a_promise_of_what_is_not_staged_is_found_out() {
    let nothing = "what is not staged, or was taken back, is not promised";
    finds_out_in_staging("promises-what-is-not-staged", nothing).await;
    finds_out_in_staging("takes-nothing-back", nothing).await;
}

#[ignore = "needs packages of Python"]
#[tokio::test]
async fn content_that_takes_the_place_of_other_content_is_found_out() {
    finds_out_in_staging("takes-the-last-content", "one name has one content").await;
}

#[ignore = "needs packages of Python"]
#[tokio::test]
async fn something_staged_for_what_is_over_is_found_out() {
    let late = "under the name of what is promised or over nothing is staged any more";
    finds_out_in_staging("stages-what-is-over", late).await;
    finds_out_in_staging("leaves-what-is-over-staged", late).await;
}

#[ignore = "needs packages of Python"]
#[tokio::test]
async fn a_promise_that_is_taken_back_is_found_out() {
    finds_out_in_staging("takes-promises-back", "what is promised is not taken back").await;
}

#[ignore = "needs packages of Python"]
#[tokio::test]
async fn something_staged_that_the_agent_is_not_told_of_is_found_out() {
    finds_out_in_staging("lists-one-page", "the agent is told of everything that is staged").await;
}

#[ignore = "needs packages of Python"]
#[tokio::test]
async fn a_store_in_which_anybody_may_stage_is_found_out() {
    finds_out_in_staging("lets-anyone-in", "what is to be staged in another's store is refused, and changes nothing")
        .await;
}
