//! Any run of real nodes, crashes and all, is a run of the specification of transaction commit itself: Gray and Lamport
//! 2006, section 2 (*TLA+*: `TCommit`), where each resource manager is working, prepared, committed or aborted.
//!
//! Proptest draws steps, which become concrete events one by one; what fails is shrunk, and shown as events.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*, strategy::ValueTree, test_runner::TestRunner};
use synod::{
    NodeId, Quorums, TxId,
    commit::{
        ClusterId, ClusterSpec, Decision, Effect, Learning, Node, Outcome, Record, ResourceManagerState as State,
        Targets, Timeouts, Transaction, Vote,
    },
    sim::{Event, Setup, World},
};

/// What may happen. A number stands for one of those that are there at that moment: 0, the simplest, for the first.
#[derive(Clone, Copy, Debug)]
enum Step {
    Deliver(usize),
    Sync(usize),
    Write(usize),
    Vote(usize, Vote),
    Finish(usize),
    Tick(usize, u64),
    Begin(usize),
    Lose(usize),
    Duplicate(usize),
    Late(usize),
    Inquire(usize),
    Crash(usize, usize),
    Restart(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (any, few) = (|| 0..8usize, || 0..3usize);
    let vote = prop_oneof![4 => Just(Vote::Prepared), 1 => Just(Vote::Aborted)];
    prop_oneof![
        20 => any().prop_map(Step::Deliver),
        16 => any().prop_map(Step::Sync),
        3 => any().prop_map(Step::Write),
        8 => (any(), vote).prop_map(|(at, vote)| Step::Vote(at, vote)),
        6 => any().prop_map(Step::Finish),
        6 => (any(), 1..300u64).prop_map(|(at, by)| Step::Tick(at, by)),
        3 => any().prop_map(Step::Begin),
        3 => any().prop_map(Step::Lose),
        3 => any().prop_map(Step::Duplicate),
        2 => any().prop_map(Step::Late),
        2 => any().prop_map(Step::Inquire),
        2 => (any(), few()).prop_map(|(at, keep)| Step::Crash(at, keep)),
        4 => any().prop_map(Step::Restart),
    ]
}

/// Three resource managers, three acceptors and two transaction managers, on machines of their own or on three.
fn setup() -> impl Strategy<Value = Setup> {
    (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(apart, faster, quorum, in_order)| {
        let numbers = |from: u64, to: u64| Vec::from_iter((from..=to).map(NodeId));
        let acceptors = numbers(1, 3);
        let (managers, rms) = if apart { (numbers(21, 22), numbers(11, 13)) } else { (numbers(1, 2), numbers(1, 3)) };
        let timeouts =
            Timeouts::default().with_flush(20).with_recover(100).with_inquire(150).with_repeat(60).with_ceiling(1_000);
        let spec = ClusterSpec::new(ClusterId(*b"a proptest group"), Quorums::majority(&acceptors).unwrap(), &managers);
        let spec = spec.with_learning(if faster { Learning::Everyone } else { Learning::Leader });
        let spec = spec.with_targets(if quorum { Targets::Quorum } else { Targets::All });
        let cluster = spec.with_timeouts(timeouts).build().unwrap();
        let nodes = BTreeSet::from_iter([acceptors, managers, rms.clone()].concat());
        let nodes = nodes.into_iter().collect();
        Setup {
            cluster,
            nodes,
            resource_managers: rms,
            stay_dead: Vec::new(),
            in_order,
            liars: Vec::new(),
            votes_elsewhere: Vec::new(),
        }
    })
}

/// The event that a step stands for, if there is one now.
fn concrete(step: Step, world: &World) -> Option<Event> {
    let setup = world.setup();
    let node = |at: usize| setup.nodes[at % setup.nodes.len()];
    let rm = |at: usize| setup.resource_managers[at % setup.resource_managers.len()];
    let link = |links: Vec<((NodeId, NodeId), usize)>, place: usize| Some(links[place.checked_rem(links.len())?].0);
    Some(match step {
        Step::Deliver(place) => {
            link(world.under_way(), place).map(|(from, to)| Event::Deliver { from, to, index: 0 })?
        }
        Step::Duplicate(place) => {
            link(world.under_way(), place).map(|(from, to)| Event::Duplicate { from, to, index: 0 })?
        }
        Step::Lose(place) => link(world.under_way(), place).map(|(from, to)| Event::Lose { from, to, index: 0 })?,
        Step::Late(place) => link(world.past(), place).map(|(from, to)| Event::Late { from, to, index: 0 })?,
        Step::Sync(at) => Event::Sync { at: node(at) },
        Step::Write(at) => Event::Write { at: node(at) },
        Step::Vote(at, vote) => Event::Vote { at: rm(at), index: 0, vote },
        Step::Finish(at) => Event::Finish { at: rm(at), index: 0 },
        Step::Tick(at, by) => Event::Tick { at: node(at), by },
        Step::Begin(at) => Event::Begin { at: rm(at), participants: setup.resource_managers.clone() },
        Step::Inquire(at) => Event::Inquire { at: node(at), index: 0 },
        Step::Crash(at, keep) => Event::Crash { at: node(at), keep },
        Step::Restart(at) => Event::Restart { at: node(at) },
    })
}

/// The specification's state of one transaction. *TLA+*: `rmState`.
type RmState = BTreeMap<NodeId, State>;

/// All transactions, in the terms of the specification.
#[derive(Default)]
struct Specification {
    transactions: BTreeMap<TxId, RmState>,
}

impl Specification {
    /// What has happened to a world by `event`, whose effects were these.
    fn follow(&mut self, world: &World, event: &Event, effects: &[Effect]) -> Result<(), TestCaseError> {
        for transaction in world.begun() {
            let working = || transaction.participants().iter().map(|rm| (*rm, State::Working)).collect();
            self.transactions.entry(transaction.id()).or_insert_with(working);
        }
        // A vote counts once it is durable, and an outcome as soon as a resource manager knows it.
        let mut votes = Vec::new();
        for at in &world.setup().resource_managers {
            for record in world.disk(*at) {
                if let Record::ResourceManager(record) = record
                    && let Some(vote) = record.vote
                {
                    votes.push((*at, record.transaction.id(), vote));
                }
            }
        }
        for (at, tx, vote) in votes {
            let state = if vote == Vote::Prepared { State::Prepared } else { State::Aborted };
            if self.state(at, tx) == State::Working {
                self.step(at, tx, state)?;
            }
        }
        for (at, tx, outcome) in effects.iter().filter_map(|effect| told(event, effect)) {
            let state = if outcome == Outcome::Committed { State::Committed } else { State::Aborted };
            if self.state(at, tx) != state {
                self.step(at, tx, state)?;
            }
        }
        Ok(())
    }

