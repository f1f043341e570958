//! The machines against Lamport's specification *PaxosCommit*, state by state.
//!
//! The specification is restated and explored: its number of states is the published one. Then the real machines are
//! explored in the same environment: each of their steps is a step of the specification or changes nothing
//! (*refinement*), and they reach every state that the specification has (*equality*).
//!
//! ```text
//! cargo test --release --test spec -- --include-ignored --nocapture
//! SPEC=2,3,2 cargo test --release --test spec -- --nocapture asked_for
//! ```
//!
//! The second command explores any world: so many resource managers, acceptors and ballots (2 ballots are 0 and 1).
//!
//! Beside it, the specification of how membership changes is restated from `docs/spec/` and explored: [`handover`] and
//! [`snapshots`].

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "it takes its own time, can be asked for any size, and never looks at the order of a map"
)]

mod apart;
mod bundled;
mod bundled_flaws;
mod commit;
mod crashing;
mod elsewhere;
mod explore;
mod flaws;
mod handover;
mod interleaved;
mod layout;
mod machines;
mod mapping;
mod parts;
mod pool;
mod processes;
mod scopes;
mod snapshots;
mod specification;

use std::{collections::HashSet, hash::Hash};

use crashing::{Crashing, Driver, Drivers, Extent};
use explore::{Explored, Failure, explore};
use flaws::{FLAWS, promises_again};
use interleaved::Interleaved;
use layout::{Layout, Size, State};
use machines::{Flaw, Machines};
use specification::Specification;

const fn size(rms: usize, acceptors: usize, ballots: usize) -> Size {
    Size { rms, acceptors, ballots }
}

/// What is known of a world: distinct states, states generated with one Commit and one Abort, the same with one for each
/// witness as TLC counts, and depth.
type Counts = (usize, u64, u64, u32);

/// The published counts; of the small worlds that is the first number.
const ONE_ONE: (Size, Counts) = (size(1, 1, 2), (45, 162, 167, 9));
const ONE_THREE: (Size, Counts) = (size(1, 3, 2), (1_461, 8_844, 9_936, 15));
const TWO_ONE: (Size, Counts) = (size(2, 1, 2), (1_425, 9_612, 9_961, 16));
const TWO_THREE: (Size, Counts) = (size(2, 3, 2), (1_321_761, 15_242_979, 16_959_159, 28));

/// Runs a function in as many words as a state of the size takes.
macro_rules! in_words {
    ($size:expr, $run:ident $(, $more:expr)*) => {
        match $crate::layout::Layout::new($size).words() {
            1 => $run::<1>($size $(, $more)*),
            2 => $run::<2>($size $(, $more)*),
            3 => $run::<3>($size $(, $more)*),
            4 => $run::<4>($size $(, $more)*),
            5..=8 => $run::<8>($size $(, $more)*),
            words => panic!("a state of {} words is too large", words),
        }
    };
}

use in_words;

fn show<S: Clone + Eq + Hash>(what: &str, explored: &Explored<S>) -> String {
    let (distinct, depth, seconds) = (explored.states.len(), explored.depth, explored.elapsed.as_secs_f64());
    let rate = explored.states_per_second();
    format!(
        "  {what}: {distinct} distinct, {} generated, depth {depth}; {seconds:.2} s, {rate:.0} states/s",
        explored.generated
    )
}

/// The way to what went wrong.
fn trace<S, const W: usize>(failure: &Failure<S>, layout: &Layout, state: impl Fn(&S) -> State<W>) -> String {
    let steps = failure.path.iter().enumerate();
    steps.map(|(step, world)| format!("step {step}:{}\n", layout.describe(&state(world)))).collect()
}

/// Ends a test with the way to what went wrong, and with the command that goes there again.
fn fail<S, const W: usize>(failure: Failure<S>, layout: &Layout, state: impl Fn(&S) -> State<W>, replay: &str) -> ! {
    panic!("{}{}\nreplay: {replay}", trace(&failure, layout, state), failure.reason);
}

fn replay(size: Size) -> String {
    let Size { rms, acceptors, ballots } = size;
    format!("SPEC={rms},{acceptors},{ballots} cargo test --release --test spec -- --nocapture asked_for")
}

/// Explores the specification. Returns also how many further witnesses of decisions there were.
fn explore_specification<const W: usize>(spec: &Specification) -> (Explored<State<W>>, u64) {
    let mut further = 0;
    let explored = explore(spec.initial::<W>(), |state, next| {
        spec.check(state)?;
        further += spec.successors(state, next);
        Ok(())
    });
    (explored.unwrap_or_else(|failure| fail(failure, &spec.layout, |state| *state, &replay(spec.layout.size))), further)
}

