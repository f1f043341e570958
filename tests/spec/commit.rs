//! The machines of Paxos Commit, who bundle what they say, against the specification.
//!
//! Each of their steps is a step of the specification, a sequence of steps, or no change. What they do together they
//! cannot do apart, so there are states that they do not reach, by design:
//!
//! - a transaction manager asks for promises once in a ballot, for all instances of which it does not know what they
//!   chose: 1a never comes for one of several instances alone, unless the others are known to have chosen Prepared;
//! - an acceptor answers all parts of a bundle in one step, so it never has for some and not for the others, unless the
//!   network takes bundles apart; and a transaction manager proposes for all instances that it was promised at once;
//! - in *Faster* mode a resource manager decides in the step in which it takes the outcome, and a transaction manager
//!   hears of acceptances only in its own ballot.
//!
//! With one resource manager the first two are no loss, and the whole of the specification is reached. With several, and
//! bundles taken apart, it is exactly what the specification reaches if *Phase1a* is as the first says; in *Faster* mode
//! likewise, with *Decide* as the third says.

use std::collections::HashSet;

use synod::commit::Learning;

use super::{
    apart::Apart,
    bundled::{Bundled, Kind, LEADER, World},
    bundled_flaws::{self, FLAWS},
    explore::{Explored, Failure, explore},
    explore_specification, fail, in_words,
    layout::{Size, State},
    show, size,
    specification::{Asks, Decides, Specification},
};

const REPLAY: &str = "cargo test --release --test spec -- --include-ignored --nocapture commit::";

const ASKS_TOGETHER: &str = "promises are asked for together, for all instances not known to have chosen Prepared";

const FASTER: Kind = Kind { learning: Learning::Everyone, ..LEADER };
const APART: Kind = Kind { apart: true, ..LEADER };
const TALKATIVE: Kind = Kind { chatter: true, ..LEADER };

/// Explores the machines, message by message. Every step must refine.
pub(crate) fn explore_bundled<const W: usize>(machines: &mut Bundled) -> Result<Explored<World<W>>, Failure<World<W>>> {
    let initial = machines.initial();
    explore(initial, |world, next| {
        machines.spec.check(&world.spec)?;
        machines.successors(world, next)
    })
}

/// Compares what the machines reach with the specification. Returns how many of its states they reach; all that the
/// specification reaches in a world of so little freedom, if that is given.
fn bundle<const W: usize>(size: Size, kind: Kind, all_of: Option<Asks>) -> usize {
    let spec = Specification::new(size);
    let (specified, _) = explore_specification::<W>(&spec);
    let mut machines = Bundled::new(&spec, kind);
    let explored = explore_bundled::<W>(&mut machines);
    let explored = explored.unwrap_or_else(|failure| fail(failure, &spec.layout, |world| world.spec, REPLAY));
    let reached: HashSet<State<W>> = explored.states.iter().map(|world| world.spec).collect();
    let ((processes, messages), longest) = (machines.met(), machines.longest);
    println!(
        "{size}; {kind}\n{}, {processes} states of processes, {messages} messages; a step is at most {longest} of the specification's",
        show("worlds", &explored),
    );
    report(&reached, &specified, &kind.cannot(size));
    if let Some(asks) = all_of {
        let decides = if kind.learning == Learning::Everyone { Decides::Learners } else { Decides::Anyone };
        let (allowed, _) = explore_specification::<W>(&Specification::restricted(size, asks, decides));
        assert_eq!(reached, allowed.states.into_iter().collect(), "replay: {REPLAY}");
        println!(
            "  {size}: that is exactly what the specification reaches with Phase1a for {asks}, Decide by {decides}"
        );
    }
    reached.len()
}

/// Says how much of the specification is reached, and why that is not all. It must be nothing else.
fn report<const W: usize>(reached: &HashSet<State<W>>, specified: &Explored<State<W>>, cannot: &[&str]) {
    assert!(reached.iter().all(|state| specified.contains(state)), "replay: {REPLAY}");
    let (whole, beyond) = (specified.states.len(), specified.states.len() - reached.len());
    println!("  projected: {} of the specification's {whole}", reached.len());
    if beyond > 0 {
        println!("  by design out of reach: {beyond}, for {}", cannot.join("; and "));
    }
}

impl Kind {
    /// What the machines deliberately cannot do.
    fn cannot(&self, size: Size) -> Vec<&'static str> {
        let (several, faster) = (size.rms > 1, self.learning == Learning::Everyone);
        let all = [
            (several, ASKS_TOGETHER),
            (several && !self.apart, "what comes in one bundle is answered in one step"),
            (faster, "who learns the outcome takes it at once"),
        ];
        all.into_iter().filter(|(applies, _)| *applies).map(|(_, what)| what).collect()
    }
}

#[test]
fn bundled_machines_of_one_resource_manager_refine_and_reach_everything() {
    for (size, kind) in [
        (size(1, 1, 2), LEADER),
        (size(1, 1, 2), TALKATIVE),
        (size(1, 1, 3), LEADER),
        (size(1, 2, 2), LEADER),
        (size(1, 3, 1), LEADER),
        (size(1, 3, 2), LEADER),
    ] {
        in_words!(size, bundle, kind, Some(Asks::One));
    }
}

