//! Breadth-first search of all states that can be reached.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hash},
    time::{Duration, Instant},
};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// All reachable states, in the order in which they were found.
pub(crate) struct Explored<S> {
    pub(crate) states: Vec<S>,
    /// From where each state was first reached; the initial state from itself.
    parents: Vec<u32>,
    index: HashTable<u32>,
    hasher: FixedState,
    /// Steps that were taken, to new states and to known ones. The initial state counts as one, as in TLC.
    pub(crate) generated: u64,
    /// Of the longest among the shortest ways to each state; the initial state counts as one.
    pub(crate) depth: u32,
    pub(crate) elapsed: Duration,
}

/// A state in which a check failed, and the way there.
#[derive(Debug)]
pub(crate) struct Failure<S> {
    pub(crate) reason: String,
    pub(crate) path: Vec<S>,
}

/// Explores everything that `next` leads to. It gets a state and room for what follows it; an error ends the search.
pub(crate) fn explore<S: Clone + Eq + Hash>(
    initial: S,
    mut next: impl FnMut(&S, &mut Vec<S>) -> Result<(), String>,
) -> Result<Explored<S>, Failure<S>> {
    let start = Instant::now();
    let mut explored = Explored {
        states: Vec::new(),
        parents: Vec::new(),
        index: HashTable::new(),
        hasher: FixedState::default(),
        generated: 1,
        depth: 0,
        elapsed: Duration::ZERO,
    };
    explored.add(initial, 0);
    let (mut place, mut level_end) = (0, 0);
    let mut successors = Vec::new();
    while place < explored.states.len() {
        if place == level_end {
            level_end = explored.states.len();
            explored.depth += 1;
        }
        successors.clear();
        if let Err(reason) = next(&explored.states[place], &mut successors) {
            return Err(Failure { reason, path: explored.path(place) });
        }
        explored.generated += successors.len() as u64;
        for state in successors.drain(..) {
            explored.add(state, place as u32);
        }
        place += 1;
    }
    explored.elapsed = start.elapsed();
    Ok(explored)
}

impl<S: Clone + Eq + Hash> Explored<S> {
    pub(crate) fn contains(&self, state: &S) -> bool {
        self.index.find(self.hasher.hash_one(state), |place| self.states[*place as usize] == *state).is_some()
    }

    pub(crate) fn states_per_second(&self) -> f64 {
        self.states.len() as f64 / self.elapsed.as_secs_f64()
    }

    fn add(&mut self, state: S, parent: u32) {
        let Self { states, parents, index, hasher, .. } = self;
        let hash = hasher.hash_one(&state);
        let entry = index.entry(
            hash,
            |place| states[*place as usize] == state,
            |place| hasher.hash_one(&states[*place as usize]),
        );
        if let hashbrown::hash_table::Entry::Vacant(vacant) = entry {
            vacant.insert(u32::try_from(states.len()).expect("no more states than 32 bits count"));
            states.push(state);
            parents.push(parent);
        }
    }

    fn path(&self, mut place: usize) -> Vec<S> {
        let mut path = VecDeque::from([self.states[place].clone()]);
        while place != 0 {
            place = self.parents[place] as usize;
            path.push_front(self.states[place].clone());
        }
        path.into()
    }
}
