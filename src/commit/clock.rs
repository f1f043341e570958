//! The node's own clock, and all its time-outs in one heap.
//!
//! Every waiter has one place in the heap, ordered by when the node next looks at it. Postponing a time-out is one
//! store: the place stays where it is, and moves only once it is at the front. Bringing a time-out forward moves the
//! place at once.
//!
//! Invariants:
//! 1. a place is never later than the time-out that it stands for;
//! 2. the first place is exactly at its time-out, so [`Clock::deadline`] is exact;
//! 3. the node's own clock never runs back, nor ahead of the caller's.

use alloc::vec::Vec;

use super::Time;

/// A waiter: 0 is the node itself, any other is an open transaction's slot plus one.
pub(crate) type Waiter = u32;

/// The node itself, which waits to repeat its announcements.
pub(crate) const NODE: Waiter = 0;

/// The due time of a waiter that waits for nothing.
pub(crate) const NEVER: Time = Time(u64::MAX);

const NOWHERE: u32 = u32::MAX;

/// A node's clock and its waiters. All times are on the node's own clock unless noted.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Clock {
    now: Time,
    /// How far the caller's clock is ahead of the node's own: the time of the first tick, plus all standstills.
    offset: u64,
    /// The time of the last tick, on the caller's clock.
    last: Option<Time>,
    /// A binary min-heap: no place is earlier than its parent.
    heap: Vec<Place>,
    waiters: Vec<Waiting>,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Place {
    at: Time,
    waiter: Waiter,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Waiting {
    due: Time,
    /// The index of its place in the heap.
    index: u32,
}

const IDLE: Waiting = Waiting { due: NEVER, index: NOWHERE };

impl Clock {
    /// The node's own time.
    #[inline]
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// The time of the last tick, on the caller's clock.
    pub(crate) fn last_tick(&self) -> Option<Time> {
        self.last
    }

    /// Advances to `now`, on the caller's clock. A tick later than [`deadline`](Self::deadline) by more than `patience`
    /// means a standstill: the node's own clock leaves out the excess, so that waits which nobody could have ended do
    /// not all end at once.
    pub(crate) fn tick(&mut self, now: Time, patience: u64) {
        let running = Time(now.0.saturating_sub(self.offset));
        let latest = match (self.last, self.heap.first()) {
            // Waits that were set before the first tick start with it.
            (None, _) => self.now,
            (Some(_), Some(first)) => Time(first.at.0.saturating_add(patience)),
            (Some(_), None) => running,
        };
        self.now = self.now.max(running.min(latest));
        self.offset = now.0.saturating_sub(self.now.0);
        self.last = Some(now);
    }

    /// When the next tick is due, on the caller's clock. `None` if nothing is waited for, or the time does not fit in
    /// 64 bits.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let due = self.heap.first()?.at;
        if self.last.is_none() { Some(Time(0)) } else { due.0.checked_add(self.offset).map(Time) }
    }

    /// Makes `waiter` wait until `due`, instead of anything it waited for; [`NEVER`] ends its wait.
    #[inline]
    pub(crate) fn set(&mut self, waiter: Waiter, due: Time) {
        let Some(waiting) = self.waiters.get_mut(waiter as usize) else { return self.add(waiter, due) };
        waiting.due = due;
        let index = waiting.index as usize;
        match self.heap.get_mut(index) {
            Some(place) if place.at <= due => {
                if index == 0 {
                    self.settle();
                }
            }
            Some(place) => {
                place.at = due;
                self.rise(index);
            }
            None => self.add(waiter, due),
        }
    }

    /// Gives a place to `waiter`, which has none in the heap.
    fn add(&mut self, waiter: Waiter, due: Time) {
        if due == NEVER {
            return;
        }
        let (at, index) = (waiter as usize, self.heap.len());
        if at >= self.waiters.len() {
            self.waiters.resize(at.saturating_add(1), IDLE);
        }
        if let Some(waiting) = self.waiters.get_mut(at) {
            *waiting = Waiting { due, index: u32::try_from(index).unwrap_or(NOWHERE) };
        }
        self.heap.push(Place { at: due, waiter });
        self.rise(index);
    }

    /// The waiter whose time-out ended first, if any has ended. Ends its wait.
    pub(crate) fn next_due(&mut self) -> Option<Waiter> {
        let first = *self.heap.first().filter(|first| first.at <= self.now)?;
        if let Some(waiting) = self.waiters.get_mut(first.waiter as usize) {
            waiting.due = NEVER;
        }
        self.settle();
        Some(first.waiter)
    }

    /// Restores invariant 2: moves or drops first places until the first one is at its time-out.
    #[inline]
    fn settle(&mut self) {
        while let Some(first) = self.heap.first_mut() {
            let due = self.waiters.get(first.waiter as usize).map_or(NEVER, |waiting| waiting.due);
            if due == first.at {
                return;
            }
            if due == NEVER {
                let places = self.heap.len();
                self.drop_first();
                debug_assert!(self.heap.len() < places, "each turn gets closer to the end");
            } else {
                debug_assert!(first.at < due, "a place is never behind its time-out");
                first.at = due;
                self.sink(0);
            }
        }
    }

    fn drop_first(&mut self) {
        let last = self.heap.len().saturating_sub(1);
        self.heap.swap(0, last);
        if let Some(gone) = self.heap.pop()
            && let Some(waiting) = self.waiters.get_mut(gone.waiter as usize)
        {
            waiting.index = NOWHERE;
        }
        self.note(0);
        self.sink(0);
    }

    /// Moves the place at `index` towards the front while it is earlier than its parent.
    fn rise(&mut self, mut index: usize) {
        loop {
            let Some(parent) = index.checked_sub(1).map(|above| above / 2) else { return };
            if self.at(parent) <= self.at(index) {
                return;
            }
            self.swap(parent, index);
            index = parent;
        }
    }

    /// Moves the place at `index` towards the back while it is later than a child.
    fn sink(&mut self, mut index: usize) {
        loop {
            let left = index.saturating_mul(2).saturating_add(1);
            let right = left.saturating_add(1);
            let (at, least) = (self.at(left), left).min((self.at(right), right));
            if at >= self.at(index) {
                return;
            }
            self.swap(least, index);
            index = least;
        }
    }

    /// The time of the place at `index`; [`NEVER`] if there is none.
    fn at(&self, index: usize) -> Time {
        self.heap.get(index).map_or(NEVER, |place| place.at)
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.note(one);
        self.note(other);
    }

    /// Updates the waiter's back-pointer to `index`.
    fn note(&mut self, index: usize) {
        if let Some(place) = self.heap.get(index)
            && let Some(waiting) = self.waiters.get_mut(place.waiter as usize)
        {
            waiting.index = u32::try_from(index).unwrap_or(NOWHERE);
        }
    }
}

