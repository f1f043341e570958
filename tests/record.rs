//! A recorded node, stepped again, does what it did.

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::Index};
use synod::{
    NodeId, Packet, Quorums,
    commit::{Cluster, ClusterId, Config, Input, Message, Meta, Participants, Promised, Time, Transaction, Vote},
    perform::{
        Driver, Handlers, RecoverError, Resource,
        memory::MemoryStorage,
        record::{Options, Recorder, Recording, ReplayError, Step, files},
    },
    strategies,
};

/// What a driver is told.
#[derive(Clone, Debug)]
enum Told {
    Input(Input),
    Packet(NodeId, Vec<Message>),
    Write,
}

/// A resource that can always commit.
struct Yes;

impl Resource for Yes {
    fn recover(&mut self, _: &[Promised]) -> Result<Vec<Promised>, RecoverError> {
        Ok(Vec::new())
    }

    fn vote(&mut self, _: &Transaction, _: &Meta) -> Option<Vote> {
        Some(Vote::Prepared)
    }
}

fn told() -> impl Strategy<Value = (Cluster, Vec<Told>)> {
    strategies::cluster().prop_flat_map(|cluster| {
        let packet = (strategies::node(), vec(strategies::message(&cluster), 0..5));
        let told = prop_oneof![
            6 => strategies::input(&cluster).prop_map(Told::Input),
            3 => packet.prop_map(|(from, messages)| Told::Packet(from, messages)),
            2 => Just(Told::Write),
        ];
        (Just(cluster), vec(told, 0..60))
    })
}

/// Records a node of this cluster in files of this size.
fn record(folder: &Path, cluster: &Cluster, told: &[Told], segment_bytes: u64) {
    let me = cluster.acceptors().nodes().next().unwrap();
    let mut handlers = Handlers { storage: MemoryStorage::new(), transport: Vec::new(), resource: Yes };
    let mut driver = Driver::create(Config::new(cluster.clone(), me, 7), &mut handlers).unwrap();
    let options = Options::default().with_segment_bytes(segment_bytes).with_segments(1_000);
    driver.record(Recorder::open(folder, options).unwrap());
    for told in told {
        match told {
            Told::Input(input) => _ = driver.push(input.clone()),
            Told::Packet(from, messages) => driver.receive(*from, messages),
            Told::Write => driver.flush(&mut handlers).unwrap(),
        }
    }
}

fn replay(recording: &mut Recording) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some(step) = recording.step().unwrap() {
        steps.push(step);
    }
    steps
}

/// The inputs, one by one, as far as a recording shows them.
fn inputs(told: &[Told]) -> Vec<Input> {
    let one_by_one = told.iter().flat_map(|told| match told {
        Told::Input(input) => vec![input.clone()],
        Told::Packet(from, messages) => {
            messages.iter().map(|message| Input::Receive { from: *from, message: message.clone() }).collect()
        }
        Told::Write => Vec::new(),
    });
    one_by_one.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_recorded_node_does_the_same_again_whatever_it_is_told((cluster, told) in told()) {
        let folder = tempfile::tempdir().unwrap();
        record(folder.path(), &cluster, &told, u64::MAX);
        let [file] = &files(folder.path()).unwrap()[..] else { panic!("one file") };
        let mut recording = Recording::read(file).unwrap();
        prop_assert!(recording.can_compare());
        let steps = replay(&mut recording);
        prop_assert!(steps.iter().all(|step| step.is_same != Some(false)), "{steps:?}");
        let packets = told.iter().filter(|told| matches!(told, Told::Packet(_, messages) if !messages.is_empty())).count();
        let compared = told.iter().filter(|told| matches!(told, Told::Input(_))).count() + packets;
        // What the resource here answers is an input, too.
        prop_assert!(steps.iter().filter(|step| step.is_same == Some(true)).count() >= compared);
        let mut seen = steps.into_iter().map(|step| step.input);
        prop_assert!(inputs(&told).into_iter().all(|input| seen.any(|seen| seen == input)));
    }

    #[test]
    fn each_file_begins_with_the_very_state_that_the_one_before_it_leads_to((cluster, told) in told()) {
        let folder = tempfile::tempdir().unwrap();
        // A file for nearly each step.
        record(folder.path(), &cluster, &told, 1);
        let files = files(folder.path()).unwrap();
        let mut recordings: Vec<Recording> = files.iter().map(|file| Recording::read(file).unwrap()).collect();
        for recording in &mut recordings {
            prop_assert!(replay(recording).iter().all(|step| step.is_same != Some(false)));
        }
        for pair in recordings.windows(2) {
            prop_assert_eq!(pair[0].leads_to(&pair[1]), Some(true));
        }
    }

    #[test]
    fn a_damaged_file_is_refused_or_ends_early_and_what_is_left_is_true(
        (cluster, told) in told(),
        place: Index,
        bit in 0..8_u8,
        cut in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        record(folder.path(), &cluster, &told, u64::MAX);
        let file = files(folder.path()).unwrap().remove(0);
        let whole = replay(&mut Recording::read(&file).unwrap());
        let mut bytes = fs::read(&file).unwrap();
        let place = place.index(bytes.len());
        if cut { bytes.truncate(place) } else { bytes[place] ^= 1 << bit }
        fs::write(&file, bytes).unwrap();
        match Recording::read(&file) {
            Ok(mut recording) => {
                let steps = replay(&mut recording);
                prop_assert!(whole.starts_with(&steps));
            }
            Err(error) => prop_assert!(error.to_string().contains("remedy"), "{}", error),
        }
    }
}

