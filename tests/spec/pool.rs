//! Things in every state that they have been in, by number, so that a state of the world is a few numbers. A step of a
//! thing is taken once and remembered.

use std::{fmt::Debug, hash::Hash};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// A map that is the same in every run.
pub(crate) type Map<K, V> = HashMap<K, V, FixedState>;

/// Things `T`, to which happens `E`, from which comes `O`.
pub(crate) struct Pool<T, E, O> {
    things: Vec<T>,
    /// By all that a thing knows, which is what it shows.
    numbers: Map<String, u32>,
    steps: Map<(u32, E), (u32, O)>,
}

impl<T: Clone + Debug, E: Copy + Eq + Hash, O: Clone> Pool<T, E, O> {
    pub(crate) fn new() -> Self {
        Self { things: Vec::new(), numbers: Map::default(), steps: Map::default() }
    }

    pub(crate) fn number(&mut self, thing: T) -> u32 {
        let number = *self.numbers.entry(format!("{thing:?}")).or_insert(self.things.len() as u32);
        if number as usize == self.things.len() {
            self.things.push(thing);
        }
        number
    }

    pub(crate) fn get(&self, number: u32) -> &T {
        &self.things[number as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.things.len()
    }

    /// What `event` makes of a thing, and what comes of it; `run` does it the first time.
    pub(crate) fn step(&mut self, number: u32, event: E, run: impl FnOnce(&mut T, E) -> O) -> (u32, O) {
        if let Some(step) = self.steps.get(&(number, event)) {
            return step.clone();
        }
        let mut thing = self.get(number).clone();
        let output = run(&mut thing, event);
        let step = (self.number(thing), output);
        self.steps.insert((number, event), step.clone());
        step
    }
}

/// Numbers of things, one a place. A fixed number of places keeps the states of the world in one piece.
pub(crate) type Places = [u32; 6];

pub(crate) fn places(numbers: impl IntoIterator<Item = u32>) -> Places {
    let mut places = Places::default();
    for (place, number) in numbers.into_iter().enumerate() {
        places[place] = number;
    }
    places
}
