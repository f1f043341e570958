//! The specification of the handover, `docs/spec/Handover.tla`, restated and explored.
//!
//! It has the states that TLC counts, every property holds in each of them, and each planted fault breaks one.
//!
//! ```text
//! HANDOVER="old=3 new=1 rounds=2" cargo test --release --test spec -- --nocapture a_handover_that_is_asked_for
//! ```
//!
//! explores any world; what is not mentioned is as in [`Extent::SMALL`].
//!
//! Real nodes are explored in the same environment: each of their steps is one of the specification's, and they reach all of its
//! states ([`machines`]).

mod checks;
mod faults;
mod machines;
mod state;
mod steps;
mod world;

use checks::{Property, stays_frozen};
use faults::Fault;
use machines::{Flaw, Machines};
use state::{Extent, State};
use world::Handover;

use crate::explore::{Explored, Failure, explore};

/// Distinct states, generated states as TLC counts them, and depth.
type Counts = (usize, u64, u32);

/// The configurations of `docs/spec/`, and what TLC counts: without symmetry, which some of them have there.
const ONE: (Extent, Counts) = (Extent { top_ballot: 2, top_round: 2, ..Extent::SMALL }, (9_861, 29_798, 20));
const THREE: (Extent, Counts) = (Extent { old: 3, ..Extent::SMALL }, (652_231, 2_120_801, 25));
const ROUNDS: (Extent, Counts) =
    (Extent { settled: 0, new: 0, top_ballot: 0, top_round: 2, ..THREE.0 }, (993_064, 3_246_245, 23));
const FLEXIBLE: (Extent, Counts) = (Extent { old: 2, flexible: true, ..Extent::SMALL }, (9_123, 23_417, 20));
const TWICE: (Extent, Counts) = (Extent { new: 3, newest: 3, dead: [0, 1, 1], ..Extent::SMALL }, (1_324, 3_710, 18));
const LATE: (Extent, Counts) = (Extent { late: 2, ..THREE.0 }, (664_127, 2_159_302, 27));
const AGAIN: (Extent, Counts) = (Extent { repeats: true, ..THREE.0 }, (862_503, 2_865_524, 27));
const LIVE: (Extent, Counts) = (Extent { top_round: 2, dead: [1, 0, 0], ..THREE.0 }, (93_462, 227_795, 26));

/// Explores a world, and checks some properties in each of its states. Returns also the number of states that TLC generates
/// beyond those that are counted here.
fn run(extent: Extent, properties: &[Property], frozen: bool) -> Result<(Explored<State>, u64), Failure<State>> {
    let handover = Handover::new(extent);
    let mut further = 0;
    let explored = explore(extent.initial(), |state, next| {
        if let Some(broken) = properties.iter().find(|property| !property.holds(&handover, state)) {
            return Err(format!("{broken:?} does not hold"));
        }
        further += handover.successors(state, next);
        match next.iter().find(|next| frozen && !stays_frozen(state, next)) {
            Some(next) => Err(format!("StaysFrozen does not hold: the next state is {}", describe(next).join("\n"))),
            None => Ok(()),
        }
    })?;
    Ok((explored, further))
}

/// A state, a line for each part.
fn describe(state: &State) -> Vec<String> {
    let State { status, vote, proposal, old, ending, new_knows, newest_knows, old_gone, new_gone } = state;
    let mut lines = vec![
        format!("status {status:?}"),
        format!("vote {vote:?}"),
        format!("proposal {proposal:?}"),
        format!("ending {ending:?}"),
        format!("known to {new_knows:?}, {newest_knows:?}"),
        format!("gone {old_gone}, {new_gone}"),
    ];
    lines.extend(old.iter().enumerate().map(|(number, acceptor)| format!("{number}: {acceptor:?}")));
    lines
}

/// The way to what went wrong: of each state what differs from the one before.
fn trace(failure: &Failure<State>) -> String {
    let mut before = describe(&State::default());
    let mut text = String::new();
    for (step, state) in failure.path.iter().enumerate() {
        let lines = describe(state);
        let changed = lines.iter().zip(&before).filter(|(line, before)| line != before);
        text += &changed.map(|(line, _)| format!("step {step}: {line}\n")).collect::<String>();
        before = lines;
    }
    text
}

/// Explores a world in which everything must hold.
fn counts(extent: Extent) -> Counts {
    match run(extent, &Property::ALL, true) {
        Ok((explored, further)) => {
            let generated = explored.generated + further;
            let shown = crate::show("handover", &explored);
            println!("{extent:?}\n{shown}; {generated} generated if every witness counts, as in TLC");
            (explored.states.len(), generated, explored.depth)
        }
        Err(failure) => panic!("{}{} in {extent:?}", trace(&failure), failure.reason),
    }
}

