//! The specification of what nodes remember of epochs that have ended, `docs/spec/Snapshots.tla`, restated and explored.

use crate::explore::{Explored, Failure, explore};

/// The most nodes that a state has room for.
const NODES: usize = 6;

/// What a node remembers of the transaction, or a snapshot says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Memory {
    /// None: a newcomer.
    epoch: Option<u8>,
    committed: bool,
    retired: bool,
}

impl Memory {
    fn new(epoch: u8, committed: bool, retired: bool) -> Self {
        Self { epoch: Some(epoch), committed: committed && !retired, retired }
    }

    /// Which bit of [`State::sent`] it is.
    fn bit(self) -> u16 {
        let epoch = self.epoch.expect("a newcomer has no snapshot");
        1 << (4 * epoch + 2 * u8::from(self.committed) + u8::from(self.retired))
    }

    fn of_bit(bit: u8) -> Self {
        Self { epoch: Some(bit / 4), committed: bit & 2 > 0, retired: bit & 1 > 0 }
    }
}

/// What a decree's ending says of the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Ending {
    Committed,
    Retired,
    Silent,
}

/// Nodes are the members and then the newcomers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct State {
    node: [Memory; NODES],
    first: Option<Ending>,
    second: Option<Ending>,
    finished: bool,
    sent: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    EndingWithoutRetired,
    SnapshotWithoutRetired,
    CommittedReplaced,
    CommittedCutFirst,
    OldSnapshotTaken,
    RetiresEarly,
}

/// What each is called in `docs/spec/Snapshots.tla`, and the property that it breaks.
const FAULTS: [(Fault, &str, &str); 6] = [
    (Fault::EndingWithoutRetired, "a node ignores the retired ranges of the ending", "NothingLost"),
    (Fault::SnapshotWithoutRetired, "a snapshot leaves out the retired ranges", "NothingLost"),
    (Fault::CommittedReplaced, "committed is replaced instead of merged", "NothingLost"),
    (Fault::CommittedCutFirst, "committed is cut before the retired ranges are durable", "NothingLost"),
    (Fault::OldSnapshotTaken, "a snapshot of a lower epoch is taken", "EpochsRise"),
    (Fault::RetiresEarly, "a node retires what not everybody has finished", "RetiredIsFinished"),
];

struct Snapshots {
    members: usize,
    newcomers: usize,
    fault: Option<Fault>,
}

impl Snapshots {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn initial(&self) -> State {
        let mut state = State::default();
        state.node[..self.members].fill(Memory::new(0, false, false));
        state
    }

    /// Appends what every step leads to. Returns how many further states TLC generates: a decree is chosen once here, and
    /// there once for each node that is in its epoch.
    fn successors(&self, state: &State, next: &mut Vec<State>) -> u64 {
        let nodes = &state.node[..self.members + self.newcomers];
        let mut further = 0;
        if state.first.is_none() {
            let retired = nodes[..self.members].iter().any(|node| node.retired).then_some(Ending::Retired);
            let endings = [Some(Ending::Committed), retired].into_iter().flatten();
            next.extend(endings.map(|ending| State { first: Some(ending), ..*state }));
        }
        let in_first = || nodes.iter().filter(|node| node.epoch == Some(1));
        if state.second.is_none() && in_first().next().is_some() {
            let retired = in_first().any(|node| node.retired).then_some(Ending::Retired);
            for ending in [Some(Ending::Silent), retired].into_iter().flatten() {
                next.push(State { second: Some(ending), ..*state });
                further += in_first().count() as u64 - 1;
            }
        }
        if !state.finished {
            next.push(State { finished: true, ..*state });
        }
        for number in 0..nodes.len() {
            self.node(state, number, next);
        }
        further
    }

