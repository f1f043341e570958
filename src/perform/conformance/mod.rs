//! Does a storage, a transport or a resource of your own keep its contract?
//!
//! [`storage`], [`transport`] and [`resource()`] put a handler through everything that a node relies on, one named check
//! after the other, and return a [`Report`] that says of each what the contract is and what was found instead. Run them in
//! a test:
//!
//! ```
//! use std::collections::BTreeMap;
//! use synod::perform::{conformance::{self, Verdict}, memory::{MemoryStorage, WriteFailed}};
//!
//! // Opens a store by its name: the same name again is the same store.
//! let mut stores = BTreeMap::<String, MemoryStorage>::new();
//! let mut open = |name: &str| Ok::<_, WriteFailed>(stores.entry(name.into()).or_default().clone());
//! let report = conformance::storage(&mut open);
//! report.assert();
//! // A closure cannot let a write fail, so what a failed write does was not checked.
//! assert!(report.checks().iter().any(|check| matches!(check.verdict, Verdict::Skipped(_))));
//! ```
//!
//! A resource is tested with a scene around it, a [`ResourceUnderTest`], in which the suite plays the node. There is an
//! example of each [kind](crate::commit::ResourceKind): there, and in `docs/RESOURCE.md`.
//!
//! A handler that passes may still be wrong: no check cuts the power, or a cable.

mod report;
mod resource;
mod storage;
mod transport;

pub use report::{Check, Report, Verdict};
#[cfg(feature = "tokio")]
pub use resource::resource_async;
pub use resource::{ResourceUnderTest, SceneError, resource};
pub use storage::{StorageUnderTest, storage};
pub use transport::{TransportUnderTest, transport};
