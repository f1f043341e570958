//! Any records: a node is restored from them or it is not, and if it is, it is the same as the one that its own snapshot
//! restores, and goes on from there. At every moment, its disk restores it.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use synod::{
    Machine, TxId,
    commit::{
        AcceptorRecord, Config, Effect, HigherInstance, Input, Key, Message, Meta, Node, Outcome, Participants, Record,
        ResourceManagerRecord, Time, Transaction, TxRange, Vote, Votes, What,
    },
    paxos,
};

/// Records and inputs, most of them about the same few transactions.
#[derive(Arbitrary, Debug)]
struct Run {
    config: Config,
    /// Whether the identity record is as it should be.
    honest: bool,
    transactions: [(TxId, Participants, Meta); 3],
    records: Vec<Written>,
    inputs: Vec<(u8, Input)>,
}

#[derive(Arbitrary, Debug)]
enum Written {
    Any(Record),
    Acceptor { tx: u8, instances: Box<[Instance; 7]> },
    ResourceManager { tx: u8, vote: Option<Vote>, finished: Option<Outcome> },
    Retired { tx: u8, more: u8 },
    Rounds { reserved: u8 },
    Sequence { reserved: u8 },
}

/// What an acceptor knows of one instance.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Instance {
    Nothing,
    Initial(Vote),
    Higher(paxos::AcceptorRecord<Vote>),
}

/// The records of a node, by key.
type Disk = BTreeMap<Key, Record>;

/// More inputs than this are left out.
const INPUTS: usize = 32;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(run) = Run::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    let Run { config, honest, transactions, records, inputs } = run;
    let transactions = transactions.map(|(id, participants, meta)| (Transaction::of(id, participants, &meta), meta));
    let about = |tx: u8| &transactions[usize::from(tx) % transactions.len()];
    let identity = Record::Identity { cluster: config.cluster.id(), node: config.id };
    let records = records.into_iter().map(|written| record(written, about));
    let records: Vec<Record> = honest.then_some(identity).into_iter().chain(records).collect();

    let Ok(mut node) = Node::restore(config.clone(), records.clone()) else { return };
    let mut disk = Disk::new();
    records.iter().for_each(|record| write(&mut disk, record));
    let mut twin = Node::restore(config.clone(), node.snapshot()).expect("a snapshot restores");
    assert_eq!(twin.snapshot(), node.snapshot(), "a snapshot restores all of it");

    // What a torn write has left is tidied up first; the snapshot had none of it.
    let tidied = node.step(Input::Tick(Time(0)));
    let ticked = twin.step(Input::Tick(Time(0)));
    assert_eq!(tidied[tidied.len() - ticked.len()..], ticked);
    write_all(&mut disk, &tidied);
    for (tx, input) in inputs.into_iter().take(INPUTS) {
        let input = relate(input, about(tx));
        let (mut effects, mut twins) = (Vec::new(), Vec::new());
        let verdict = node.step_into(input.clone(), &mut effects);
        assert_eq!(verdict, twin.step_into(input, &mut twins));
        assert_eq!(effects, twins, "the same state and input give the same effects");
        write_all(&mut disk, &effects);
        let restored = Node::restore(config.clone(), disk.values().cloned()).expect("its disk restores it");
        assert_eq!(restored.snapshot(), node.snapshot(), "what is durable is all that it must not forget");
    }
}

fn record<'a>(written: Written, about: impl Fn(u8) -> &'a (Transaction, Meta)) -> Record {
    match written {
        Written::Any(record) => record,
        Written::Acceptor { tx, instances } => {
            let transaction = about(tx).0.clone();
            let (mut votes, mut higher) = (Votes::default(), Vec::new());
            for (place, (rm, instance)) in transaction.participants().iter().zip(*instances).enumerate() {
                match instance {
                    Instance::Nothing => {}
                    Instance::Initial(vote) => votes.insert(place, vote),
                    Instance::Higher(state) => higher.push(HigherInstance { rm: *rm, state }),
                }
            }
            Record::Acceptor(AcceptorRecord { transaction, votes, higher: higher.into() })
        }
        Written::ResourceManager { tx, vote, finished } => {
            let (transaction, meta) = about(tx).clone();
            Record::ResourceManager(ResourceManagerRecord { transaction, meta: Some(meta), vote, finished })
        }
        Written::Retired { tx, more } => {
            let first = about(tx).0.id();
            let last = first.seq.saturating_add(u64::from(more % 4));
            Record::Retired(TxRange::new(first.origin, first.seq, last).unwrap_or(TxRange::only(first)))
        }
        Written::Rounds { reserved } => Record::Rounds { reserved: reserved.into() },
        Written::Sequence { reserved } => Record::Sequence { reserved: reserved.into() },
    }
}

/// This input, if it is about a transaction: about this one, and mostly about its content.
fn relate(input: Input, about: &(Transaction, Meta)) -> Input {
    let (transaction, meta) = about.clone();
    let tx = transaction.id();
    match input {
        Input::BeginAs { .. } => Input::BeginAs { transaction, meta },
        Input::Vote { vote, .. } => Input::Vote { transaction, vote },
        Input::Prepared { .. } => Input::Prepared { transaction, meta },
        Input::Finished(_) => Input::Finished(tx),
        Input::Inquire(_) => Input::Inquire(tx),
        Input::Patience { patience, .. } => Input::Patience { tx, patience },
        Input::Receive { from, message } => Input::Receive { from, message: relate_message(message, about) },
        Input::Resolve { outcome, .. } => Input::Resolve { tx, outcome },
        Input::Begin { .. } | Input::Names { .. } | Input::Tick(_) | Input::Met { .. } | Input::Change(_) => input,
    }
}

fn relate_message(mut message: Message, (about, content): &(Transaction, Meta)) -> Message {
    match &mut message {
        Message::About { transaction, what } => {
            *transaction = about.clone();
            if let What::Begin { meta } | What::Prepare { meta, .. } = what {
                *meta = content.clone();
            }
        }
        Message::Retired { range, .. } | Message::RetiredNoted { range } => *range = TxRange::only(about.id()),
        Message::Epoch { .. } => {}
    }
    message
}

fn write_all(disk: &mut Disk, effects: &[Effect]) {
    for effect in effects {
        if let Effect::Persist(record) = effect {
            write(disk, record);
        }
    }
}

fn write(disk: &mut Disk, record: &Record) {
    if record.is_tombstone() {
        disk.remove(&record.key());
    } else {
        disk.insert(record.key(), record.clone());
    }
}
