//! What the programs that measure share.

pub mod options;
pub mod parties;
pub mod subject;
pub mod table;