    /// The steps of one node.
    fn node(&self, state: &State, number: usize, next: &mut Vec<State>) {
        let Memory { epoch, committed, retired } = state.node[number];
        let mut remember = |memory| {
            let mut state = *state;
            state.node[number] = memory;
            next.push(state);
        };
        match (epoch, state.first, state.second) {
            (Some(0), Some(ending), _) => {
                let told = ending == Ending::Retired && !self.has(Fault::EndingWithoutRetired);
                remember(Memory::new(1, ending == Ending::Committed, retired || told));
            }
            (Some(1), _, Some(ending)) => {
                let kept = committed && !self.has(Fault::CommittedReplaced);
                remember(Memory::new(2, kept, retired || ending == Ending::Retired));
            }
            _ => {}
        }
        let sent = (0..16u8).filter(|bit| state.sent >> bit & 1 == 1).map(Memory::of_bit);
        for said in sent.filter(|said| said.epoch > epoch || said.epoch < epoch && self.has(Fault::OldSnapshotTaken)) {
            let newer = said.epoch.expect("a snapshot has an epoch");
            remember(Memory::new(newer, committed || said.committed, retired || said.retired));
        }
        if let Some(epoch) = epoch.filter(|_| state.finished || self.has(Fault::RetiresEarly)) {
            if !retired {
                remember(Memory::new(epoch, committed, true));
            }
            if committed && self.has(Fault::CommittedCutFirst) {
                remember(Memory::new(epoch, false, false));
            }
        }
        if epoch > Some(0) {
            let said = Memory { retired: retired && !self.has(Fault::SnapshotWithoutRetired), ..state.node[number] };
            next.push(State { sent: state.sent | said.bit(), ..*state });
        }
    }

    /// The state up to an exchange of members, or of newcomers, among themselves.
    fn sorted(&self, mut state: State) -> State {
        state.node[..self.members].sort_unstable();
        state.node[self.members..self.members + self.newcomers].sort_unstable();
        state
    }

    fn check(&self, state: &State) -> Result<(), String> {
        if state.node.iter().any(|node| node.epoch > Some(0) && !node.committed && !node.retired) {
            return Err("NothingLost: a node would say that what committed aborted".into());
        }
        if state.node.iter().any(|node| node.retired && !state.finished) {
            return Err("RetiredIsFinished: a node retired what is not finished".into());
        }
        Ok(())
    }

    /// Explores everything. Returns also how many further states TLC generates.
    fn explore(&self, up_to_names: bool) -> Result<(Explored<State>, u64), Failure<State>> {
        let mut further = 0;
        let explored = explore(self.initial(), |state, next| {
            self.check(state)?;
            further += self.successors(state, next);
            let epochs_rise = |to: &State| to.node.iter().zip(&state.node).all(|(to, from)| to.epoch >= from.epoch);
            if !next.iter().all(epochs_rise) {
                return Err("EpochsRise: an epoch goes down".into());
            }
            if up_to_names {
                next.iter_mut().for_each(|state| *state = self.sorted(*state));
            }
            Ok(())
        })?;
        Ok((explored, further))
    }
}

#[test]
fn snapshots_of_three_members_and_two_newcomers_have_the_states_that_tlc_counts() {
    let snapshots = Snapshots { members: 3, newcomers: 2, fault: None };
    for (up_to_names, counted) in [(true, (8_020, 93_347, 20)), (false, (52_351, 631_071, 20))] {
        let (explored, further) = snapshots
            .explore(up_to_names)
            .unwrap_or_else(|failure| panic!("{:#?}\n{}", failure.path.last(), failure.reason));
        let generated = explored.generated + further;
        let shown = crate::show("snapshots", &explored);
        println!("{shown}; {generated} generated if every witness counts, as in TLC");
        assert_eq!((explored.states.len(), generated, explored.depth), counted);
    }
}

#[test]
fn every_fault_of_what_nodes_remember_breaks_its_property() {
    for (fault, name, property) in FAULTS {
        match (Snapshots { members: 3, newcomers: 2, fault: Some(fault) }).explore(true) {
            Err(failure) => {
                println!("  {name}: {} states on, {}", failure.path.len(), failure.reason);
                assert!(failure.reason.starts_with(property), "{name}: {}", failure.reason);
            }
            Ok(_) => panic!("{name}: {property} holds all the same"),
        }
    }
}

#[test]
fn the_faults_of_what_nodes_remember_are_those_of_the_module() {
    let module = include_str!("../../docs/spec/Snapshots.tla");
    let quoted = module.lines().filter_map(|line| line.split_once("== Fault = \"")?.1.strip_suffix('"'));
    assert_eq!(quoted.collect::<Vec<_>>(), FAULTS.map(|(_, name, _)| name));
}
