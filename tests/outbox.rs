//! What an outbox promises: nothing is seen before the writes ahead of it are durable, whatever the order of events.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a real thread writes here, and may hang")]

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use proptest::{prelude::*, test_runner::FileFailurePersistence};
use synod::{Effect, EffectSink, Machine, NodeId, Outbox, Packet, Pending, Refusal, Released, Urgency};

/// Records, messages and decisions are numbers; one row of numbers for all three makes their order plain.
type Numbers = Outbox<u32, u32, u32>;

fn persist(number: u32) -> Effect<u32, u32, u32> {
    Effect::Persist(number)
}

fn send(to: u64, message: u32) -> Effect<u32, u32, u32> {
    Effect::Send { to: NodeId(to), message }
}

fn decide(number: u32) -> Effect<u32, u32, u32> {
    Effect::Decide(number)
}

fn packet(to: u64, messages: impl Into<Vec<u32>>) -> Packet<u32> {
    Packet { to: NodeId(to), messages: messages.into() }
}

fn outbox(effects: impl IntoIterator<Item = Effect<u32, u32, u32>>) -> Numbers {
    let mut outbox = Numbers::new();
    outbox.extend(effects);
    outbox
}

#[test]
fn an_empty_outbox_has_nothing_to_give() {
    let mut outbox = Numbers::default();
    assert!(outbox.is_empty() && !outbox.is_fenced());
    assert_eq!(outbox.len(), 0);
    assert!(outbox.take().is_none());
    assert!(outbox.take_free().is_none());
    assert!(!outbox.is_fenced(), "to ask is no failure");
}

#[test]
fn one_write_serves_many_steps_and_releases_what_follows_in_order() {
    let mut outbox = outbox([persist(1), send(7, 2), send(8, 3), persist(4), decide(5), send(7, 6), decide(7)]);
    assert_eq!(outbox.len(), 7);
    let pending = outbox.take().unwrap();
    assert!(outbox.is_empty());
    assert_eq!(pending.records(), [1, 4]);
    let released = pending.persisted();
    assert_eq!(released.packets(), [packet(7, [2, 6]), packet(8, [3])]);
    assert_eq!(released.decisions(), [5, 7]);
    assert_eq!(released.into_parts(), (vec![packet(7, [2, 6]), packet(8, [3])], vec![5, 7]));
}

#[test]
fn packets_are_in_the_order_in_which_their_nodes_were_first_named() {
    let mut outbox = outbox([send(9, 1), send(3, 2), send(9, 3), send(5, 4), send(3, 5)]);
    let released = outbox.take_free().unwrap();
    assert_eq!(released.packets(), [packet(9, [1, 3]), packet(3, [2, 5]), packet(5, [4])]);
}

#[test]
fn at_most_one_write_is_out_and_the_steps_go_on_meanwhile() {
    let mut outbox = outbox([persist(1), send(7, 2)]);
    let first = outbox.take().unwrap();
    outbox.extend([persist(3), send(7, 4)]);
    assert!(outbox.take().is_none());
    assert_eq!(outbox.len(), 2, "what came meanwhile waits");
    assert_eq!(first.persisted().packets(), [packet(7, [2])]);
    let second = outbox.take().unwrap();
    assert_eq!(second.records(), [3]);
    assert_eq!(second.persisted().packets(), [packet(7, [4])]);
}

#[test]
fn what_has_no_record_ahead_of_it_may_leave_at_once() {
    let mut outbox = outbox([send(7, 1), decide(2), persist(3), send(7, 4), decide(5)]);
    let free = outbox.take_free().unwrap();
    assert_eq!((free.packets(), free.decisions()), (&[packet(7, [1])][..], &[2][..]));
    assert!(outbox.take_free().is_none(), "a record is ahead of the rest");
    assert_eq!(outbox.len(), 3);
    let rest = outbox.take().unwrap();
    assert_eq!(rest.records(), [3]);
    assert_eq!(rest.persisted().packets(), [packet(7, [4])]);
}

#[test]
fn what_comes_during_a_write_does_not_leave_before_it_is_done() {
    let mut outbox = outbox([persist(1)]);
    let pending = outbox.take().unwrap();
    outbox.push(send(7, 2));
    assert!(outbox.take_free().is_none(), "it may depend on record 1");
    assert_eq!(pending.persisted().packets(), []);
    assert_eq!(outbox.take_free().unwrap().packets(), [packet(7, [2])]);
}

#[test]
fn sends_alone_can_be_taken_like_a_write_of_nothing() {
    let mut outbox = outbox([send(7, 1)]);
    let pending = outbox.take().unwrap();
    assert_eq!(pending.records(), [0; 0]);
    assert_eq!(pending.persisted().packets(), [packet(7, [1])]);
    assert!(!outbox.is_fenced());
}

