//! The same events yield the same effects, byte for byte: twice in a row, in debug and in release builds, on every
//! platform.

mod story;

use synod::{
    NodeId,
    codec::{encode_frame, encode_record},
    commit::{Cluster, Effect, Node},
    sim::{Event, Schedule, Setup, World},
};

/// The digest of all that the worlds of the first seeds do. It changes with the protocol, the encoding and the
/// schedule, and with nothing else.
const OF_SEEDS: u64 = 0x861f_1e33_77f0_b9c4;
/// The digest of all that happens in the stories that were kept. It does not depend on the schedule.
const OF_STORIES: u64 = 0x6a43_b19b_eb5b_ab72;

const SEEDS: u64 = 100;

#[test]
fn the_same_events_yield_the_same_bytes_twice_and_on_every_platform() {
    let mut digest = Digest::default();
    for seed in 0..SEEDS {
        let (setup, mut schedule) = Schedule::new(seed);
        let mut world = World::<Node>::new(setup.clone());
        let (mut events, mut once) = (Vec::new(), Vec::new());
        while let Some(event) = schedule.next(&world) {
            happen(&mut world, &event, &mut once);
            events.push(event);
        }
        assert!(once == bytes_of(&setup, &events), "seed {seed}: the second time differs");
        digest.add(&once);
    }
    assert_eq!(digest.0, OF_SEEDS, "the digest of {SEEDS} seeds is {:#x} here", digest.0);
}

#[test]
fn the_same_stories_yield_the_same_bytes_on_every_platform() {
    let mut digest = Digest::default();
    for (_, story) in story::all() {
        println!("{}", story.about);
        digest.add(&bytes_of(&story.setup, &story.events));
    }
    assert_eq!(digest.0, OF_STORIES, "the digest of the stories is {:#x} here", digest.0);
}

/// All effects of `events`, encoded.
fn bytes_of(setup: &Setup, events: &[Event]) -> Vec<u8> {
    let (mut world, mut bytes) = (World::<Node>::new(setup.clone()), Vec::new());
    for event in events {
        happen(&mut world, event, &mut bytes);
    }
    bytes
}

fn happen(world: &mut World<Node>, event: &Event, bytes: &mut Vec<u8>) {
    let effects = world.apply(event).expect("no property is broken");
    for effect in &effects {
        encode(&world.setup().cluster, effect, bytes);
    }
}

fn encode(cluster: &Cluster, effect: &Effect, bytes: &mut Vec<u8>) {
    match effect {
        Effect::Persist(record) => bytes.extend(encode_record(record)),
        Effect::Send { to, message } => {
            bytes.extend(encode_frame(cluster.id(), NodeId(0), *to, core::slice::from_ref(message)));
        }
        // Decisions never leave the process, so that the codec knows none.
        Effect::Decide(decision) => bytes.extend(serde_json::to_vec(decision).unwrap()),
    }
}

/// FNV-1a (Fowler, Noll and Vo).
struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