/// Where the blocks of a file begin, each with its length and its sum: the head, the state, and the steps.
fn blocks(bytes: &[u8]) -> Vec<usize> {
    let mut at = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut blocks = Vec::new();
    while at < bytes.len() {
        blocks.push(at);
        at += 16 + u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    }
    blocks
}

/// Makes the sum of a block right.
fn seal(bytes: &mut [u8], block: usize) {
    let length = u64::from_le_bytes(bytes[block..block + 8].try_into().unwrap()) as usize;
    let sum = xxhash_rust::xxh3::xxh3_64(&bytes[block + 16..block + 16 + length]);
    bytes[block + 8..block + 16].copy_from_slice(&sum.to_le_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_file_that_was_made_to_deceive_is_refused_or_replayed_and_harms_nobody(
        (cluster, told) in told(),
        block in 0..3_usize,
        changes in vec((any::<Index>(), any::<u8>()), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        record(folder.path(), &cluster, &told, u64::MAX);
        let file = files(folder.path()).unwrap().remove(0);
        let mut bytes = fs::read(&file).unwrap();
        let blocks = blocks(&bytes);
        let block = blocks[block.min(blocks.len() - 1)];
        let length = u64::from_le_bytes(bytes[block..block + 8].try_into().unwrap()) as usize;
        for (place, byte) in changes {
            bytes[block + 16 + place.index(length)] = byte;
        }
        seal(&mut bytes, block);
        fs::write(&file, bytes).unwrap();
        if let Ok(mut recording) = Recording::read(&file) {
            while let Ok(Some(_)) = recording.step() {}
            let _ = recording.version();
        }
    }
}

#[test]
fn a_length_that_a_file_makes_up_is_refused_before_memory_is_set_aside_for_it() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), &cluster(), &[begin(), Told::Write], u64::MAX);
    let file = files(folder.path()).unwrap().remove(0);
    let whole = fs::read(&file).unwrap();
    for block in blocks(&whole).into_iter().take(2) {
        let length = u64::from_le_bytes(whole[block..block + 8].try_into().unwrap()) as usize;
        // Wherever a length may be, it is as large as can be.
        for at in block + 16..block + 16 + length.saturating_sub(9) {
            let mut bytes = whole.clone();
            bytes[at..at + 9].copy_from_slice(&[253, 255, 255, 255, 255, 255, 255, 255, 255]);
            seal(&mut bytes, block);
            fs::write(&file, bytes).unwrap();
            if let Ok(mut recording) = Recording::read(&file) {
                while let Ok(Some(_)) = recording.step() {}
            }
        }
    }
}

fn cluster() -> Cluster {
    let me = NodeId(1);
    Cluster::new(ClusterId(*b"what is recorded"), Quorums::majority([me]).unwrap(), [me]).unwrap()
}

fn begin() -> Told {
    Told::Input(Input::Begin { participants: Participants::new([NodeId(1)]).unwrap(), meta: Meta::from(b"a test") })
}

