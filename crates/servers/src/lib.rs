//! Real database servers for tests, examples and benchmarks, from the binaries that are installed.
//!
//! [`Postgres`] and [`Maria`] start in a folder of their own, as an ordinary user, on a free loopback port. They can be
//! killed and started again on the same folder and port, and go away when they are dropped. No server is touched but
//! those that were started here. All calls block; from asynchronous code, make them before the work begins or on a
//! blocking thread.
//!
//! ```
//! use synod_servers::{Options, Postgres};
//!
//! let Some(installed) = Postgres::installed() else {
//!     eprintln!("left out: no PostgreSQL is installed");
//!     return Ok(());
//! };
//! let mut server = Postgres::start(Options::default().set("max_prepared_transactions", "100"))?;
//! server.create_database("accounts")?;
//! server.sql("accounts", "CREATE TABLE account (id int); INSERT INTO account VALUES (7);")?;
//! server.kill()?;
//! server.start_again()?;
//! assert_eq!(server.sql("accounts", "SELECT id FROM account")?, "7");
//! println!("{} kept it: {}", installed.version, server.url("accounts"));
//! # Ok::<(), synod_servers::Error>(())
//! ```
//!
//! # What remains when the test is killed
//!
//! A small shell process guards each server. It holds one end of a pipe whose other end only this process has; when this
//! process ends, in whatever way, the pipe breaks, and the guard ends the server and removes its folder. (The kernel's
//! parent-death signal is not used: it comes when the *thread* that started the server ends, which the threads of tests
//! do.) The server remains if the guard is killed too, by its own process id, before this process. A PostgreSQL server that
//! was killed and not started again leaves a System V shared memory segment of 56 bytes until the next boot.
//!
//! # Requirements
//!
//! Linux: the processes that a killed server leaves behind are found in `/proc`. If this process is root's, the servers run
//! as `postgres`, `mysql` or `nobody`, whichever exists, for they refuse to run as root.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "what runs servers waits in real time")]

mod error;
mod folder;
mod install;
mod maria;
mod options;
mod port;
mod postgres;
mod process;
mod relay;
mod server;
mod user;

pub use crate::{error::Error, install::Installed, maria::Maria, options::Options, postgres::Postgres, relay::Relay};