    fn state(&self, at: NodeId, tx: TxId) -> State {
        self.transactions[&tx][&at]
    }

    /// *TLA+*: `TCNext`.
    fn step(&mut self, at: NodeId, tx: TxId, new: State) -> Result<(), TestCaseError> {
        let states = self.transactions.get_mut(&tx).expect("it was begun");
        let can_commit = states.values().all(|state| matches!(state, State::Prepared | State::Committed));
        let not_committed = states.values().all(|state| *state != State::Committed);
        let old = states[&at];
        let allowed = match (old, new) {
            (State::Working, State::Prepared) => true,
            (State::Prepared, State::Committed) => can_commit,
            (State::Working | State::Prepared, State::Aborted) => not_committed,
            _ => false,
        };
        prop_assert!(allowed, "{at} goes from {old:?} to {new:?} in {tx}, where all are {states:?}");
        states.insert(at, new);
        Ok(())
    }
}

/// Who is told which outcome by an effect of the step that `event` caused.
fn told(event: &Event, effect: &Effect) -> Option<(NodeId, TxId, Outcome)> {
    let at = match event {
        Event::Deliver { to, .. } | Event::Duplicate { to, .. } | Event::Late { to, .. } => *to,
        Event::Vote { at, .. } | Event::Tick { at, .. } | Event::Begin { at, .. } | Event::Inquire { at, .. } => *at,
        _ => return None,
    };
    match effect {
        Effect::Decide(Decision::Commit { transaction, .. }) => Some((at, transaction.id(), Outcome::Committed)),
        Effect::Decide(Decision::Abort { transaction, .. }) => Some((at, transaction.id(), Outcome::Aborted)),
        _ => None,
    }
}

/// Lets the steps happen, and notes the events that they were.
fn run(world: &mut World, steps: &[Step], events: &mut Vec<Event>) -> Result<(), TestCaseError> {
    let mut specification = Specification::default();
    let identities = world.setup().nodes.clone().into_iter();
    let first = identities.flat_map(|at| [Event::Write { at }, Event::Sync { at }]);
    first.for_each(|event| drop(world.apply(&event)));
    for step in steps {
        let Some(event) = concrete(*step, world) else { continue };
        let parts = match event {
            // Where nothing is being written yet, the write begins first.
            Event::Sync { at } => vec![Event::Write { at }, Event::Sync { at }],
            other => vec![other],
        };
        for event in parts {
            let effects = world.apply(&event).map_err(|violation| TestCaseError::fail(violation.to_string()))?;
            specification.follow(world, &event, &effects)?;
            events.push(event);
        }
    }
    world.heal().map_err(|violation| TestCaseError::fail(violation.to_string()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_run_of_nodes_is_a_run_of_transaction_commit(setup in setup(), steps in vec(step(), 0..200)) {
        let (mut world, mut events) = (World::<Node>::new(setup), Vec::new());
        run(&mut world, &steps, &mut events).map_err(|error| {
            let shown: Vec<String> = events.iter().map(|event| format!("  {event:?}")).collect();
            TestCaseError::fail(format!("{error}\nafter these events:\n{}", shown.join("\n")))
        })?;
    }
}

#[test]
fn most_runs_commit_or_abort_something() {
    let mut runner = TestRunner::deterministic();
    let (mut committed, mut aborted) = (0, 0);
    for _ in 0..100 {
        let (setup, steps) = (setup(), vec(step(), 0..200)).new_tree(&mut runner).unwrap().current();
        let mut world = World::<Node>::new(setup);
        run(&mut world, &steps, &mut Vec::new()).unwrap();
        // What one more transaction does when all is healed, does not count.
        let before = world.begun().len().saturating_sub(1);
        let outcomes = world.begun()[..before].iter().map(Transaction::id).filter_map(|tx| world.outcome(tx));
        for outcome in outcomes {
            *(if outcome == Outcome::Committed { &mut committed } else { &mut aborted }) += 1;
        }
    }
    assert!(committed > 40 && aborted > 40, "{committed} committed, {aborted} aborted");
}