/// Explores the real machines, with acceptors that have a flaw if one is given. Every step must refine.
fn explore_machines<const W: usize>(
    spec: &Specification,
    flaw: Option<Flaw>,
) -> Result<Explored<State<W>>, Failure<State<W>>> {
    let machines = Machines::new(spec, flaw);
    let initial = machines.initial().map_err(|reason| Failure { reason, path: Vec::new() })?;
    explore(initial, |state, next| {
        spec.check(state)?;
        machines.successors(state, next)?;
        spec.allows(state, &*next)
    })
}

/// Explores the specification and the machines, and compares the sets of their states.
fn compare<const W: usize>(size: Size) -> Counts {
    let spec = Specification::new(size);
    let (specified, further) = explore_specification::<W>(&spec);
    let machines = explore_machines::<W>(&spec, None);
    let machines = machines.unwrap_or_else(|failure| fail(failure, &spec.layout, |state| *state, &replay(size)));
    let by_witness = specified.generated + further;
    println!(
        "{size}\n{}; {by_witness} generated if every witness of a decision counts\n{}",
        show("specification", &specified),
        show("real machines", &machines),
    );
    let missed = specified.states.iter().find(|state| !machines.contains(state));
    assert!(missed.is_none(), "out of reach:{}\nreplay: {}", spec.layout.describe(missed.unwrap()), replay(size));
    assert!(machines.states.iter().all(|state| specified.contains(state)), "replay: {}", replay(size));
    println!("  {size}: every step of the machines is one of the specification's, and the sets of states are equal");
    (specified.states.len(), specified.generated, by_witness, specified.depth)
}

#[test]
fn the_machines_reach_exactly_the_published_states_of_the_small_worlds() {
    for (size, published) in [ONE_ONE, ONE_THREE, TWO_ONE] {
        assert_eq!(in_words!(size, compare), published, "replay: {}", replay(size));
    }
}

#[test]
#[ignore = "some seconds in release"]
fn the_machines_reach_exactly_the_1_321_761_states_of_the_large_world() {
    let (size, published) = TWO_THREE;
    assert_eq!(in_words!(size, compare), published, "replay: {}", replay(size));
}

#[test]
fn the_machines_reach_exactly_the_states_of_worlds_of_other_sizes() {
    let worlds = [(1, 1, 1), (3, 3, 1), (1, 1, 4), (1, 2, 3), (1, 3, 3), (1, 5, 2), (2, 2, 2), (3, 1, 2)];
    for (rms, acceptors, ballots) in worlds {
        in_words!(size(rms, acceptors, ballots), compare);
    }
}

#[test]
fn a_world_that_is_asked_for_is_explored() {
    let Ok(asked) = std::env::var("SPEC") else { return };
    let numbers: Result<Vec<usize>, _> = asked.split(',').map(|number| number.trim().parse()).collect();
    match numbers.as_deref() {
        Ok(&[rms, acceptors, ballots]) => drop(in_words!(size(rms, acceptors, ballots), compare)),
        _ => panic!("SPEC is resource managers, acceptors and ballots, as in 2,3,2; not {asked}"),
    }
}

fn find_out<const W: usize>(size: Size, name: &str, flaw: Flaw) {
    match explore_machines::<W>(&Specification::new(size), Some(flaw)) {
        Err(failure) => {
            let reason = failure.reason.lines().next().unwrap_or_default();
            println!("  an acceptor that {name}: {} states on, {reason}", failure.path.len());
        }
        Ok(_) => panic!("an acceptor that {name} is not found out\nreplay: {}", replay(size)),
    }
}

#[test]
fn every_flaw_of_an_acceptor_is_found_out() {
    for (name, flaw) in FLAWS {
        in_words!(size(1, 3, 3), find_out, name, flaw);
    }
}

/// How many states there are when an acceptor promises again after it accepted.
fn count_flawed<const W: usize>(size: Size) -> usize {
    let spec = Specification::new(size);
    let machines = Machines::new(&spec, Some(promises_again));
    let explored = explore(machines.initial::<W>().unwrap(), |state, next| machines.successors(state, next));
    let explored = explored.unwrap_or_else(|failure| fail(failure, &spec.layout, |state| *state, &replay(size)));
    println!("{size}, acceptors that promise again\n{}", show("flawed machines", &explored));
    explored.states.len()
}

#[test]
fn a_second_promise_makes_states_that_the_specification_does_not_have() {
    assert!(in_words!(ONE_THREE.0, count_flawed) > ONE_THREE.1.0);
}

#[test]
#[ignore = "a minute in release"]
fn a_second_promise_makes_12_785_396_states_of_the_large_world() {
    assert_eq!(in_words!(TWO_THREE.0, count_flawed), 12_785_396);
}