#[test]
fn a_failed_write_fences_the_outbox_for_good() {
    fence(Pending::failed);
}

#[test]
fn a_dropped_write_fences_the_outbox_for_good() {
    fence(drop);
}

#[test]
fn a_writer_that_panics_fences_the_outbox() {
    fence(|pending| {
        let writer = thread::spawn(move || {
            let _pending = pending;
            std::panic::resume_unwind(Box::new("the disk is gone"));
        });
        assert!(writer.join().is_err());
    });
}

fn fence(lose: impl FnOnce(Pending<u32, u32, u32>)) {
    let mut outbox = outbox([persist(1), send(7, 2)]);
    let pending = outbox.take().unwrap();
    outbox.push(send(7, 3));
    lose(pending);
    assert!(outbox.is_fenced());
    for _ in 0..2 {
        assert!(outbox.take().is_none());
        assert!(outbox.take_free().is_none());
        let before = outbox.len();
        outbox.push(send(7, 4));
        outbox.extend([persist(5), decide(6)]);
        assert_eq!(outbox.len(), before, "a fenced outbox takes nothing more");
        assert!(outbox.is_fenced());
    }
}

#[test]
fn a_write_that_is_never_heard_of_again_holds_everything_back() {
    let mut outbox = outbox([persist(1), send(7, 2)]);
    std::mem::forget(outbox.take());
    outbox.push(send(7, 3));
    assert!(outbox.take().is_none());
    assert!(outbox.take_free().is_none());
}

#[test]
fn the_fate_of_one_outbox_is_not_that_of_another() {
    let mut one = outbox([persist(1)]);
    let mut other = outbox([persist(1), send(7, 2)]);
    drop(one.take());
    assert!(one.is_fenced() && !other.is_fenced());
    assert_eq!(other.take().unwrap().persisted().packets(), [packet(7, [2])]);
}

#[test]
fn an_outbox_knows_its_own_batch_from_another_ones() {
    let (mut one, mut other) = (outbox([persist(1)]), outbox([persist(1)]));
    let (first, second) = (one.take().unwrap(), other.take().unwrap());
    assert!(one.owns(&first) && other.owns(&second));
    assert!(!one.owns(&second) && !other.owns(&first));
}

/// A write that is confirmed here may be taken there before the confirmation has quite returned; that is no failure.
#[test]
fn a_confirmation_that_races_with_the_next_write_does_not_fence() {
    let (to_disk, writes) = mpsc::channel::<Pending<u32, u32, u32>>();
    let (to_loop, releases) = mpsc::channel::<Released<u32, u32>>();
    let disk = thread::spawn(move || {
        for pending in writes {
            to_loop.send(pending.persisted()).unwrap();
        }
    });
    let mut outbox = Numbers::new();
    let patience = Instant::now() + Duration::from_secs(10);
    for number in 0..20_000 {
        outbox.extend([persist(number), send(7, number)]);
        let pending = loop {
            match outbox.take() {
                Some(pending) => break pending,
                None => assert!(!outbox.is_fenced() && Instant::now() < patience, "write {number} was never taken"),
            }
            std::hint::spin_loop();
        };
        assert_eq!(pending.records(), [number]);
        to_disk.send(pending).unwrap();
    }
    drop(to_disk);
    disk.join().unwrap();
    let sent: Vec<u32> = releases.iter().flat_map(|released| released.packets()[0].messages.clone()).collect();
    assert_eq!(sent, (0..20_000).collect::<Vec<_>>());
    assert!(!outbox.is_fenced());
}

#[test]
fn the_effects_of_a_step_are_appended_to_those_of_steps_before() {
    struct Echo;
    impl Machine for Echo {
        type Input = u32;
        type Record = u32;
        type Message = u32;
        type Decision = u32;
        fn step_into(&mut self, input: u32, effects: &mut impl EffectSink<u32, u32, u32>) -> Result<(), Refusal> {
            let after = effects.persist(input, Urgency::Urgent);
            effects.send(NodeId(7), input, after);
            if input == 2 { Err(Refusal::StaleBallot) } else { Ok(()) }
        }
    }
    let mut outbox = outbox([send(7, 0)]);
    assert_eq!(outbox.step(&mut Echo, 1), Ok(()));
    assert_eq!(outbox.step(&mut Echo, 2), Err(Refusal::StaleBallot));
    let pending = outbox.take().unwrap();
    assert_eq!(pending.records(), [1, 2]);
    assert_eq!(pending.persisted().packets(), [packet(7, [0, 1, 2])]);
}

