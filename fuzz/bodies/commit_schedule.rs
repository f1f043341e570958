//! Any events in a small world of nodes: every property holds, and once healed it comes to rest.

use arbitrary::{Arbitrary, Unstructured};
use synod::{
    NodeId, Quorums,
    commit::{ClusterId, ClusterSpec, Learning, Node, Targets, Timeouts, Vote},
    sim::{Event, Setup, World},
};

/// The shape of the world, and what happens in it. A number stands for one of those that are there at that moment.
#[derive(Arbitrary, Debug)]
struct Run {
    apart: bool,
    faster: bool,
    quorum: bool,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Begin {
        at: u8,
        participants: u8,
    },
    Again {
        at: u8,
        index: u8,
    },
    Vote {
        at: u8,
        abort: bool,
    },
    Finish {
        at: u8,
    },
    Inquire {
        at: u8,
        index: u8,
    },
    Deliver {
        link: u8,
        index: u8,
    },
    Duplicate {
        link: u8,
        index: u8,
    },
    Late {
        link: u8,
        index: u8,
    },
    Lose {
        link: u8,
        index: u8,
    },
    Sync {
        at: u8,
    },
    Write {
        at: u8,
    },
    Fail {
        at: u8,
        keep: u8,
    },
    Crash {
        at: u8,
        keep: u8,
    },
    Restart {
        at: u8,
    },
    Compact {
        at: u8,
    },
    Tick {
        at: u8,
        by: u8,
    },
    /// All that is owed to any disk is written, and all that is under way arrives.
    Flow,
}

/// More steps than this are left out: a run that fails shall be read.
const STEPS: usize = 200;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(run) = Run::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    let setup = setup(&run);
    let mut world = World::<Node>::new(setup.clone());
    let mut events = Vec::new();
    let mut result = Ok(());
    for step in run.steps.into_iter().take(STEPS) {
        for event in concrete(step, &world) {
            result = result.and_then(|()| world.apply(&event).map(|_| ()));
            events.push(event);
        }
    }
    if let Err(violation) = result.and_then(|()| world.heal()) {
        let (about, setup) = (serde_json::to_string(&violation.to_string()), serde_json::to_string(&setup));
        let events = serde_json::to_string(&events);
        let (Ok(about), Ok(setup), Ok(events)) = (about, setup, events) else { panic!("{violation}") };
        eprintln!("To see what each event does, put this into a file and --replay it with the simulate example:");
        eprintln!(r#"{{"about": {about}, "setup": {setup}, "events": {events}}}"#);
        panic!("{violation}");
    }
}

/// Three acceptors, two transaction managers and three resource managers, on machines of their own or on three.
fn setup(run: &Run) -> Setup {
    let numbers = |from: u64, to: u64| Vec::from_iter((from..=to).map(NodeId));
    let acceptors = numbers(1, 3);
    let (managers, resource_managers) =
        if run.apart { (numbers(21, 22), numbers(11, 13)) } else { (numbers(1, 2), numbers(1, 3)) };
    let learning = if run.faster { Learning::Everyone } else { Learning::Leader };
    let targets = if run.quorum { Targets::Quorum } else { Targets::All };
    let timeouts =
        Timeouts::default().with_flush(20).with_recover(100).with_inquire(150).with_repeat(60).with_ceiling(1_000);
    let quorums = Quorums::majority(&acceptors).expect("a valid quorum system");
    let spec = ClusterSpec::new(ClusterId(*b"a fuzzed cluster"), quorums, &managers);
    let spec = spec.with_timeouts(timeouts).with_learning(learning).with_targets(targets);
    let cluster = spec.build().expect("a valid cluster");
    let mut nodes = [acceptors, managers, resource_managers.clone()].concat();
    nodes.sort_unstable();
    nodes.dedup();
    Setup {
        cluster,
        nodes,
        resource_managers,
        stay_dead: Vec::new(),
        in_order: false,
        liars: Vec::new(),
        votes_elsewhere: Vec::new(),
    }
}

fn concrete(step: Step, world: &World<Node>) -> Vec<Event> {
    let setup = world.setup();
    let node = |at: u8| setup.nodes[usize::from(at) % setup.nodes.len()];
    let begun = |index: u8| usize::from(index) % world.begun().len().max(1);
    let message = |links: Vec<((NodeId, NodeId), usize)>, link: u8, index: u8| {
        let ((from, to), count) = *links.get(usize::from(link).checked_rem(links.len())?)?;
        Some((from, to, usize::from(index) % count))
    };
    let event = match step {
        Step::Begin { at, participants } => {
            let all = setup.resource_managers.iter().copied().enumerate();
            let some = all.filter(|(place, _)| participants & (1 << place) != 0).map(|(_, node)| node);
            Some(Event::Begin { at: node(at), participants: some.collect() })
        }
        Step::Again { at, index } => Some(Event::Again { at: node(at), index: begun(index) }),
        Step::Vote { at, abort } => {
            let vote = if abort { Vote::Aborted } else { Vote::Prepared };
            Some(Event::Vote { at: node(at), index: 0, vote })
        }
        Step::Finish { at } => Some(Event::Finish { at: node(at), index: 0 }),
        Step::Inquire { at, index } => Some(Event::Inquire { at: node(at), index: begun(index) }),
        Step::Deliver { link, index } => {
            message(world.under_way(), link, index).map(|(from, to, index)| Event::Deliver { from, to, index })
        }
        Step::Duplicate { link, index } => {
            message(world.under_way(), link, index).map(|(from, to, index)| Event::Duplicate { from, to, index })
        }
        Step::Late { link, index } => {
            message(world.past(), link, index).map(|(from, to, index)| Event::Late { from, to, index })
        }
        Step::Lose { link, index } => {
            message(world.under_way(), link, index).map(|(from, to, index)| Event::Lose { from, to, index })
        }
        Step::Sync { at } => return vec![Event::Write { at: node(at) }, Event::Sync { at: node(at) }],
        Step::Write { at } => Some(Event::Write { at: node(at) }),
        Step::Fail { at, keep } => Some(Event::Fail { at: node(at), keep: keep.into() }),
        Step::Crash { at, keep } => Some(Event::Crash { at: node(at), keep: keep.into() }),
        Step::Restart { at } => Some(Event::Restart { at: node(at) }),
        Step::Compact { at } => Some(Event::Compact { at: node(at) }),
        Step::Tick { at, by } => Some(Event::Tick { at: node(at), by: u64::from(by) * 4 }),
        Step::Flow => {
            let writes = setup.nodes.iter().flat_map(|at| [Event::Write { at: *at }, Event::Sync { at: *at }]);
            let links = world.under_way().into_iter();
            let messages = links.flat_map(|((from, to), count)| vec![Event::Deliver { from, to, index: 0 }; count]);
            return messages.chain(writes).collect();
        }
    };
    event.into_iter().collect()
}
