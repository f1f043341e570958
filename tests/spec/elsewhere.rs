//! Resource managers whose votes are durable in their databases, against the specification without *RMChooseToAbort*.
//!
//! The database prepares, whether its resource manager hears of it or not, and that is *RMPrepare*. The resource manager may
//! crash at any time, and comes back without a memory; it is told what the database finds prepared, or is asked again, and
//! the database may also fail to find what it holds, and refuse. None of that is a step of the specification.

use std::collections::HashSet;

use synod::{
    Effect, EffectSink, Machine, NodeId, Refusal, Scope, Urgency,
    commit::{self, Decision, Learning, Message, Record, ResourceKind, Vote, What, roles::ResourceManager},
};

use super::{
    bundled::{Bundled, Kind, LEADER},
    commit::explore_bundled,
    explore_specification, fail, in_words,
    layout::{Rm, Size, State},
    processes::{Flaw, Input, Process, Processes},
    show, size,
    specification::{Asks, Decides, Specification},
};

const REPLAY: &str = "cargo test --release --test spec -- --include-ignored --nocapture elsewhere::";

/// What happens to one of them unasked; from `SILENT` on, what means nothing by itself.
pub(crate) const OWN: [Input; 8] = [
    Input::Vote(Vote::Prepared),
    Input::Vote(Vote::Aborted),
    Input::PrepareUnheard,
    Input::Find,
    Input::Crash,
    Input::Ask,
    Input::Begin,
    Input::Inquire,
];
pub(crate) const SILENT: usize = 6;

const ELSEWHERE: Kind = Kind { elsewhere: true, ..LEADER };

impl Processes {
    /// A resource manager whose votes are durable in its database, and that has heard nothing.
    pub(crate) fn elsewhere(&self, rm: usize) -> Process {
        Process::Elsewhere(rm, self.forgetful(rm), Rm::Working)
    }

    fn forgetful(&self, rm: usize) -> ResourceManager {
        let Process::ResourceManager(_, machine) = self.unasked_resource_manager(rm) else { unreachable!("it is one") };
        machine.with_resource(ResourceKind::VotesElsewhere)
    }
}

/// One step of a resource manager and its database, whose state is `state`.
pub(crate) fn step_into(
    (rm, machine, state): (usize, &mut ResourceManager, &mut Rm),
    input: Input,
    processes: &Processes,
    effects: &mut impl EffectSink<Record, Message, Decision>,
) -> Result<(), Refusal> {
    let before = *state;
    match (&input, before) {
        (Input::PrepareUnheard | Input::Vote(Vote::Prepared), Rm::Working) => *state = Rm::Prepared,
        // What has ended is not prepared again.
        (Input::Vote(Vote::Prepared) | Input::Find, Rm::Committed | Rm::Aborted) | (Input::Find, Rm::Working) => {
            return Ok(());
        }
        _ => {}
    }
    if let Input::PrepareUnheard = input {
        return Ok(());
    }
    if let Input::Crash = input {
        *machine = processes.forgetful(rm);
        return Ok(());
    }
    let mut done = Vec::new();
    let verdict = machine.step_into(processes.resource_manager_input(input), &mut done);
    for effect in done {
        match effect {
            Effect::Persist(record) => _ = effects.persist(record, Urgency::RidesAlong),
            Effect::Send { to, message } => effects.send(to, message, Scope::NOTHING),
            Effect::Decide(decision) => {
                *state = match decision {
                    Decision::Commit { .. } => Rm::Committed,
                    Decision::Abort { .. } => Rm::Aborted,
                    _ => *state,
                };
                effects.decide(decision, Scope::NOTHING);
            }
        }
    }
    // The database has prepared, whether its resource manager takes that or not.
    if before == *state { verdict } else { Ok(()) }
}

/// Explores the machines, which must reach exactly what the specification reaches without *RMChooseToAbort*. Returns how
/// many states that is.
fn reach<const W: usize>(size: Size, kind: Kind, asks: Asks) -> usize {
    let decides = if kind.learning == Learning::Everyone { Decides::Learners } else { Decides::Anyone };
    let spec = Specification::restricted(size, asks, decides).without_choosing_to_abort();
    let (allowed, _) = explore_specification::<W>(&spec);
    // A step of a machine may be several, of which those between are not those of the restricted one.
    let free = Specification::new(size).without_choosing_to_abort();
    let mut machines = Bundled::new(&free, kind);
    let explored = explore_bundled::<W>(&mut machines);
    let explored = explored.unwrap_or_else(|failure| fail(failure, &free.layout, |world| world.spec, REPLAY));
    let reached: HashSet<State<W>> = explored.states.iter().map(|world| world.spec).collect();
    println!("{size}; {kind}\n{}\n{}", show("worlds", &explored), show("specification", &allowed));
    assert_eq!(reached, allowed.states.into_iter().collect(), "replay: {REPLAY}");
    println!("  {size}: projected, that is exactly the specification without RMChooseToAbort");
    reached.len()
}

