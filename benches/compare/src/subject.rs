//! What is compared: anything that can be made to decide.

/// A 16-byte value, different for every decision.
pub type Value = [u8; 16];

/// The value of one decision.
pub fn value(number: u64) -> Value {
    ((u128::from(number) << 64) | 0x5bd1_e995).to_le_bytes()
}

/// A cluster in memory, on one thread, and the network between its nodes.
pub trait Subject {
    /// Makes `count` decisions and returns how many messages that took. What is decided is checked.
    fn decide(&mut self, count: usize) -> u64;

    /// Does what the decisions have left to be done, and returns how many messages that took.
    fn complete(&mut self) -> u64 {
        0
    }
}
