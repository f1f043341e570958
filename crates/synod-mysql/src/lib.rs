//! MariaDB and MySQL.
mod agent;
mod alarm;
mod branch;
mod check;
mod codes;
mod database;
mod error;
mod fence;
mod look;
mod options;
mod resource;
mod xid;

pub use alarm::{Alarm, Kind};
pub use branch::MysqlBranch;
pub use database::Mysql;
pub use error::{Error, Missing};
pub use mysql_async;
pub use options::Options;
pub use resource::MysqlResource;
pub use xid::Xid;
