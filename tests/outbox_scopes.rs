//! What an outbox promises of effects with scopes: each leaves when what it rests on is durable, not before, and not later.

use std::collections::BTreeSet;

use proptest::{prelude::*, test_runner::FileFailurePersistence};
use synod::{Effect, EffectSink, NodeId, Outbox, Pending, Released, Scope, Urgency};

type Numbers = Outbox<u32, u32, u32>;

fn sent(released: Option<Released<u32, u32>>) -> Vec<u32> {
    released.map_or_else(Vec::new, |released| {
        released.packets().iter().flat_map(|packet| packet.messages.iter().copied()).collect()
    })
}

#[test]
fn a_send_that_rests_on_nothing_leaves_while_an_unrelated_batch_is_written() {
    let mut outbox = Numbers::new();
    outbox.persist(1, Urgency::Urgent);
    let out = outbox.take().unwrap();
    outbox.send(NodeId(7), 2, Scope::NOTHING);
    assert_eq!(sent(outbox.take_free()), [2]);
    assert!(sent(Some(out.persisted())).is_empty());
}

#[test]
fn a_send_waits_for_the_batch_that_holds_its_record_and_for_no_later_one() {
    let mut outbox = Numbers::new();
    let first = outbox.persist(1, Urgency::Urgent);
    let out = outbox.take().unwrap();
    let second = outbox.persist(2, Urgency::Urgent);
    outbox.send(NodeId(7), 3, first);
    outbox.send(NodeId(7), 4, second);
    assert!(!outbox.is_durable(first) && !outbox.is_durable(second));
    assert!(outbox.take_free().is_none(), "neither batch is durable");
    assert!(sent(Some(out.persisted())).is_empty(), "what came after the batch was taken is not in it");
    assert!(outbox.is_durable(first) && !outbox.is_durable(second));
    assert_eq!(sent(outbox.take_free()), [3]);
    assert_eq!(sent(Some(outbox.take().unwrap().persisted())), [4]);
    assert!(outbox.is_durable(second) && outbox.is_empty());
}

#[test]
fn a_record_that_was_pushed_without_a_scope_holds_up_everything_after_it() {
    let mut outbox = Numbers::new();
    outbox.push(Effect::Persist(1));
    outbox.send(NodeId(7), 2, Scope::NOTHING);
    assert!(outbox.take_free().is_none());
    assert_eq!(sent(Some(outbox.take().unwrap().persisted())), [2]);
}

#[test]
fn only_urgent_records_ask_for_a_write() {
    let mut outbox = Numbers::new();
    let rides = outbox.persist(1, Urgency::RidesAlong);
    outbox.send(NodeId(7), 2, rides);
    assert!(outbox.has_records() && !outbox.is_urgent(), "what waits behind a record that rides along can wait, too");
    outbox.persist(3, Urgency::Urgent);
    assert!(outbox.is_urgent());
    let out = outbox.take().unwrap();
    assert_eq!(out.records(), [1, 3], "the order is that of the steps");
    assert!(!outbox.is_urgent() && !outbox.has_records());
    assert_eq!(sent(Some(out.persisted())), [2]);
}

#[test]
fn a_fenced_outbox_is_durable_in_nothing_and_releases_not_even_what_was_free() {
    let mut outbox = Numbers::new();
    outbox.persist(1, Urgency::Urgent);
    let out = outbox.take().unwrap();
    outbox.send(NodeId(7), 2, Scope::NOTHING);
    out.failed();
    assert!(outbox.take_free().is_none() && outbox.take().is_none());
    assert!(!outbox.is_durable(Scope::NOTHING));
}

