//! Which life of each other node is the present one.
//!
//! A process says a number, drawn when it starts, over every connection that it makes. One that is started again says
//! another, and then the connections of its life before end. Should that life call once more, a node runs twice, in two
//! processes or from two copies of one storage: it could vote twice, and the older one is refused.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use synod::NodeId;

use crate::places::Line;

/// Of how many nodes the present life is known. Of more, every life is taken.
const NODES: usize = 1 << 16;

/// How many past lives of a node are remembered. One that runs beside another calls again and again.
const PAST: usize = 8;

/// The present lives of other nodes, as one server knows them.
#[derive(Default)]
pub(crate) struct Lives(Mutex<BTreeMap<NodeId, Life>>);

#[derive(Default)]
struct Life {
    now: u64,
    /// The connections over which it speaks.
    lines: Vec<Weak<Line>>,
    past: VecDeque<u64>,
}

/// A number for the life of a process. It is not 0, which does not tell.
#[allow(clippy::disallowed_types, reason = "this is for what must be random")]
pub(crate) fn draw() -> u64 {
    use std::hash::{BuildHasher, RandomState};

    // The keys of its hashes are random.
    RandomState::new().hash_one(0) | 1
}

impl Lives {
    /// Whether `node` may speak over `line` in this `life`: not if it has been met in another one since. A life that is new
    /// ends the connections of the one before.
    pub(crate) fn may_speak(&self, node: NodeId, life: u64, line: &Arc<Line>) -> bool {
        let mut lives = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if life == 0 || lives.len() >= NODES && !lives.contains_key(&node) {
            return true;
        }
        let known = lives.entry(node).or_default();
        if known.past.contains(&life) {
            return false;
        }
        if known.now != life {
            known.lines.drain(..).filter_map(|line| line.upgrade()).for_each(|line| line.end());
            known.past.push_back(known.now);
            known.now = life;
            if known.past.len() > PAST {
                known.past.pop_front();
            }
        }
        // Each connection once, however often it is asked over it.
        known.lines.retain(|other| other.strong_count() > 0 && other.as_ptr() != Arc::as_ptr(line));
        known.lines.push(Arc::downgrade(line));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, places::Places, stats::ServerCounters};

    #[tokio::test]
    async fn a_connection_over_which_it_is_asked_again_and_again_is_known_once_and_one_that_is_closed_is_forgotten() {
        let counters = Arc::new(ServerCounters::new(synod::commit::ClusterId([7; 16]), NodeId(1)));
        let places = Places::new(Options::default(), counters);
        let (lives, first, second) = (Lives::default(), places.newcomer().await, places.newcomer().await);
        let known = || lives.0.lock().unwrap()[&NodeId(4)].lines.len();
        for place in [&first, &first, &second, &first, &second] {
            assert!(lives.may_speak(NodeId(4), 1, &place.0));
        }
        assert_eq!(known(), 2);
        // A newer life ends them, and an older one is refused for as long as that is remembered.
        assert!(lives.may_speak(NodeId(4), 2, &second.0));
        assert_eq!(known(), 1);
        first.0.over().await;
        assert!(!lives.may_speak(NodeId(4), 1, &first.0));
        assert!(lives.may_speak(NodeId(4), 0, &first.0) && lives.may_speak(NodeId(5), 1, &first.0));
        for life in 3..3 + PAST as u64 {
            assert!(lives.may_speak(NodeId(4), life, &second.0));
        }
        assert!(!lives.may_speak(NodeId(4), 2 + PAST as u64 - 1, &first.0));
        assert!(lives.0.lock().unwrap()[&NodeId(4)].past.len() <= PAST);
    }
}