/// One event of a run with an outbox.
#[derive(Clone, Copy, Debug)]
enum Event {
    Persist,
    Send(u64),
    Decide,
    Take,
    TakeFree,
    Persisted,
    Failed,
    Dropped,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Persist),
        4 => (1..4u64).prop_map(Event::Send),
        2 => Just(Event::Decide),
        4 => Just(Event::Take),
        3 => Just(Event::TakeFree),
        4 => Just(Event::Persisted),
        1 => Just(Event::Failed),
        1 => Just(Event::Dropped),
    ]
}

/// The contract restated over one row of numbered effects.
#[derive(Default)]
struct Contract {
    /// All effects that were taken in, by number.
    effects: Vec<Effect<u32, u32, u32>>,
    /// How many of them have been given out or are being written.
    taken: usize,
    /// From where on those being written are.
    writing: Option<usize>,
    fenced: bool,
}

impl Contract {
    fn push(&mut self, effect: impl FnOnce(u32) -> Effect<u32, u32, u32>) -> Effect<u32, u32, u32> {
        let effect = effect(self.effects.len() as u32);
        if !self.fenced {
            self.effects.push(effect.clone());
        }
        effect
    }

    fn is_idle(&self) -> bool {
        self.writing.is_none() && !self.fenced
    }

    fn records(&self, range: std::ops::Range<usize>) -> Vec<u32> {
        self.effects[range]
            .iter()
            .filter_map(|e| if let Effect::Persist(record) = e { Some(*record) } else { None })
            .collect()
    }

    /// What the range sends, by destination.
    fn packets(&self, range: std::ops::Range<usize>) -> Vec<Packet<u32>> {
        let sends = || {
            self.effects[range.clone()]
                .iter()
                .filter_map(|e| if let Effect::Send { to, message } = e { Some((*to, *message)) } else { None })
        };
        let mut nodes: Vec<NodeId> = Vec::new();
        sends().for_each(|(to, _)| {
            if !nodes.contains(&to) {
                nodes.push(to)
            }
        });
        let of = |node| sends().filter(move |(to, _)| *to == node).map(|(_, message)| message).collect();
        nodes.into_iter().map(|to| Packet { to, messages: of(to) }).collect()
    }

    fn decisions(&self, range: std::ops::Range<usize>) -> Vec<u32> {
        self.effects[range]
            .iter()
            .filter_map(|e| if let Effect::Decide(decision) = e { Some(*decision) } else { None })
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_failure_persistence(FileFailurePersistence::WithSource("failures")))]

    #[test]
    fn in_any_order_of_events_the_contract_is_kept(events in prop::collection::vec(event(), 0..60)) {
        let (mut outbox, mut contract) = (Numbers::new(), Contract::default());
        let mut pending: Option<Pending<u32, u32, u32>> = None;
        for event in events {
            match event {
                Event::Persist => outbox.push(contract.push(persist)),
                Event::Send(to) => outbox.push(contract.push(|number| send(to, number))),
                Event::Decide => outbox.push(contract.push(decide)),
                Event::Take => {
                    let end = contract.effects.len();
                    let taken = outbox.take();
                    prop_assert_eq!(taken.is_some(), contract.is_idle() && contract.taken < end);
                    if let Some(taken) = taken {
                        prop_assert_eq!(taken.records(), contract.records(contract.taken..end));
                        contract.writing = Some(contract.taken);
                        contract.taken = end;
                        pending = Some(taken);
                    }
                }
                Event::TakeFree => {
                    let waiting = contract.effects[contract.taken..].iter();
                    let free = waiting.take_while(|effect| !matches!(effect, Effect::Persist(_))).count();
                    let released = outbox.take_free();
                    prop_assert_eq!(released.is_some(), contract.is_idle() && free > 0);
                    if let Some(released) = released {
                        let range = contract.taken..contract.taken + free;
                        prop_assert_eq!(released.packets(), contract.packets(range.clone()));
                        prop_assert_eq!(released.decisions(), contract.decisions(range));
                        contract.taken += free;
                    }
                }
                Event::Persisted => if let (Some(pending), Some(start)) = (pending.take(), contract.writing.take()) {
                    let released = pending.persisted();
                    prop_assert_eq!(released.packets(), contract.packets(start..contract.taken));
                    prop_assert_eq!(released.decisions(), contract.decisions(start..contract.taken));
                }
                Event::Failed | Event::Dropped => if let Some(pending) = pending.take() {
                    if matches!(event, Event::Failed) { pending.failed() } else { drop(pending) }
                    contract.fenced = true;
                }
            }
            prop_assert_eq!(outbox.is_fenced(), contract.fenced);
            let waiting = contract.effects.len() - contract.taken;
            prop_assert_eq!((outbox.len(), outbox.is_empty()), (waiting, waiting == 0));
        }
    }
}