#[cfg(all(test, feature = "std"))]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use alloc::{collections::BTreeMap, vec::Vec};

    use proptest::prelude::*;

    use super::{Clock, NEVER, Time, Waiter};

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Wait(Waiter, u64),
        EndWait(Waiter),
        Tick(u64),
        TakeDue,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            6 => (0..6_u32, 0..40_u64).prop_map(|(waiter, by)| Event::Wait(waiter, by)),
            2 => (0..6_u32).prop_map(Event::EndWait),
            4 => (0..30_u64).prop_map(Event::Tick),
            4 => Just(Event::TakeDue),
        ]
    }

    proptest! {
        #[test]
        fn the_first_time_out_is_known_exactly_whatever_was_put_off_or_brought_forward(
            events in prop::collection::vec(event(), 0..100),
        ) {
            const PATIENCE: u64 = 20;
            let (mut clock, mut waiting, mut caller) = (Clock::default(), BTreeMap::<Waiter, Time>::new(), 0);
            for event in events {
                match event {
                    Event::Wait(waiter, by) => {
                        let due = Time(clock.now().0 + by);
                        clock.set(waiter, due);
                        waiting.insert(waiter, due);
                    }
                    Event::EndWait(waiter) => {
                        clock.set(waiter, NEVER);
                        waiting.remove(&waiter);
                    }
                    Event::Tick(by) => {
                        caller += by;
                        let (before, deadline) = (clock.now(), clock.deadline());
                        let first = clock.last_tick().is_none();
                        clock.tick(Time(caller), PATIENCE);
                        prop_assert!(before <= clock.now() && clock.now().0 <= caller);
                        match deadline {
                            _ if first => prop_assert_eq!(clock.now(), Time(0), "waits start at the first tick"),
                            Some(deadline) if caller > deadline.0 + PATIENCE => {
                                prop_assert!(clock.deadline().is_some_and(|now| now.0 + PATIENCE == caller || now >= deadline));
                            }
                            _ => prop_assert_eq!(clock.deadline(), deadline, "no standstill, so no time-out moves"),
                        }
                    }
                    Event::TakeDue => {
                        let due: Vec<Waiter> = waiting.iter().filter(|(_, due)| **due <= clock.now()).map(|(w, _)| *w).collect();
                        let first = waiting.values().min().copied();
                        match clock.next_due() {
                            None => prop_assert!(due.is_empty(), "{:?} are due", due),
                            Some(waiter) => prop_assert_eq!(waiting.remove(&waiter), first, "the first comes first"),
                        }
                    }
                }
                let first = waiting.values().min().copied();
                let expected = first.map(|first| if clock.last_tick().is_none() { 0 } else { first.0 + clock.offset });
                prop_assert_eq!(clock.deadline(), expected.map(Time));
                for (index, place) in clock.heap.iter().enumerate() {
                    let waiter = clock.waiters[place.waiter as usize];
                    prop_assert_eq!(waiter.index as usize, index, "a waiter knows its place");
                    prop_assert!(place.at <= waiter.due, "a place is never late");
                    prop_assert!(index == 0 || clock.heap[(index - 1) / 2].at <= place.at, "the heap is one");
                }
            }
        }
    }
}
