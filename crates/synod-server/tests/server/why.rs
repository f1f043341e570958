//! The one sentence that says why a transaction is not over, from what nodes know.

#[path = "../../src/api/why.rs"]
#[allow(dead_code, reason = "the program uses all of it")]
mod sentence;

use std::collections::{BTreeMap, BTreeSet};

use sentence::{Around, Case, clean, duration};

/// Two databases, of which the second one's agent is of another process; three members.
fn around() -> Around {
    Around { names: BTreeMap::from([(11, "accounts".into())]), members: vec![1, 2, 3], ..Around::default() }
}

fn silent(nodes: &[(u64, f64)]) -> Around {
    Around { silent: nodes.iter().copied().collect(), ..around() }
}

fn case() -> Case {
    Case { participants: vec![11, 12], age: 12.4, ..Case::default() }
}

fn prepared() -> Case {
    Case { prepared: BTreeMap::from([(11, Some(12.4))]), ..case() }
}

#[test]
fn the_sentence_says_how_far_it_is_who_is_waited_for_and_since_when_that_one_is_silent() {
    let waits = |nodes: &[u64]| nodes.iter().copied().collect::<BTreeSet<_>>();
    let away = Around { away: BTreeMap::from([(11, 63.0)]), ..around() };
    let stuck = Around { is_stuck: true, ..silent(&[(2, 40.0), (3, 8.25)]) };
    let both = BTreeMap::from([(11, Some(12.4)), (12, None)]);
    let table = [
        // What nobody knows more of.
        (case(), around(), "undecided", "open for 12 s; waits for the members to decide"),
        // A manager knows whose vote is missing.
        (
            Case { waits_for: waits(&[12]), ..prepared() },
            silent(&[(12, 11.0)]),
            "in doubt",
            "prepared at accounts (n11) for 12 s; waits for the vote of n12, which has not answered for 11 s; a majority \
             has the vote of accounts (n11)",
        ),
        (
            Case { waits_for: waits(&[11, 12]), ..prepared() },
            around(),
            "in doubt",
            "prepared at accounts (n11) for 12 s; waits for the vote of n12",
        ),
        (
            Case { waits_for: waits(&[11, 12]), ..case() },
            silent(&[(11, 3.0), (12, 125.0)]),
            "undecided",
            "open for 12 s; waits for the vote of accounts (n11), whose agent has not answered for 3.0 s; and n12, which \
             has not answered for 2 min 5 s",
        ),
        // Only an agent tells: who is silent has perhaps not voted.
        (
            prepared(),
            silent(&[(12, 11.0)]),
            "in doubt",
            "prepared at accounts (n11) for 12 s; waits for the vote of n12, which has not answered for 11 s",
        ),
        (
            Case { working: waits(&[12]), ..prepared() },
            around(),
            "in doubt",
            "prepared at accounts (n11) for 12 s; waits for the vote of n12",
        ),
        (
            Case { waits_for: waits(&[11]), ..case() },
            away,
            "undecided",
            "open for 12 s; waits for the vote of accounts (n11), whose database has been away for 63 s; a majority has the \
             vote of n12",
        ),
        // Members are missing.
        (
            Case { prepared: both, ..case() },
            stuck,
            "in doubt",
            "prepared at accounts (n11) for 12 s and n12; waits for the members to decide; too few members answer to decide: \
             missing are n2, which has not answered for 40 s; and n3, which has not answered for 8.2 s",
        ),
        // Decided, and not carried out everywhere.
        (
            Case { outcome: Some("committed"), waits_for: waits(&[12]), ..case() },
            silent(&[(12, 7_500.0)]),
            "committed",
            "committed, begun 12 s ago; waits until it is carried out at n12, which has not answered for 2 h 5 min",
        ),
        (
            Case { outcome: Some("aborted"), ..case() },
            around(),
            "aborted",
            "aborted, begun 12 s ago; to be carried out here",
        ),
        // Nothing but an operator helps.
        (
            Case { trouble: Some("another transaction has this name".into()), ..prepared() },
            around(),
            "needs an operator",
            "prepared at accounts (n11) for 12 s; an operator is needed: another transaction has this name",
        ),
    ];
    for (case, around, state, why) in table {
        assert_eq!((case.state(), &*case.why(&around)), (state, why), "{case:?}");
    }
}

#[test]
fn a_name_that_is_meant_to_harm_a_terminal_is_only_text() {
    let names = BTreeMap::from([(11, "a\u{1b}[2J\r\n\u{202e}b".to_owned())]);
    let why = prepared().why(&Around { names, ..around() });
    assert!(why.starts_with("prepared at a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}b (n11)"), "{why}");
    assert_eq!(clean("plain \u{e4}\u{4e2d}"), "plain \u{e4}\u{4e2d}");
}

#[test]
fn a_time_is_said_as_people_say_it() {
    let table = [
        (0.0, "0.0 s"),
        (-1.0, "0.0 s"),
        (f64::NAN, "0.0 s"),
        (9.96, "10.0 s"),
        (10.2, "10 s"),
        (119.9, "119 s"),
        (120.0, "2 min 0 s"),
        (7_199.0, "119 min 59 s"),
        (7_200.0, "2 h 0 min"),
        (172_800.0, "2 d 0 h"),
        (1e300, "213503982334601 d 7 h"),
    ];
    for (seconds, said) in table {
        assert_eq!(duration(seconds), said, "{seconds}");
    }
}