#[test]
fn the_small_handovers_have_the_states_that_tlc_counts() {
    for (extent, counted) in [ONE, FLEXIBLE, TWICE] {
        assert_eq!(counts(extent), counted, "{extent:?}");
    }
}

#[test]
fn a_handover_with_a_dead_acceptor_has_the_states_that_tlc_counts() {
    let (extent, counted) = LIVE;
    assert_eq!(counts(extent), counted, "{extent:?}");
}

#[test]
fn the_large_handovers_have_the_states_that_tlc_counts() {
    for (extent, counted) in [THREE, ROUNDS, LATE, AGAIN] {
        assert_eq!(counts(extent), counted, "{extent:?}");
    }
}

#[test]
fn handovers_of_other_sizes_have_the_states_that_tlc_counts() {
    let worlds = [
        ("voters=2 settled=0", (5_400, 13_891, 18)),
        ("voters=2 new=2", (11_791, 42_469, 20)),
        ("settled=2 new=3 newest=3", (13_642, 83_783, 21)),
        ("ballots=3", (5_365, 16_583, 20)),
        ("newest=1 rounds=3", (28_422, 90_436, 22)),
        ("old=2 new=2", (4_643, 10_153, 21)),
        ("settled=0 old=2 new=3 newest=1", (15_720, 42_523, 23)),
        ("settled=0 old=2 newest=2 rounds=2 flexible", (387_976, 1_025_544, 27)),
    ];
    for (asked, counted) in worlds {
        assert_eq!(counts(Extent::asked(asked)), counted, "{asked}");
    }
}

#[test]
fn a_handover_that_is_asked_for_is_explored() {
    let Ok(asked) = std::env::var("HANDOVER") else { return };
    let extent = Extent::asked(&asked);
    counts(extent);
    if Machines::can_be(&extent) {
        println!("  out of the real nodes' reach: {} states", out_of_reach(extent).len());
    }
}

/// A world in which a fault shows, and the properties that it breaks.
fn shows(fault: Fault) -> (Extent, &'static [Property]) {
    use Property::{
        Agreement, CommittedIsPrepared, Lemma, NobodyIsLeft, OneEnding, OracleHolds, RetiredIsFinished, SuccessorsKnow,
        Validity,
    };
    let small = Extent { top_ballot: 0, ..Extent::SMALL };
    match fault {
        Fault::FreezeForgotten
        | Fault::FreezeEndsEarly
        | Fault::FrozenTakes
        | Fault::ReportLeavesOut
        | Fault::BlankDisk => (small, &[Lemma, OracleHolds, Agreement]),
        Fault::TooFewReports => (FLEXIBLE.0, &[Lemma, OracleHolds, Agreement]),
        Fault::ActsOnProposal => (ROUNDS.0, &[OracleHolds]),
        Fault::HeldEndingIgnored => (ROUNDS.0, &[OneEnding, OracleHolds]),
        Fault::LowestReported => (Extent { settled: 0, new: 0, ..THREE.0 }, &[Lemma, OracleHolds]),
        Fault::OnePreparedIsEnough => {
            (Extent { voters: 2, ..small }, &[Lemma, OracleHolds, Agreement, Validity, CommittedIsPrepared])
        }
        Fault::RetiredLeftOut => (small, &[OracleHolds, Lemma]),
        Fault::OffAfterOneNote => (Extent { new: 3, ..small }, &[SuccessorsKnow]),
        Fault::ActsBeforeJoining => (Extent { late: 1, ..small }, &[Lemma, OracleHolds, Agreement]),
        Fault::RetiresEarly => (small, &[RetiredIsFinished]),
        Fault::NobodyRenews => (Extent { top_round: 2, ..Extent::SMALL }, &[NobodyIsLeft]),
    }
}

#[test]
fn every_planted_fault_breaks_its_properties() {
    for fault in Fault::ALL {
        let (extent, properties) = shows(fault);
        for property in properties {
            match run(Extent { fault: Some(fault), ..extent }, &[*property], false) {
                Err(failure) => println!("  {}: {} states on, {}", fault.name(), failure.path.len(), failure.reason),
                Ok(_) => panic!("{}: {property:?} holds all the same in {extent:?}", fault.name()),
            }
        }
    }
}

#[test]
fn every_property_is_broken_by_a_planted_fault() {
    for property in Property::ALL {
        assert!(Fault::ALL.iter().any(|fault| shows(*fault).1.contains(&property)), "{property:?}");
    }
}

#[test]
fn a_frozen_acceptor_that_takes_something_is_found_out() {
    for fault in [Fault::FreezeForgotten, Fault::FreezeEndsEarly, Fault::FrozenTakes] {
        match run(Extent { fault: Some(fault), ..Extent::SMALL }, &[], true) {
            Err(failure) => assert!(failure.reason.starts_with("StaysFrozen"), "{}: {}", fault.name(), failure.reason),
            Ok(_) => panic!("{}: StaysFrozen holds all the same", fault.name()),
        }
    }
}

