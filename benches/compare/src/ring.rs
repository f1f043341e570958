//! A network in memory: packets come out in the order in which they went in.

/// A queue that has all its room from birth, for packets that are copied.
pub struct Ring<T> {
    slots: Box<[T]>,
    head: usize,
    tail: usize,
}

impl<T: Copy> Ring<T> {
    /// Room for `room` packets, a power of two; `blank` fills the slots that were never used.
    pub fn new(room: usize, blank: T) -> Self {
        assert!(room.is_power_of_two(), "the place of a packet is its number, masked");
        Self { slots: vec![blank; room].into(), head: 0, tail: 0 }
    }

    /// Puts a packet in.
    pub fn push(&mut self, packet: T) {
        debug_assert!(self.tail - self.head < self.slots.len(), "the ring is full");
        let mask = self.slots.len() - 1;
        self.slots[self.tail & mask] = packet;
        self.tail += 1;
    }

    /// Takes the oldest packet out.
    pub fn pop(&mut self) -> Option<T> {
        if self.head == self.tail {
            return None;
        }
        let packet = self.slots[self.head & (self.slots.len() - 1)];
        self.head += 1;
        Some(packet)
    }
}