const FASTER: Kind = Kind { learning: Learning::Everyone, ..ELSEWHERE };
const APART: Kind = Kind { apart: true, ..ELSEWHERE };
const TALKATIVE: Kind = Kind { chatter: true, ..ELSEWHERE };

#[test]
fn votes_that_are_durable_elsewhere_reach_exactly_what_is_left_without_choosing_to_abort() {
    let worlds = [
        (size(1, 1, 2), ELSEWHERE, Asks::One),
        (size(1, 1, 2), TALKATIVE, Asks::One),
        (size(1, 1, 3), ELSEWHERE, Asks::One),
        (size(1, 2, 2), ELSEWHERE, Asks::One),
        (size(1, 3, 2), ELSEWHERE, Asks::One),
        (size(1, 1, 2), FASTER, Asks::All),
        (size(1, 3, 2), FASTER, Asks::All),
    ];
    let states = worlds.map(|(size, kind, asks)| in_words!(size, reach, kind, asks));
    assert_eq!(states, [29, 29, 161, 71, 905, 25, 805]);
}

#[test]
#[ignore = "some seconds in release"]
fn two_whose_votes_are_durable_elsewhere_reach_exactly_what_bundles_let_them() {
    assert_eq!(in_words!(size(2, 1, 2), reach, APART, Asks::Unknown), 469);
}

type Step = Option<(Process, Vec<commit::Effect>)>;

/// A database that does not find what it holds is taken to vote to abort at its initial ballot.
fn votes_to_abort(processes: &Processes, process: &Process, input: &Input) -> Step {
    let (Process::Elsewhere(..), Input::Vote(Vote::Aborted)) = (process, input) else { return None };
    let mut after = process.clone();
    let mut effects = after.step(input, processes);
    for effect in &mut effects {
        if let Effect::Send { to, message: Message::About { what, .. } } = effect
            && *what == What::Decline
        {
            *what = What::Vote { vote: Vote::Aborted, manager: *to };
            *to = acceptor(processes);
        }
    }
    Some((after, effects))
}

fn acceptor(processes: &Processes) -> NodeId {
    processes.cluster.acceptors().nodes().next().expect("there is one")
}

/// A database that lets go of what is prepared when its resource manager starts again.
fn rolls_back(processes: &Processes, process: &Process, input: &Input) -> Step {
    let (Process::Elsewhere(rm, _, Rm::Prepared), Input::Crash) = (process, input) else { return None };
    Some((Process::Elsewhere(*rm, processes.forgetful(*rm), Rm::Aborted), Vec::new()))
}

/// A database whose resource manager ignores a commit that it does not remember to have voted for.
fn forgets_commits(_: &Processes, process: &Process, input: &Input) -> Step {
    let (Process::Elsewhere(rm, machine, Rm::Prepared), Input::Find) = (process, input) else { return None };
    let effects = vec![Effect::Decide(Decision::Abort { transaction: machine.transaction().clone(), meta: None })];
    Some((Process::Elsewhere(*rm, machine.clone(), Rm::Aborted), effects))
}

fn find_out<const W: usize>(size: Size, what: &str, flaw: Flaw) {
    let spec = Specification::new(size);
    match explore_bundled::<W>(&mut Bundled::new(&spec, Kind { flaw: Some(flaw), ..ELSEWHERE })) {
        Err(failure) => {
            let reason = failure.reason.lines().next().unwrap_or_default();
            println!("  {what}: {} worlds on, {reason}", failure.path.len());
        }
        Ok(_) => panic!("{what} is not found out"),
    }
}

#[test]
fn every_flaw_of_a_forgotten_vote_is_found_out() {
    let flaws: [(&str, Flaw); 3] = [
        ("a vote to abort after a forgotten one to commit", votes_to_abort),
        ("a database that rolls back what is binding", rolls_back),
        ("a node that aborts what its database finds prepared", forgets_commits),
    ];
    for (what, flaw) in flaws {
        in_words!(size(1, 1, 2), find_out, what, flaw);
    }
}