/// Explores proposers and learners message by message. What is projected must be the whole specification.
fn interleave<const W: usize>(size: Size, test: &str) {
    let spec = Specification::new(size);
    let (specified, _) = explore_specification::<W>(&spec);
    let mut machines = Interleaved::new(&spec);
    let initial = machines.initial::<W>();
    let explored = explore(initial, |world, next| {
        spec.check(&world.spec)?;
        machines.check(world)?;
        machines.successors(world, next)?;
        spec.allows(&world.spec, next.iter().map(|world| &world.spec))
    });
    let replay = format!("cargo test --release --test spec -- --include-ignored --nocapture {test}");
    let explored = explored.unwrap_or_else(|failure| fail(failure, &spec.layout, |world| world.spec, &replay));
    let projected: HashSet<State<W>> = explored.states.iter().map(|world| world.spec).collect();
    let (proposers, learners) = machines.inner_states();
    println!(
        "{size}, message by message\n{}\n  {proposers} states of proposers, {learners} of learners; projected, {} of the specification's {}",
        show("worlds", &explored),
        projected.len(),
        specified.states.len(),
    );
    assert_eq!(projected, specified.states.into_iter().collect(), "replay: {replay}");
}

#[test]
fn message_by_message_the_machines_refine_and_reach_everything() {
    for size in [size(1, 1, 2), size(1, 1, 3), size(1, 2, 2)] {
        in_words!(size, interleave, "message_by_message_the_machines_refine");
    }
}

#[test]
#[ignore = "some seconds in release"]
fn message_by_message_three_acceptors_refine_and_reach_everything() {
    for size in [TWO_ONE.0, ONE_THREE.0] {
        in_words!(size, interleave, "message_by_message_three_acceptors");
    }
}

/// Explores one instance through crashes. What there is to say about it; or why it fails, and the way there.
fn crash<const W: usize>(size: Size, extent: Extent, drivers: Drivers) -> Result<String, (String, String)> {
    let mut machines = Crashing::new(extent, drivers);
    let initial = machines.initial::<W>();
    let explored = explore(initial, |world, next| {
        machines.spec.check(&world.spec)?;
        machines.successors(world, next)?;
        machines.spec.allows(&world.spec, next.iter().map(|world| &world.spec))
    });
    match explored {
        Ok(explored) => {
            let projected: HashSet<State<W>> = explored.states.iter().map(|world| world.spec).collect();
            Ok(format!("{size}\n  {extent}\n{}; projected, {} states", show("worlds", &explored), projected.len()))
        }
        Err(failure) => Err((failure.reason.clone(), trace(&failure, &machines.spec.layout, |world| world.spec))),
    }
}

fn survive(extent: Extent, test: &str) {
    match in_words!(extent.size(), crash, extent, Drivers::RIGHT) {
        Ok(summary) => println!("{summary}"),
        Err((reason, trace)) => {
            panic!("{trace}{reason}\nreplay: cargo test --release --test spec -- --include-ignored --nocapture {test}")
        }
    }
}

const SMALLEST: Extent = Extent { acceptors: 1, managers: 1, rounds: 1, waiting: 1 };

#[test]
fn through_crashes_the_machines_take_no_step_that_the_specification_does_not_have() {
    for extent in [
        SMALLEST,
        Extent { waiting: 2, ..SMALLEST },
        Extent { rounds: 2, ..SMALLEST },
        Extent { managers: 2, ..SMALLEST },
    ] {
        survive(extent, "through_crashes_the_machines");
    }
}

#[test]
#[ignore = "minutes in release"]
fn through_crashes_three_acceptors_take_no_step_that_the_specification_does_not_have() {
    for extent in [
        Extent { rounds: 2, waiting: 2, ..SMALLEST },
        Extent { managers: 2, waiting: 2, ..SMALLEST },
        Extent { acceptors: 2, waiting: 2, ..SMALLEST },
        Extent { acceptors: 3, ..SMALLEST },
    ] {
        survive(extent, "through_crashes_three_acceptors");
    }
}

#[test]
fn a_driver_that_breaks_the_contract_is_found_out() {
    for driver in [Driver::Hasty, Driver::Blank] {
        for drivers in
            [Drivers { acceptors: driver, ..Drivers::RIGHT }, Drivers { proposers: driver, ..Drivers::RIGHT }]
        {
            match in_words!(SMALLEST.size(), crash, SMALLEST, drivers) {
                Ok(_) => panic!("{drivers:?} is not found out"),
                Err((reason, trace)) => {
                    let (steps, reason) =
                        (trace.matches("step ").count(), reason.lines().next().unwrap_or_default().to_owned());
                    println!("  {drivers:?}: {steps} states on, {reason}");
                }
            }
        }
    }
}
