//! The small examples run to a good end and say what happened. (The bank has tests of its own.)

#![allow(clippy::disallowed_methods, reason = "runs programs")]

#[path = "support/example.rs"]
mod example;

use std::process::Command;

/// What an example says, once it has ended well and without a complaint.
fn run(name: &str) -> String {
    let output = Command::new(example::build(name)).output().unwrap();
    let [said, complaints] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success() && complaints.is_empty(), "{name}: {}\n{said}{complaints}", output.status);
    said
}

#[test]
fn minimal_chooses_one_value_and_the_second_proposer_finds_it() {
    let said = run("minimal");
    let chosen: Vec<&str> = said.lines().filter(|line| line.contains("is chosen")).map(str::trim).collect();
    assert_eq!(chosen, ["n4 knows that tea is chosen", "n5 knows that tea is chosen"]);
}

#[test]
fn threads_get_every_transaction_to_one_outcome_although_one_of_them_dies() {
    let said = run("threads");
    let numbers: Vec<u64> = said.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    let [total, committed, refused, late] = numbers[..] else { panic!("{said}") };
    // Three transactions of twenty are refused. How many hang on the one that dies is the clock's affair.
    assert_eq!((total, refused, committed + refused + late), (300, 45, 300), "{said}");
    assert!(committed > 0, "{said}");
}

#[test]
fn simulate_ends_with_the_last_seed_there_is_and_refuses_a_range_without_any() {
    let simulate = |seeds: String| Command::new(example::build("simulate")).args(["--seeds", &seeds]).output().unwrap();
    let last = simulate(format!("{}..{}", u64::MAX - 3, u64::MAX));
    assert!(String::from_utf8(last.stdout).unwrap().ends_with("\n3 seeds passed\n"));
    for none in ["5..1", "3..3"] {
        let refused = simulate(none.to_owned());
        assert!(!refused.status.success() && refused.stdout.is_empty());
        assert!(String::from_utf8(refused.stderr).unwrap().contains(&format!("{none} has no seeds")));
    }
}

#[test]
fn simulate_draws_the_run_of_a_seed_and_the_events_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("run.html");
    let events = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/events/BlankDiskVotes.json");
    let runs: [&[&str]; 3] = [&["--seed", "7"], &["--seed", "9", "--changes"], &["--replay", events]];
    for run in runs {
        let ran = Command::new(example::build("simulate")).args(run).arg("--draw").arg(&page).output().unwrap();
        assert!(ran.status.success(), "{run:?}: {}", String::from_utf8_lossy(&ran.stderr));
        let html = std::fs::read_to_string(&page).unwrap();
        let (_, data) = html.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
        let picture: serde_json::Value = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
        let list = |name: &str| picture[name].as_array().unwrap().clone();
        let (moments, arrows) = (list("moments"), list("arrows"));
        assert!(list("lanes").len() >= 3 && !moments.is_empty(), "{run:?}");
        if run[0] == "--seed" {
            // Of a shrunk run little may be left.
            assert!(moments.iter().any(|moment| moment["kind"] == "decision"), "{run:?}");
            assert!(arrows.iter().any(|arrow| !arrow["arrived"].as_array().unwrap().is_empty()), "{run:?}");
        }
        assert!(arrows.iter().all(|arrow| arrow["sent"].as_u64().unwrap() < moments.len() as u64));
        // What arrives is a step of its receiver, after it was sent.
        for arrow in &arrows {
            for arrived in arrow["arrived"].as_array().unwrap() {
                let step = &moments[arrived.as_u64().unwrap() as usize];
                assert!(arrived.as_u64() > arrow["sent"].as_u64() && step["lane"] == arrow["to"], "{run:?}: {arrow}");
                assert!(matches!(step["kind"].as_str(), Some("step" | "refused")), "{run:?}: {step}");
            }
        }
    }
    let neither = Command::new(example::build("simulate")).args(["--draw", "run.html"]).output().unwrap();
    assert!(!neither.status.success() && String::from_utf8(neither.stderr).unwrap().contains("say which seed to draw"));
}

#[test]
fn two_databases_agree_whenever_the_process_dies() {
    let program = example::build("two_databases");
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(&program).args(arguments).current_dir(&folder).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (ended, said) = run(&[]);
    assert!(ended && said.ends_with("ann has 70 left, and 1 orders\n"), "{said}");
    let (ended, said) = run(&["--crash"]);
    assert!(!ended && said == "both have promised, and the process dies\n", "{said}");
    // It finishes what the crash left, and then makes another purchase.
    let (ended, said) = run(&[]);
    assert!(ended && said.contains("was left in doubt"), "{said}");
    assert!(said.ends_with("Committed\nann has 10 left, and 3 orders\n"), "{said}");
    let (ended, said) = run(&[]);
    assert!(
        ended && said.ends_with("Aborted\nann has 10 left, and 3 orders\n"),
        "what is not there is not spent: {said}"
    );
}

#[test]
fn an_example_whose_output_nobody_reads_ends_as_well_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let events = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/events/CommitsToldEarly.json");
    let programs: [(&str, &[&str]); 5] = [
        ("minimal", &[]),
        ("two_databases", &[]),
        ("threads", &[]),
        ("simulate", &["--seeds", "0..3"]),
        ("simulate", &["--replay", events]),
    ];
    for (name, arguments) in programs {
        let mut program = Command::new(example::build(name));
        let output = example::unread(program.args(arguments).current_dir(&folder));
        let complaints = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && complaints.is_empty(), "{name}: {}\n{complaints}", output.status);
    }
}

#[test]
fn the_first_thing_to_read_is_short() {
    for (source, most) in [
        (include_str!("../examples/minimal.rs"), 80),
        (include_str!("../examples/two_databases.rs"), 220),
        (include_str!("../examples/threads.rs"), 250),
    ] {
        assert!(source.lines().count() <= most);
    }
}
