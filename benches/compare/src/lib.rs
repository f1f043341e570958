//! What the programs that measure share.

pub mod chart;
pub mod memory;
pub mod options;
pub mod parties;
pub mod ring;
pub mod subject;
pub mod synods;
pub mod table;