/// One event of a run with an outbox. Numbers choose among the records so far.
#[derive(Clone, Copy, Debug)]
enum Event {
    Persist(bool),
    /// Rests on the records that the bits choose, of the last eight.
    Send(u64, u8),
    Decide(u8),
    /// Without a scope.
    PushSend(u64),
    PushRecord,
    Take,
    TakeFree,
    Persisted,
    Failed,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => any::<bool>().prop_map(Event::Persist),
        6 => (1..4_u64, any::<u8>()).prop_map(|(to, on)| Event::Send(to, on)),
        3 => any::<u8>().prop_map(Event::Decide),
        1 => (1..4_u64).prop_map(Event::PushSend),
        1 => Just(Event::PushRecord),
        4 => Just(Event::Take),
        4 => Just(Event::TakeFree),
        4 => Just(Event::Persisted),
        1 => Just(Event::Failed),
    ]
}

/// An effect that waits: its number, its destination if it is a message, and the records that it rests on.
#[derive(Clone, Debug)]
struct Waiting {
    number: u32,
    to: Option<u64>,
    on: BTreeSet<u32>,
    /// Whether it went along with the batch that is out.
    is_out: bool,
    /// Whether it waits for that batch whatever is in it: without a scope, an effect waits for everything before it.
    waits_for_out: bool,
}

/// The contract restated: every effect with the set of records that it rests on.
#[derive(Default)]
struct Contract {
    /// The records that were persisted, in order, with their scopes.
    records: Vec<(u32, Scope)>,
    /// How many of them were taken, and how many of those are durable.
    taken: usize,
    durable: BTreeSet<u32>,
    is_out: bool,
    fenced: bool,
    /// The last record that was pushed without a scope.
    barrier: Option<u32>,
    urgent: bool,
    waiting: Vec<Waiting>,
    next: u32,
}

impl Contract {
    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// The records that `bits` choose, and their scope.
    fn choose(&self, bits: u8) -> (BTreeSet<u32>, Scope) {
        let chosen = self.records.iter().rev().take(8).enumerate().filter(|(place, _)| bits >> place & 1 == 1);
        chosen.fold((BTreeSet::new(), Scope::NOTHING), |(mut on, scope), (_, (number, of))| {
            on.insert(*number);
            (on, scope.and(*of))
        })
    }

    fn wait(&mut self, number: u32, to: Option<u64>, mut on: BTreeSet<u32>, after: Scope) {
        on.extend(self.barrier);
        let waits_for_out = after == Scope::EVERYTHING && self.is_out;
        if after == Scope::EVERYTHING {
            on.extend(self.records.iter().map(|record| record.0));
        }
        if !self.fenced {
            self.waiting.push(Waiting { number, to, on, is_out: false, waits_for_out });
        }
    }

    /// Whether an effect may leave: its records are durable, and all that were written before them.
    fn is_free(&self, waiting: &Waiting) -> bool {
        !waiting.is_out && !waiting.waits_for_out && waiting.on.is_subset(&self.durable)
    }

    /// What leaves now, of those that `leaves` chooses.
    fn release(&mut self, leaves: impl Fn(&Self, &Waiting) -> bool) -> Vec<Waiting> {
        let leaving: Vec<bool> = self.waiting.iter().map(|waiting| leaves(self, waiting)).collect();
        let mut flags = leaving.into_iter();
        self.waiting.extract_if(.., |_| flags.next().unwrap_or(false)).collect()
    }
}

