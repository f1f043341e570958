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
        known.lines.retain(|line| line.strong_count() > 0);
        known.lines.push(Arc::downgrade(line));
        true
    }
}
