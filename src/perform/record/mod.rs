//! What a running node was told, in files, and the same node stepped again from them.
//!
//! A node is deterministic: from one state, the same inputs lead to the same effects. So it is enough to record its state
//! once, and from then on its inputs. A [`Recorder`] does that for a [`Driver`](super::Driver); a [`Recording`] is such a file,
//! and steps the same node again, wherever and whenever: it yields each input with its effects and the node as it was then,
//! and says whether the effects are those of the first time. A bug of production becomes a test case.
//!
//! The files are a ring: of [`Options::segments`] for each node, the oldest goes when a new one begins. Each file begins
//! with the whole state of the node, and so can be replayed without those before it.
//!
//! Recording never makes the node wait for a disk. Files are written by a thread of their own; what it cannot keep up with, or
//! cannot write, is lost, and [`Recorder::progress`] says so. What was recorded and not yet handed to the operating system
//! when a process is killed, a tenth of a second at most, is lost, too.
//!
//! ```
//! use synod::perform::{Driver, Handlers, NoResource, memory::MemoryStorage, record::{Options, Recorder, Recording, files}};
//! # use synod::{NodeId, Quorums, commit::*};
//! # let folder = tempfile::tempdir()?;
//! # let me = NodeId(1);
//! # let cluster = Cluster::new(ClusterId(*b"an example of it"), Quorums::majority([me])?, [me])?;
//! # let config = Config::new(cluster, me, 7);
//!
//! let mut handlers = Handlers { storage: MemoryStorage::new(), transport: Vec::new(), resource: NoResource };
//! let mut driver = Driver::create(config, &mut handlers)?;
//! driver.record(Recorder::open(folder.path(), Options::default())?);
//! driver.push(Input::Tick(Time(1_000)))?;
//! driver.push(Input::Begin { participants: Participants::new([me])?, meta: b"a test".into() })?;
//! driver.flush(&mut handlers)?;
//! drop(driver); // what it has recorded is written by then
//!
//! let (file, mut steps) = (&files(folder.path())?[0], 0);
//! let mut recording = Recording::read(file)?;
//! while let Some(step) = recording.step()? {
//!     assert_eq!(step.is_same, Some(true)); // the effects are those of the first time
//!     steps += 1;
//! }
//! assert_eq!((steps, recording.node().metrics().open), (3, 1)); // the vote of the resource is an input, too
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod digest;
mod file;
mod replay;
mod ring;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

pub(super) use self::digest::Digest;
pub use self::replay::{Recording, ReplayError, Step, files};
use self::{file::Head, ring::Ring};
use crate::{
    NodeId, Refusal,
    codec::steps::{put_input, put_number, put_packet},
    commit::{Input, Message, Node},
};

/// Where a batch was taken to be written. It follows what a node was told before.
const TAKEN: u8 = u8::MAX;

/// How large the files of a [`Recorder`] become, and what the node's clock counts.
///
/// ```
/// # use synod::perform::record::Options;
/// let options = Options::default().with_segments(4);
/// assert_eq!((options.segments, options.segment_bytes), (4, 16 << 20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// About how many bytes one file takes, apart from the state of the node with which it begins.
    pub segment_bytes: u64,
    /// How many files are kept of a node.
    pub segments: usize,
    /// How many bytes may wait to be written. What is more is lost.
    pub waiting_bytes: usize,
    /// How long one unit of the node's [`Time`](crate::commit::Time) is.
    pub unit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 16 << 20, segments: 8, waiting_bytes: 16 << 20, unit: Duration::from_millis(1) }
    }
}

impl Options {
    with_methods! {
        with_segment_bytes(segment_bytes: u64);
        with_segments(segments: usize);
        with_waiting_bytes(waiting_bytes: usize);
        with_unit(unit: Duration);
    }
}

/// How a [`Recorder`] gets on.
///
/// See [`Recorder::progress`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How many bytes were written.
    pub written: u64,
    /// How many inputs and packets were recorded: they are written, or are about to be.
    pub recorded: u64,
    /// How many inputs and packets were lost, because the disk did not keep up, or failed.
    pub lost: u64,
    /// Why nothing more is written, if nothing is.
    pub failure: Option<String>,
}

/// Records a node. [`Driver::record`](super::Driver::record) puts it to work.
///
/// See the [module](self) for an example.
pub struct Recorder {
    ring: Ring,
    options: Options,
    /// What is recorded of the present step. Empty between steps.
    bytes: Vec<u8>,
    /// How many bytes the present file has taken.
    taken: u64,
    /// Whether anything was lost since the present file began, so that the next one does not continue it.
    is_torn: bool,
    /// How many inputs and packets were recorded, and how many were lost.
    recorded: u64,
    lost: u64,
    /// Whether it was said why nothing more is recorded.
    #[cfg(feature = "tokio")]
    is_said: bool,
}

impl Recorder {
    /// Records into `folder`, which is made if it is not there, beside what is recorded there of other nodes and of earlier
    /// lives of this one. Fails if the folder cannot be made or read.
    pub fn open(folder: impl Into<PathBuf>, options: Options) -> io::Result<Self> {
        let folder = folder.into();
        std::fs::create_dir_all(&folder)?;
        std::fs::read_dir(&folder)?;
        let ring = Ring::start(folder, options.segments.max(1))?;
        Ok(Self {
            ring,
            options,
            bytes: Vec::new(),
            taken: 0,
            is_torn: true,
            recorded: 0,
            lost: 0,
            #[cfg(feature = "tokio")]
            is_said: false,
        })
    }