#[test]
fn the_oldest_files_of_a_node_go_and_those_of_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("n2-00000001.steps"), "another node's").unwrap();
    fs::write(folder.path().join("notes.txt"), "a person's").unwrap();
    for _ in 0..5 {
        let mut handlers =
            Handlers { storage: MemoryStorage::new(), transport: Vec::<Packet<Message>>::new(), resource: Yes };
        let mut driver = Driver::create(Config::new(cluster(), NodeId(1), 7), &mut handlers).unwrap();
        driver.record(Recorder::open(folder.path(), Options::default().with_segments(3)).unwrap());
        driver.push(Input::Tick(Time(1))).unwrap();
    }
    let names: Vec<_> = files(folder.path()).unwrap().iter().map(|file| file.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["n1-00000003.steps", "n1-00000004.steps", "n1-00000005.steps", "n2-00000001.steps"]);
    assert!(folder.path().join("notes.txt").exists());
    let mut recordings = files(folder.path()).unwrap().into_iter().take(2).map(|file| Recording::read(file).unwrap());
    let (mut one, next) = (recordings.next().unwrap(), recordings.next().unwrap());
    replay(&mut one);
    assert_eq!(one.leads_to(&next), None, "it is another life");
}

#[test]
fn what_cannot_be_written_is_lost_and_said_to_be_and_the_node_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("recordings");
    let mut handlers = Handlers { storage: MemoryStorage::new(), transport: Vec::new(), resource: Yes };
    let mut driver = Driver::create(Config::new(cluster(), NodeId(1), 7), &mut handlers).unwrap();
    let recorder = Recorder::open(&inner, Options::default()).unwrap();
    fs::remove_dir(&inner).unwrap();
    fs::write(&inner, "in the way").unwrap();
    driver.record(recorder);
    let mut now = 0;
    while driver.recorder().unwrap().progress().failure.is_none() {
        now += 1;
        driver.push(Input::Tick(Time(now))).unwrap();
        std::thread::yield_now();
    }
    driver.push(Input::Tick(Time(now + 1))).unwrap();
    let progress = driver.recorder().unwrap().progress();
    assert_eq!(progress.recorded + progress.lost, now + 1, "each input is counted once");
    assert!(progress.lost > 0 && progress.failure.unwrap().contains("recordings"));
    driver.flush(&mut handlers).unwrap();
}

#[test]
fn a_disk_that_does_not_keep_up_tears_the_recording_and_a_later_file_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut handlers = Handlers { storage: MemoryStorage::new(), transport: Vec::new(), resource: Yes };
    let mut driver = Driver::create(Config::new(cluster(), NodeId(1), 7), &mut handlers).unwrap();
    // No step has room beside more than a few others.
    driver.record(Recorder::open(folder.path(), Options::default().with_waiting_bytes(40)).unwrap());
    let mut now = 0;
    while driver.recorder().unwrap().progress().lost < 10 || files(folder.path()).unwrap().len() < 3 {
        now += 1;
        driver.push(Input::Tick(Time(now))).unwrap();
        driver.flush(&mut handlers).unwrap();
    }
    drop(driver);
    let mut recordings: Vec<_> =
        files(folder.path()).unwrap().iter().map(|file| Recording::read(file).unwrap()).collect();
    for recording in &mut recordings {
        assert!(replay(recording).iter().all(|step| step.is_same != Some(false)));
    }
    assert!(recordings.windows(2).any(|pair| pair[0].leads_to(&pair[1]).is_none()));
}

#[test]
fn a_step_that_would_lead_to_something_else_now_is_found() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), &cluster(), &[Told::Input(Input::Tick(Time(7))), begin(), Told::Write], u64::MAX);
    let file = files(folder.path()).unwrap().remove(0);
    let bytes = fs::read(&file).unwrap();
    let at = bytes.windows(6).position(|window| window == b"a test").unwrap();
    let mut changed = bytes.clone();
    changed[at] = b'A';
    // How many blocks the steps are in depends on how fast the disk is.
    let block = blocks(&bytes).into_iter().rfind(|block| *block <= at).unwrap();
    seal(&mut changed, block);
    fs::write(&file, changed).unwrap();
    let steps = replay(&mut Recording::read(&file).unwrap());
    let differ: Vec<_> = steps.iter().map(|step| step.is_same).collect();
    assert_eq!(differ[..2], [Some(true), Some(false)]);
}

#[test]
fn a_file_that_is_no_recording_and_one_that_is_not_there_are_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("n1-00000001.steps");
    assert!(matches!(Recording::read(&file), Err(ReplayError::Read { .. })));
    fs::write(&file, "no recording").unwrap();
    let error = Recording::read(&file).unwrap_err().to_string();
    assert!(error.contains("n1-00000001.steps cannot be replayed") && error.contains("remedy"), "{error}");
}
