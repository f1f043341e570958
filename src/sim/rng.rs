//! A small random number generator: the same numbers from the same seed, on every platform.

use crate::NodeId;

/// SplitMix64 (Steele, Lea and Flood 2014).
///
/// ```
/// # use synod::sim::Rng;
/// let (mut one, mut two) = (Rng::new(7), Rng::new(7));
/// assert_eq!(one.bits(), two.bits());
/// assert!((3..=5).contains(&one.between(3, 5)));
/// ```
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(crate::commit::mix(seed))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        crate::commit::mix(self.0)
    }

    /// A number below `bound`, or 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias of a remainder does not matter to a schedule.
        self.bits().checked_rem(bound).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`, unless there is none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.below(choices.len() as u64) as usize)
    }

    /// Some of `nodes`, at least `least`, in their order.
    pub fn some(&mut self, nodes: &[NodeId], least: usize) -> Vec<NodeId> {
        let mut left: Vec<NodeId> = nodes.to_vec();
        let keep = self.between(least.min(nodes.len()) as u64, nodes.len() as u64) as usize;
        while left.len() > keep {
            left.remove(self.below(left.len() as u64) as usize);
        }
        left
    }
}