#[test]
fn bundled_machines_of_two_resource_managers_refine_and_reach_what_bundles_let_them() {
    assert_eq!(in_words!(size(2, 1, 2), bundle, LEADER, None), 373);
    assert_eq!(in_words!(size(2, 1, 3), bundle, LEADER, None), 2_105);
    assert_eq!(in_words!(size(2, 1, 2), bundle, APART, Some(Asks::Unknown)), 1_111);
}

#[test]
fn resource_managers_that_learn_by_themselves_refine_and_reach_what_that_lets_them() {
    // A transaction manager asks before it has heard anything: so for all instances.
    let apart = Kind { apart: true, ..FASTER };
    assert_eq!(in_words!(size(1, 1, 2), bundle, FASTER, Some(Asks::All)), 37);
    assert_eq!(in_words!(size(1, 1, 3), bundle, FASTER, Some(Asks::All)), 213);
    assert_eq!(in_words!(size(1, 3, 2), bundle, FASTER, Some(Asks::All)), 1_261);
    assert_eq!(in_words!(size(2, 1, 2), bundle, FASTER, None), 225);
    assert_eq!(in_words!(size(2, 1, 2), bundle, apart, Some(Asks::All)), 891);
}

#[test]
#[ignore = "some seconds in release"]
fn with_all_that_they_say_to_each_other_bundled_machines_refine() {
    assert_eq!(in_words!(size(1, 1, 3), bundle, TALKATIVE, Some(Asks::One)), 245);
    assert_eq!(in_words!(size(2, 1, 2), bundle, TALKATIVE, None), 373);
    assert_eq!(in_words!(size(2, 1, 2), bundle, Kind { chatter: true, ..APART }, Some(Asks::Unknown)), 1_111);
    assert_eq!(in_words!(size(2, 1, 2), bundle, Kind { chatter: true, ..FASTER }, None), 225);
}

#[test]
#[ignore = "half a minute in release"]
fn bundled_machines_of_the_large_world_refine_message_by_message() {
    assert_eq!(in_words!(size(2, 3, 2), bundle, LEADER, None), 48_529);
}

/// Explores the machines in a network that takes bundles apart and puts them together. They must reach all that the
/// specification reaches if *Phase1a* is taken so; returns how much that is.
fn take_apart<const W: usize>(size: Size, asks: Asks) -> usize {
    let spec = Specification::new(size);
    let mut machines = Apart::new(&spec, asks == Asks::Unknown);
    let initial = machines.initial::<W>();
    let explored = explore(initial, |world, next| {
        spec.check(&world.spec)?;
        machines.successors(world, next)
    });
    let explored = explored.unwrap_or_else(|failure| fail(failure, &spec.layout, |world| world.spec, REPLAY));
    let reached: HashSet<State<W>> = explored.states.iter().map(|world| world.spec).collect();
    let (allowed, _) = explore_specification::<W>(&Specification::restricted(size, asks, Decides::Anyone));
    println!(
        "{size}; bundles may be taken apart and put together\n{}; a step is at most {} of the specification's",
        show("worlds", &explored),
        machines.longest,
    );
    report(&reached, &explore_specification::<W>(&spec).0, &[ASKS_TOGETHER]);
    println!("{}", show(&format!("specification with Phase1a for {asks}"), &allowed));
    assert_eq!(reached.len(), allowed.states.len(), "replay: {REPLAY}");
    assert!(reached.iter().all(|state| allowed.contains(state)), "replay: {REPLAY}");
    println!(
        "  {size}: every step of the machines is a sequence of the specification's, and the sets of states are equal"
    );
    reached.len()
}

#[test]
fn taken_apart_the_machines_reach_all_that_asking_for_several_instances_together_leaves() {
    for asks in [Asks::All, Asks::Unknown] {
        assert_eq!(in_words!(size(1, 1, 2), take_apart, asks), 45);
        assert_eq!(in_words!(size(1, 3, 2), take_apart, asks), 1_461);
        for size in [size(1, 1, 4), size(1, 3, 3), size(2, 2, 2), size(3, 1, 2), size(2, 1, 3)] {
            in_words!(size, take_apart, asks);
        }
    }
    assert_eq!(in_words!(size(2, 1, 2), take_apart, Asks::All), 1_003);
    assert_eq!(in_words!(size(2, 1, 2), take_apart, Asks::Unknown), 1_111);
}

#[test]
#[ignore = "a quarter of a minute in release"]
fn asking_for_all_instances_together_leaves_1_268_065_states_of_the_large_world_and_the_machines_reach_them() {
    assert_eq!(in_words!(size(2, 3, 2), take_apart, Asks::All), 1_268_065);
}

#[test]
#[ignore = "a quarter of a minute in release"]
fn asking_for_all_unknown_instances_leaves_1_285_345_states_of_the_large_world_and_the_machines_reach_them() {
    assert_eq!(in_words!(size(2, 3, 2), take_apart, Asks::Unknown), 1_285_345);
}

fn find_out<const W: usize>(size: Size, what: &str, kind: Kind) {
    let spec = Specification::new(size);
    match explore_bundled::<W>(&mut Bundled::new(&spec, kind)) {
        Err(failure) => {
            let reason = failure.reason.lines().next().unwrap_or_default();
            println!("  {what}: {} worlds on, {reason}", failure.path.len());
        }
        Ok(_) => panic!("{what} is not found out in a world of {size}"),
    }
}

#[test]
fn every_flaw_of_a_process_is_found_out() {
    for (what, flaw, size, learning) in FLAWS {
        in_words!(size, find_out, what, bundled_flaws::kind(flaw, learning));
    }
}