/// The messages of each destination, in order, and the decisions: as the contract has it, and as the outbox has it.
fn same(expected: &[Waiting], released: Option<Released<u32, u32>>) -> Result<(), TestCaseError> {
    let (packets, decisions) = released.map(Released::into_parts).unwrap_or_default();
    let of = |to: u64| expected.iter().filter(move |waiting| waiting.to == Some(to)).map(|waiting| waiting.number);
    for packet in &packets {
        let (mut got, mut due) = (packet.messages.clone(), of(packet.to.0).collect::<Vec<_>>());
        got.sort_unstable();
        due.sort_unstable();
        prop_assert_eq!(got, due, "to {}", packet.to);
    }
    let sent: usize = packets.iter().map(|packet| packet.messages.len()).sum();
    prop_assert_eq!(sent, expected.iter().filter(|waiting| waiting.to.is_some()).count());
    let mut decisions = decisions;
    decisions.sort_unstable();
    let due: Vec<u32> = expected.iter().filter(|waiting| waiting.to.is_none()).map(|waiting| waiting.number).collect();
    prop_assert_eq!(decisions, due);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_failure_persistence(FileFailurePersistence::WithSource("failures")))]

    #[test]
    fn every_effect_leaves_once_its_records_are_durable_and_not_before(events in prop::collection::vec(event(), 0..80)) {
        let (mut outbox, mut contract) = (Numbers::new(), Contract::default());
        let mut pending: Option<Pending<u32, u32, u32>> = None;
        for event in events {
            match event {
                Event::Persist(urgent) => {
                    let number = contract.number();
                    let scope = outbox.persist(number, if urgent { Urgency::Urgent } else { Urgency::RidesAlong });
                    if !contract.fenced {
                        contract.records.push((number, scope));
                        contract.urgent |= urgent;
                    }
                }
                Event::PushRecord => {
                    let number = contract.number();
                    outbox.push(Effect::Persist(number));
                    if !contract.fenced {
                        // Its scope is that of its batch: one that is persisted along with it tells.
                        contract.records.push((number, Scope::EVERYTHING));
                        contract.barrier = Some(number);
                        contract.urgent = true;
                    }
                }
                Event::Send(to, on) => {
                    let (number, (on, after)) = (contract.number(), contract.choose(on));
                    outbox.send(NodeId(to), number, after);
                    contract.wait(number, Some(to), on, after);
                }
                Event::Decide(on) => {
                    let (number, (on, after)) = (contract.number(), contract.choose(on));
                    outbox.decide(number, after);
                    contract.wait(number, None, on, after);
                }
                Event::PushSend(to) => {
                    let number = contract.number();
                    outbox.push(Effect::Send { to: NodeId(to), message: number });
                    contract.wait(number, Some(to), BTreeSet::new(), Scope::EVERYTHING);
                }
                Event::Take => {
                    let due = !contract.fenced && !contract.is_out
                        && (contract.taken < contract.records.len() || !contract.waiting.is_empty());
                    let taken = outbox.take();
                    prop_assert_eq!(taken.is_some(), due);
                    if let Some(taken) = taken {
                        let records: Vec<u32> = contract.records[contract.taken..].iter().map(|record| record.0).collect();
                        prop_assert_eq!(taken.records(), records);
                        contract.taken = contract.records.len();
                        contract.waiting.iter_mut().for_each(|waiting| waiting.is_out = true);
                        (contract.is_out, contract.urgent) = (true, false);
                        pending = Some(taken);
                    }
                }
                Event::TakeFree => {
                    let expected = if contract.fenced { Vec::new() } else { contract.release(Contract::is_free) };
                    let released = outbox.take_free();
                    prop_assert_eq!(released.is_some(), !expected.is_empty());
                    same(&expected, released)?;
                }
                Event::Persisted => if let Some(pending) = pending.take() {
                    contract.durable.extend(contract.records[..contract.taken].iter().map(|record| record.0));
                    contract.is_out = false;
                    contract.waiting.iter_mut().for_each(|waiting| waiting.waits_for_out = false);
                    let expected = contract.release(|_, waiting| waiting.is_out);
                    same(&expected, Some(pending.persisted()))?;
                }
                Event::Failed => if let Some(pending) = pending.take() {
                    pending.failed();
                    contract.fenced = true;
                    contract.is_out = false;
                }
            }
            prop_assert_eq!(outbox.is_fenced(), contract.fenced);
            if !contract.fenced {
                prop_assert_eq!(outbox.is_urgent(), contract.urgent);
                for (number, scope) in contract.records.iter().filter(|(_, scope)| *scope != Scope::EVERYTHING) {
                    prop_assert_eq!(outbox.is_durable(*scope), contract.durable.contains(number), "record {}", number);
                }
            }
        }
    }
}
