//! Paxos Commit by hand: `N` resource managers, `A` acceptors of which the first majority is used, the transaction
//! manager on the first acceptor's process, every other role on a process of its own.

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

#[derive(Clone, Copy)]
struct Transaction<const N: usize, const A: usize> {
    number: u64,
    value: Value,
    rms: [ResourceManager<N>; N],
    acceptors: [Acceptor<N>; A],
    manager: Manager<N>,
}

/// The floor of one transaction.
pub struct Floor<const N: usize, const A: usize> {
    transactions: Box<[Transaction<N, A>]>,
    network: Ring<Packet<N>>,
    in_flight: usize,
    faster: bool,
    /// How many transactions were begun, and how many of them are over.
    begun: u64,
    over: u64,
    messages: u64,
}

impl<const N: usize, const A: usize> Floor<N, A> {
    const MANAGER: u32 = N as u32;
    const QUORUM: usize = A / 2 + 1;
    const ALL: u32 = (1 << N) - 1;
    const BLANK: Transaction<N, A> = Transaction {
        number: 0,
        value: [0; 16],
        rms: [ResourceManager { vote: None, outcome: None, prepared: [0; N], retired: false }; N],
        acceptors: [Acceptor { voted: 0, prepared: [false; N], retired: false }; A],
        manager: Manager { prepared: [0; N], outcome: None, finished: 0, noted: 0 },
    };

    /// With `in_flight` transactions at a time, and room for `open` that are decided and not over.
    pub fn new(in_flight: usize, open: usize, faster: bool) -> Self {
        let packet = Packet { from: 0, to: 0, number: 0, value: [0; 16], message: Message::Begin };
        Self {
            transactions: vec![Self::BLANK; open.next_power_of_two()].into(),
            network: Ring::new((in_flight.max(open) * N * A).next_power_of_two(), packet),
            in_flight,
            faster,
            begun: 0,
            over: 0,
            messages: 0,
        }
    }

    fn at(&mut self, number: u64) -> &mut Transaction<N, A> {
        let mask = self.transactions.len() - 1;
        &mut self.transactions[number as usize & mask]
    }

    fn send(&mut self, from: u32, to: u32, number: u64, value: Value, message: Message<N>) {
        self.messages += 1;
        self.network.push(Packet { from, to, number, value, message });
    }

    fn run(&mut self) {
        while let Some(packet) = self.network.pop() {
            self.deliver(packet);
        }
    }

    fn begin(&mut self) {
        let number = self.begun;
        self.begun += 1;
        let value = value(number);
        *self.at(number) = Transaction { number, value, ..Self::BLANK };
        self.vote(0, number, value);
        self.send(0, Self::MANAGER, number, value, Message::Begin);
    }

    /// The resource is asked, and is prepared.
    fn vote(&mut self, rm: u32, number: u64, value: Value) {
        let prepared = true;
        self.at(number).rms[rm as usize].vote = Some(prepared);
        for acceptor in 0..Self::QUORUM as u32 {
            self.send(rm, N as u32 + acceptor, number, value, Message::Vote { prepared });
        }
    }

    fn deliver(&mut self, Packet { from, to, number, value, message }: Packet<N>) {
        let known = self.at(number);
        if known.number != number || known.value != value {
            return;
        }
        match message {
            Message::Begin => {
                for rm in (0..N as u32).filter(|rm| *rm != from) {
                    self.send(to, rm, number, value, Message::Prepare);
                }
            }
            Message::Prepare => {
                if known.rms[to as usize].vote.is_none() {
                    self.vote(to, number, value);
                }
            }
            Message::Vote { prepared } => {
                let acceptor = &mut known.acceptors[to as usize - N];
                acceptor.voted |= 1 << from;
                acceptor.prepared[from as usize] = prepared;
                if acceptor.voted == Self::ALL {
                    let prepared = acceptor.prepared;
                    self.bundle(to, number, value, prepared);
                }
            }
            Message::Bundle { prepared } if to == Self::MANAGER => self.learn(from, number, value, prepared),
            Message::Bundle { prepared } => {
                let rm = &mut known.rms[to as usize];
                if count(&mut rm.prepared, from, prepared, Self::QUORUM) {
                    rm.outcome.get_or_insert(true);
                }
            }
            Message::Outcome { committed } => {
                known.rms[to as usize].outcome.get_or_insert(committed);
            }
            Message::Finished { committed } => {
                let manager = &mut known.manager;
                manager.finished |= 1 << from;
                manager.outcome.get_or_insert(committed);
                if manager.finished == Self::ALL {
                    self.retire(number, value);
                }
            }
            Message::Retired => {
                if (to as usize) < N {
                    known.rms[to as usize].retired = true;
                } else {
                    known.acceptors[to as usize - N].retired = true;
                    self.send(to, from, number, value, Message::RetiredNoted);
                }
            }
            Message::RetiredNoted => known.manager.noted |= 1 << (from as usize - N),
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
        let manager = &mut self.at(number).manager;
        if manager.outcome.is_none() && count(&mut manager.prepared, from, prepared, Self::QUORUM) {
            manager.outcome = Some(true);
            for rm in 0..N as u32 {
                self.send(Self::MANAGER, rm, number, value, Message::Outcome { committed: true });
            }
        }
    }

    fn retire(&mut self, number: u64, value: Value) {
        let transaction = self.at(number);
        transaction.acceptors[0].retired = true;
        transaction.manager.noted |= 1;
        for process in (0..(N + A) as u32).filter(|process| *process != Self::MANAGER) {
            self.send(Self::MANAGER, process, number, value, Message::Retired);
        }
    }
}

/// Counts one acceptor's bundle. Returns whether every resource manager is now known to be prepared.
fn count<const N: usize>(counts: &mut [u32; N], from: u32, prepared: [bool; N], quorum: usize) -> bool {
    for (count, prepared) in counts.iter_mut().zip(prepared) {
        *count |= u32::from(prepared) << from;
    }
    counts.iter().all(|count| count.count_ones() as usize >= quorum)
}

impl<const N: usize, const A: usize> Subject for Floor<N, A> {
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
        for number in self.over..self.begun {
            let value = self.at(number).value;
            for rm in 0..N as u32 {
                let outcome = self.at(number).rms[rm as usize].outcome;
                let committed = outcome.expect("the floor decides");
                self.send(rm, Self::MANAGER, number, value, Message::Finished { committed });
            }
        }
        self.run();
        for number in self.over..self.begun {
            let transaction = self.at(number);
            assert_eq!(transaction.manager.noted.count_ones() as usize, A);
            assert!(transaction.rms.iter().all(|rm| rm.retired) && transaction.acceptors.iter().all(|it| it.retired));
        }
        self.over = self.begun;
        self.messages - before
    }
}
