//! Paxos Commit by hand: `N` resource managers, `A` acceptors of which the first majority is used, the transaction
//! manager on the first acceptor's process, every other role on a process of its own.

use std::hint::black_box;

use crate::{
    ring::Ring,
    subject::{Subject, Value, value},
};

/// What is said. A transaction's number and its value go with each.
#[derive(Clone, Copy)]
enum Message<const N: usize> {
    Begin,
    Prepare,
    Vote { prepared: bool },
    Bundle { prepared: [bool; N] },
    Outcome { committed: bool },
    Finished { committed: bool },
    Retired,
    RetiredNoted,
}

#[derive(Clone, Copy)]
struct Packet<const N: usize> {
    from: u32,
    to: u32,
    number: u64,
    value: Value,
    message: Message<N>,
}

/// What one process knows of one transaction: of which it is, and its own part.
#[derive(Clone, Copy)]
struct Known<P> {
    number: u64,
    value: Value,
    part: P,
}

#[derive(Clone, Copy)]
struct ResourceManager<const N: usize> {
    vote: Option<bool>,
    outcome: Option<bool>,
    /// In Faster mode: which acceptors have accepted that which resource manager is prepared.
    prepared: [u32; N],
    retired: bool,
}

#[derive(Clone, Copy)]
struct Acceptor<const N: usize> {
    voted: u32,
    prepared: [bool; N],
    retired: bool,
}

#[derive(Clone, Copy)]
struct Manager<const N: usize> {
    /// Which acceptors have accepted that which resource manager is prepared.
    prepared: [u32; N],
    outcome: Option<bool>,
    finished: u32,
    noted: u32,
}

/// The floor of one transaction. Every process has its own array of what it knows. Where `AS_BYTES`, every packet is
/// written as bytes and read again.
pub struct Floor<const N: usize, const A: usize, const AS_BYTES: bool = false> {
    rms: [Box<[Known<ResourceManager<N>>]>; N],
    acceptors: [Box<[Known<Acceptor<N>>]>; A],
    manager: Box<[Known<Manager<N>>]>,
    network: Ring<Packet<N>>,
    in_flight: usize,
    faster: bool,
    /// Where packets become bytes, if they do.
    wire: Vec<u8>,
    /// How many transactions were begun, and how many of them are over.
    begun: u64,
    over: u64,
    messages: u64,
}

impl<P: Copy> Known<P> {
    /// What there is in place of `number`, which is made new if that is another transaction.
    fn at(array: &mut [Self], number: u64, value: Value, blank: P) -> &mut P {
        let mask = array.len() - 1;
        let known = &mut array[number as usize & mask];
        if known.number != number || known.value != value {
            *known = Self { number, value, part: blank };
        }
        &mut known.part
    }
}

impl<const N: usize, const A: usize, const AS_BYTES: bool> Floor<N, A, AS_BYTES> {
    const MANAGER: u32 = N as u32;
    const QUORUM: usize = A / 2 + 1;
    const ALL: u32 = (1 << N) - 1;
    const RM: ResourceManager<N> = ResourceManager { vote: None, outcome: None, prepared: [0; N], retired: false };
    const ACCEPTOR: Acceptor<N> = Acceptor { voted: 0, prepared: [false; N], retired: false };
    const TM: Manager<N> = Manager { prepared: [0; N], outcome: None, finished: 0, noted: 0 };

    /// With `in_flight` transactions at a time.
    pub fn new(in_flight: usize, faster: bool) -> Self {
        fn array<P: Copy>(len: usize, blank: P) -> Box<[Known<P>]> {
            vec![Known { number: 0, value: [0; 16], part: blank }; len].into()
        }
        let (room, packet) = (in_flight.next_power_of_two(), Packet::BLANK);
        Self {
            rms: std::array::from_fn(|_| array(room, Self::RM)),
            acceptors: std::array::from_fn(|_| array(room, Self::ACCEPTOR)),
            manager: array(room, Self::TM),
            network: Ring::new((room * N * A).next_power_of_two(), packet),
            in_flight,
            faster,
            wire: Vec::with_capacity(64),
            begun: 0,
            over: 0,
            messages: 0,
        }
    }