#[test]
fn the_worlds_of_the_faults_hold_without_them() {
    for fault in Fault::ALL {
        let (extent, _) = shows(fault);
        // The large ones are explored above.
        if extent.old < 3 {
            counts(extent);
        }
    }
}

#[test]
fn the_faults_are_those_of_the_module() {
    let module = include_str!("../../docs/spec/Handover.tla");
    let quoted = module.lines().filter_map(|line| line.split_once("== Fault = \"")?.1.strip_suffix('"'));
    assert_eq!(quoted.collect::<Vec<_>>(), Fault::ALL.map(Fault::name));
}

/// Explores real nodes: each of their steps must be one of the specification's, or change nothing.
fn explore_nodes(extent: Extent, flaw: Option<Flaw>) -> Result<Explored<State>, Failure<State>> {
    let handover = Handover::new(extent);
    let mut machines = Machines::new(&handover, flaw);
    let mut allowed = Vec::new();
    explore(extent.initial(), |state, next| {
        machines.successors(state, next)?;
        allowed.clear();
        handover.successors(state, &mut allowed);
        match next.iter().find(|next| *next != state && !allowed.contains(next)) {
            Some(next) => Err(format!("the specification has no such step, to {}", describe(next).join("\n"))),
            None => Ok(()),
        }
    })
}

/// The states of the specification that real nodes do not reach.
fn out_of_reach(extent: Extent) -> Vec<State> {
    let handover = Handover::new(extent);
    let specified = explore(extent.initial(), |state, next| {
        handover.successors(state, next);
        Ok(())
    });
    let specified = specified.expect("nothing is checked");
    let explored = explore_nodes(extent, None);
    let explored = explored.unwrap_or_else(|failure| panic!("{}{} in {extent:?}", trace(&failure), failure.reason));
    println!("{extent:?}\n{}\n{}", crate::show("handover", &specified), crate::show("real nodes", &explored));
    assert!(explored.states.iter().all(|state| specified.contains(state)));
    specified.states.iter().filter(|state| !explored.contains(state)).copied().collect()
}

/// Real nodes must reach all.
fn reach(asked: &[&str]) {
    for asked in asked {
        let missed = out_of_reach(Extent::asked(asked));
        if let Some(state) = missed.first() {
            let (missed, state) = (missed.len(), describe(state).join("\n"));
            panic!("{missed} states are out of reach, such as\n{state}\nreplay: HANDOVER=\"{asked}\" {REPLAY}");
        }
    }
}

const REPLAY: &str = "cargo test --release --test spec -- --nocapture a_handover_that_is_asked_for";

#[test]
fn real_nodes_take_only_steps_of_the_handover_and_reach_all_its_states() {
    reach(&[
        "repeats",
        "repeats ballots=2",
        "repeats rounds=2",
        "repeats ballots=2 rounds=2",
        "repeats voters=2 settled=0",
        "repeats settled=2 new=3",
        "repeats old=2 flexible",
    ]);
}

#[test]
#[ignore = "a minute in release"]
fn three_real_acceptors_reach_all_862_503_states_of_the_handover() {
    reach(&["repeats old=3", "repeats old=2 rounds=2 settled=0 flexible"]);
}

#[test]
#[ignore = "seconds in release"]
fn real_nodes_of_whom_one_is_dead_reach_all_but_that_the_dead_one_retires() {
    let missed = out_of_reach(Extent::asked("repeats old=3 dead=1 rounds=2"));
    assert!(missed.iter().all(|state| state.old[2].retired), "only the module lets the dead retire");
}

#[test]
fn real_nodes_that_join_late_reach_all_but_that_a_newcomer_knows_what_is_over_before_it_joins() {
    reach(&["repeats late=1", "repeats old=2 late=1"]);
    let missed = out_of_reach(Extent::asked("repeats old=2 late=1 flexible"));
    assert!(!missed.is_empty(), "somebody can finish without the newcomer");
    assert!(missed.iter().all(|state| state.old.iter().any(|old| old.retired && !old.joined)));
}

#[test]
fn a_storage_that_loses_what_a_node_wrote_is_found_out() {
    for flaw in [Flaw::Freeze, Flaw::Votes, Flaw::Retired] {
        match explore_nodes(Extent::asked("repeats rounds=2"), Some(flaw)) {
            Err(failure) => println!("  {flaw:?} is lost: {} states on, {}", failure.path.len(), failure.reason),
            Ok(_) => panic!("{flaw:?} is lost, and nothing goes wrong"),
        }
    }
}
