//! The least that the same flow of messages can cost: the protocols written by hand for one fixed cluster, with plain
//! arrays, messages that are copied and a ring that has all its room from birth. No maps, no records, no refusals, no
//! time-outs, no second chance.
//!
//! The ring is the floor's network. `synod`'s is the list of effects that its machines fill: each message is written to it
//! once and read from it once, as it is with the ring.

pub mod commit;
pub mod decree;