    fn rm(&mut self, place: u32, number: u64, value: Value) -> &mut ResourceManager<N> {
        Known::at(&mut self.rms[place as usize], number, value, Self::RM)
    }

    fn acceptor(&mut self, process: u32, number: u64, value: Value) -> &mut Acceptor<N> {
        Known::at(&mut self.acceptors[process as usize - N], number, value, Self::ACCEPTOR)
    }

    fn manager(&mut self, number: u64, value: Value) -> &mut Manager<N> {
        Known::at(&mut self.manager, number, value, Self::TM)
    }

    fn send(&mut self, from: u32, to: u32, number: u64, value: Value, message: Message<N>) {
        self.messages += 1;
        let packet = Packet { from, to, number, value, message };
        if AS_BYTES {
            self.wire.clear();
            packet.encode(&mut self.wire);
            self.network.push(Packet::decode(black_box(&self.wire)).expect("it was just encoded"));
        } else {
            self.network.push(packet);
        }
    }

    fn run(&mut self) {
        while let Some(packet) = self.network.pop() {
            self.deliver(packet);
        }
    }

    fn begin(&mut self) {
        self.begun += 1;
        let (number, value) = (self.begun, value(self.begun));
        self.vote(0, number, value);
        self.send(0, Self::MANAGER, number, value, Message::Begin);
    }

    /// The resource is asked, and is prepared.
    fn vote(&mut self, rm: u32, number: u64, value: Value) {
        let prepared = true;
        self.rm(rm, number, value).vote = Some(prepared);
        for acceptor in 0..Self::QUORUM as u32 {
            self.send(rm, N as u32 + acceptor, number, value, Message::Vote { prepared });
        }
    }

    fn deliver(&mut self, Packet { from, to, number, value, message }: Packet<N>) {
        match message {
            Message::Begin => {
                for rm in (0..N as u32).filter(|rm| *rm != from) {
                    self.send(to, rm, number, value, Message::Prepare);
                }
            }
            Message::Prepare => {
                if self.rm(to, number, value).vote.is_none() {
                    self.vote(to, number, value);
                }
            }
            Message::Vote { prepared } => {
                let acceptor = self.acceptor(to, number, value);
                acceptor.voted |= 1 << from;
                acceptor.prepared[from as usize] = prepared;
                if acceptor.voted == Self::ALL {
                    let prepared = acceptor.prepared;
                    self.bundle(to, number, value, prepared);
                }
            }
            Message::Bundle { prepared } if to == Self::MANAGER => self.learn(from, number, value, prepared),
            Message::Bundle { prepared } => {
                let rm = self.rm(to, number, value);
                if count(&mut rm.prepared, from, prepared, Self::QUORUM) {
                    rm.outcome.get_or_insert(true);
                }
            }
            Message::Outcome { committed } => {
                self.rm(to, number, value).outcome.get_or_insert(committed);
            }
            Message::Finished { committed } => {
                let manager = self.manager(number, value);
                manager.finished |= 1 << from;
                manager.outcome.get_or_insert(committed);
                if manager.finished == Self::ALL {
                    self.retire(number, value);
                }
            }
            Message::Retired => {
                if to < Self::MANAGER {
                    self.rm(to, number, value).retired = true;
                } else {
                    self.acceptor(to, number, value).retired = true;
                    self.send(to, from, number, value, Message::RetiredNoted);
                }
            }
            Message::RetiredNoted => self.manager(number, value).noted |= 1 << (from - Self::MANAGER),
        }
    }

    fn bundle(&mut self, from: u32, number: u64, value: Value, prepared: [bool; N]) {
        if self.faster {
            for rm in 0..N as u32 {
                self.send(from, rm, number, value, Message::Bundle { prepared });
            }
        } else if from == Self::MANAGER {
            // On one process: no packet.
            self.learn(from, number, value, prepared);
        } else {
            self.send(from, Self::MANAGER, number, value, Message::Bundle { prepared });
        }
    }

