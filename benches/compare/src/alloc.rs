//! A global allocator that counts, for the price of a few instructions.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ops::{Add, Sub},
};

/// What this thread has allocated so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocated {
    /// Calls that got memory, growing and moving included.
    pub count: u64,
    /// Bytes that those calls got.
    pub bytes: u64,
    /// Bytes that are in use, less what other threads freed and plus what they got.
    pub live: i64,
}

impl Allocated {
    /// What this thread has allocated up to now.
    pub fn now() -> Self {
        COUNTS.get()
    }

    /// The most bytes that were in use since this was asked last.
    pub fn take_peak() -> i64 {
        PEAK.replace(COUNTS.get().live)
    }
}

impl Add for Allocated {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self { count: self.count + more.count, bytes: self.bytes + more.bytes, live: self.live + more.live }
    }
}

impl Sub for Allocated {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { count: self.count - earlier.count, bytes: self.bytes - earlier.bytes, live: self.live - earlier.live }
    }
}

thread_local! {
    static COUNTS: Cell<Allocated> = const { Cell::new(Allocated { count: 0, bytes: 0, live: 0 }) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

fn got(size: usize) {
    let counts = COUNTS.get();
    let (count, bytes) = (counts.count + 1, counts.bytes + size as u64);
    let live = counts.live + size as i64;
    COUNTS.set(Allocated { count, bytes, live });
    if live > PEAK.get() {
        PEAK.set(live);
    }
}

fn freed(size: usize) {
    let counts = COUNTS.get();
    COUNTS.set(Allocated { live: counts.live - size as i64, ..counts });
}

// SAFETY: every call goes to the system's allocator with what the caller gave, and the counts allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        got(layout.size());
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        got(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        freed(layout.size());
        got(size);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        freed(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