    /// Where the files are.
    pub fn folder(&self) -> &Path {
        self.ring.folder()
    }

    /// How it gets on.
    pub fn progress(&self) -> Progress {
        let (written, failure) = self.ring.progress();
        Progress { written, recorded: self.recorded, lost: self.lost, failure }
    }

    /// Begins a file with this node, whose next batch has this number.
    pub(super) fn begin(&mut self, node: &Node, batch: u64) {
        let head = Head::new(node, batch, self.options.unit, !self.is_torn);
        if self.ring.begin(node.clone(), head) {
            (self.taken, self.is_torn) = (0, false);
        }
    }

    /// The node is about to be told this.
    pub(super) fn told(&mut self, input: &Input) -> Digest {
        put_input(&mut self.bytes, input);
        Digest::default()
    }

    /// The node is about to be told this, all at once.
    pub(super) fn received(&mut self, from: NodeId, messages: &[Message]) -> Digest {
        put_packet(&mut self.bytes, from, messages);
        Digest::default()
    }

    /// It has done so, with these effects. True if a new file should [begin](Self::begin).
    pub(super) fn stepped(&mut self, digest: Digest, verdict: Result<(), Refusal>) -> bool {
        let (marks, digest) = digest.finish(verdict);
        put_number(&mut self.bytes, marks);
        if marks > 0 {
            self.bytes.extend(digest.to_le_bytes());
        }
        match self.put() {
            true => self.recorded += 1,
            false => self.lost += 1,
        }
        self.bytes.clear();
        let is_whole = self.is_torn || self.taken >= self.options.segment_bytes;
        is_whole && self.ring.has_room(self.options.waiting_bytes)
    }

    /// A batch was taken to be written: scopes have the next number from now on.
    pub(super) fn batch_taken(&mut self) {
        self.bytes.push(TAKEN);
        self.put();
        self.bytes.clear();
    }

    /// Why nothing more is recorded: said once.
    #[cfg(feature = "tokio")]
    pub(super) fn take_failure(&mut self) -> Option<String> {
        if !self.is_torn || self.is_said {
            return None;
        }
        let failure = self.progress().failure?;
        self.is_said = true;
        Some(failure)
    }

    /// Returns whether it will be written.
    fn put(&mut self) -> bool {
        // After a loss nothing can be replayed before the next file begins.
        if self.is_torn || !self.ring.put(&self.bytes, self.options.waiting_bytes) {
            self.is_torn = true;
            return false;
        }
        self.taken += self.bytes.len() as u64;
        true
    }
}

impl Drop for Recorder {
    /// A step to whose end the node did not come is what its reader looks for.
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.put();
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("folder", &self.folder()).field("progress", &self.progress()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Quorums, commit::*, perform::Driver, perform::memory::MemoryStorage};

    #[test]
    fn a_step_to_whose_end_a_node_did_not_come_is_the_last_one_and_is_compared_with_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let me = NodeId(1);
        let cluster = Cluster::new(ClusterId(*b"one that panics."), Quorums::majority([me]).unwrap(), [me]).unwrap();
        let driver = Driver::create(Config::new(cluster, me, 7), &mut MemoryStorage::new()).unwrap();
        let mut recorder = Recorder::open(folder.path(), Options::default()).unwrap();
        recorder.begin(driver.node(), 1);
        let digest = recorder.told(&Input::Tick(Time(1)));
        recorder.stepped(digest, Ok(()));
        let _ = recorder.told(&Input::Tick(Time(2)));
        drop(recorder);
        let mut recording = Recording::read(&files(folder.path()).unwrap()[0]).unwrap();
        let first = recording.step().unwrap().unwrap();
        let last = recording.step().unwrap().unwrap();
        assert_eq!((first.is_same, last.input, last.is_same), (Some(true), Input::Tick(Time(2)), None));
        assert_eq!(recording.step().unwrap(), None);
    }

    #[test]
    fn the_time_of_a_step_is_that_of_the_last_tick_also_of_one_before_the_recording() {
        let folder = tempfile::tempdir().unwrap();
        let me = NodeId(1);
        let cluster = Cluster::new(ClusterId(*b"one that is late"), Quorums::majority([me]).unwrap(), [me]).unwrap();
        let mut driver = Driver::create(Config::new(cluster, me, 7), &mut MemoryStorage::new()).unwrap();
        driver.push(Input::Tick(Time(5))).unwrap();
        let mut recorder = Recorder::open(folder.path(), Options::default()).unwrap();
        recorder.begin(driver.node(), 1);
        for input in [Input::Names { count: 1 }, Input::Tick(Time(8)), Input::Names { count: 1 }] {
            let digest = recorder.told(&input);
            recorder.stepped(digest, Ok(()));
        }
        drop(recorder);
        let mut recording = Recording::read(&files(folder.path()).unwrap()[0]).unwrap();
        let times = [(); 3].map(|()| recording.step().unwrap().unwrap().time);
        assert_eq!(times, [5, 8, 8].map(Time));
    }
}
