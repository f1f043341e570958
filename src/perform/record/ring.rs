//! The thread that writes the files, and what waits for it.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Write},
    mem,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    file::{self, Head},
    replay::{name, numbered},
};
use crate::commit::Node;

/// How often what has gathered is written.
const PERIOD: Duration = Duration::from_millis(100);

/// How much is written at once, and without waiting for that.
const BLOCK: usize = 1 << 17;

/// How many written blocks are kept for their memory.
const SPARES: usize = 4;

/// What waits to be written, and a thread that does so.
pub(super) struct Ring {
    folder: PathBuf,
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is much to be written, or nothing more will come.
    due: Condvar,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// How many bytes of steps wait.
    bytes: usize,
    /// Whether it is to be written now.
    is_due: bool,
    is_over: bool,
    /// Written blocks, kept for their memory.
    spare: Vec<Vec<u8>>,
    written: u64,
    failure: Option<String>,
}

enum Item {
    File(Box<(Node, Head)>),
    Steps(Vec<u8>),
}

impl Ring {
    pub(super) fn start(folder: PathBuf, segments: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = Writer { folder: folder.clone(), segments, shared: Arc::clone(&shared), file: None };
        let writer = thread::Builder::new().name("synod recorder".into()).spawn(|| writer.run())?;
        Ok(Self { folder, shared, writer: Some(writer) })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many bytes were written, and why nothing more is.
    pub(super) fn progress(&self) -> (u64, Option<String>) {
        let waiting = self.shared.lock();
        (waiting.written, waiting.failure.clone())
    }

    /// Begins a file. False if nothing more is written.
    pub(super) fn begin(&self, node: Node, head: Head) -> bool {
        let mut waiting = self.shared.lock();
        waiting.items.push_back(Item::File(Box::new((node, head))));
        waiting.is_due = true;
        self.shared.due.notify_one();
        waiting.failure.is_none()
    }

    /// Adds to the present file. False if there is no room, or if nothing more is written.
    #[inline]
    pub(super) fn put(&self, bytes: &[u8], most: usize) -> bool {
        let mut waiting = self.shared.lock();
        if waiting.bytes + bytes.len() > most || waiting.failure.is_some() {
            return false;
        }
        waiting.bytes += bytes.len();
        match waiting.items.back_mut() {
            Some(Item::Steps(steps)) if steps.len() + bytes.len() <= steps.capacity() => steps.extend_from_slice(bytes),
            _ => {
                let mut steps = waiting.spare.pop().unwrap_or_else(|| Vec::with_capacity(BLOCK));
                steps.extend_from_slice(bytes);
                waiting.items.push_back(Item::Steps(steps));
            }
        }
        if waiting.bytes >= BLOCK && !waiting.is_due {
            waiting.is_due = true;
            self.shared.due.notify_one();
        }
        true
    }

    /// Whether the thread keeps up, and can write.
    pub(super) fn has_room(&self, most: usize) -> bool {
        let waiting = self.shared.lock();
        waiting.failure.is_none() && waiting.bytes <= most / 2 && waiting.items.len() < 4
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.due.notify_one();
        if let Some(writer) = self.writer.take() {
            // If it has panicked, there is nothing to be saved.
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Writer {
    folder: PathBuf,
    segments: usize,
    shared: Arc<Shared>,
    file: Option<File>,
}

impl Writer {
    fn run(mut self) {
        loop {
            let mut waiting = self.shared.lock();
            if !waiting.is_due && !waiting.is_over {
                let waited = self.shared.due.wait_timeout(waiting, PERIOD);
                waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            let is_over = waiting.is_over;
            (waiting.bytes, waiting.is_due) = (0, false);
            let items = mem::take(&mut waiting.items);
            drop(waiting);
            let mut spare = Vec::new();
            let result = items.into_iter().try_fold(0, |sum, item| Ok(sum + self.write(item, &mut spare)?));
            let mut waiting = self.shared.lock();
            let room = SPARES.saturating_sub(waiting.spare.len());
            waiting.spare.extend(spare.into_iter().take(room));
            match result {
                Ok(written) => waiting.written += written,
                Err(error) => {
                    let error: io::Error = error;
                    waiting.failure = Some(format!("{}: {error}", self.folder.display()));
                    return;
                }
            }
            if is_over && waiting.items.is_empty() {
                return;
            }
        }
    }

    /// Returns how many bytes it took.
    fn write(&mut self, item: Item, spare: &mut Vec<Vec<u8>>) -> io::Result<u64> {
        match item {
            Item::File(begun) => self.begin(*begun),
            Item::Steps(mut steps) => {
                let written = self.file.as_mut().map_or(Ok(0), |file| file::block(file, &steps));
                steps.clear();
                // One that had to be larger is not kept.
                if steps.capacity() <= BLOCK {
                    spare.push(steps);
                }
                written
            }
        }
    }

    /// Begins the next file of the node, and removes the oldest.
    fn begin(&mut self, (node, head): (Node, Head)) -> io::Result<u64> {
        let known = numbered(&self.folder, Some(head.node))?;
        let number = known.last().map_or(1, |(number, _)| number + 1);
        let old = (known.len() + 1).saturating_sub(self.segments);
        for (_, path) in known.into_iter().take(old) {
            fs::remove_file(path)?;
        }
        let head = Head { number, ..head };
        let mut options = File::options();
        // It has the contents of transactions in it.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.write(true).create_new(true).open(self.folder.join(name(head.node, number)))?;
        let written = file::begin(&mut file, &head, &node)?;
        file.flush()?;
        self.file = Some(file);
        Ok(written)
    }
}