    fn learn(&mut self, from: u32, number: u64, value: Value, prepared: [bool; N]) {
        let manager = self.manager(number, value);
        if manager.outcome.is_none() && count(&mut manager.prepared, from, prepared, Self::QUORUM) {
            manager.outcome = Some(true);
            for rm in 0..N as u32 {
                self.send(Self::MANAGER, rm, number, value, Message::Outcome { committed: true });
            }
        }
    }

    fn retire(&mut self, number: u64, value: Value) {
        self.acceptor(Self::MANAGER, number, value).retired = true;
        self.manager(number, value).noted |= 1;
        for process in (0..(N + A) as u32).filter(|process| *process != Self::MANAGER) {
            self.send(Self::MANAGER, process, number, value, Message::Retired);
        }
    }
}

impl<const N: usize> Packet<N> {
    /// A fixed layout: from, to, number, value, what is said, and for a bundle a bit for each resource manager.
    #[inline]
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.from.to_le_bytes());
        bytes.extend_from_slice(&self.to.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.value);
        let (tag, word) = match self.message {
            Message::Begin => (0, 0),
            Message::Prepare => (1, 0),
            Message::Vote { prepared } => (2, u64::from(prepared)),
            Message::Bundle { prepared } => (3, bits(prepared)),
            Message::Outcome { committed } => (4, u64::from(committed)),
            Message::Finished { committed } => (5, u64::from(committed)),
            Message::Retired => (6, 0),
            Message::RetiredNoted => (7, 0),
        };
        bytes.push(tag);
        bytes.extend_from_slice(&u64::to_le_bytes(word));
    }

    /// What [`encode`](Self::encode) made these bytes of.
    #[inline]
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (from, rest) = bytes.split_first_chunk()?;
        let (to, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (value, rest) = rest.split_first_chunk()?;
        let (tag, rest) = rest.split_first()?;
        let word = u64::from_le_bytes(rest.try_into().ok()?);
        let message = match tag {
            0 => Message::Begin,
            1 => Message::Prepare,
            2 => Message::Vote { prepared: word == 1 },
            3 => Message::Bundle { prepared: std::array::from_fn(|rm| word >> rm & 1 == 1) },
            4 => Message::Outcome { committed: word == 1 },
            5 => Message::Finished { committed: word == 1 },
            6 => Message::Retired,
            7 => Message::RetiredNoted,
            _ => return None,
        };
        let (from, to) = (u32::from_le_bytes(*from), u32::from_le_bytes(*to));
        Some(Self { from, to, number: u64::from_le_bytes(*number), value: *value, message })
    }

    const BLANK: Self = Self { from: 0, to: 0, number: 0, value: [0; 16], message: Message::Begin };
}

fn bits<const N: usize>(prepared: [bool; N]) -> u64 {
    prepared.iter().enumerate().fold(0, |word, (rm, prepared)| word | u64::from(*prepared) << rm)
}

/// Counts one acceptor's bundle. Returns whether every resource manager is now known to be prepared.
fn count<const N: usize>(counts: &mut [u32; N], from: u32, prepared: [bool; N], quorum: usize) -> bool {
    for (count, prepared) in counts.iter_mut().zip(prepared) {
        *count |= u32::from(prepared) << from;
    }
    counts.iter().all(|count| count.count_ones() as usize >= quorum)
}

impl<const N: usize, const A: usize, const AS_BYTES: bool> Subject for Floor<N, A, AS_BYTES> {
    fn decide(&mut self, decisions: usize) -> u64 {
        let before = self.messages;
        for _ in 0..decisions / self.in_flight {
            for _ in 0..self.in_flight {
                self.begin();
            }
            self.run();
        }
        self.messages - before
    }

    fn complete(&mut self) -> u64 {
        let before = self.messages;
        for number in self.over + 1..=self.begun {
            let value = value(number);
            for rm in 0..N as u32 {
                let committed = self.rm(rm, number, value).outcome.expect("the floor decides");
                self.send(rm, Self::MANAGER, number, value, Message::Finished { committed });
            }
        }
        self.run();
        for number in self.over + 1..=self.begun {
            let value = value(number);
            assert_eq!(self.manager(number, value).noted.count_ones() as usize, A);
            assert!((0..N as u32).all(|rm| self.rm(rm, number, value).retired));
        }
        self.over = self.begun;
        self.messages - before
    }
}
